"""Packets in a network: a decision at each node to which neighbour a packet goes, and shortest ways to compare with."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cdq.contracts.blocks import Block, Blocks, Placed
from cdq.core.envs.envs import FUNCTIONS
from cdq.envs.compiled import CompiledEnv
from cdq.envs.drawing import checked_mode
from cdq.errors import ConfigError
from cdq.errors.checks import real, shown, whole

_MOST_NODES, _MOST_LINKS, _MOST_PACKETS, _MOST_LOAD = 4096, 64, 1 << 24, 100.0
_WORDS = 5  # of a packet, 4 bytes each
_TICK, _WAITING, _DELIVERED, _DELAY, _LOST = 0, 4, 5, 6, 7  # of a network's integers, as in env_routing.h

Policy = Callable[["Routing", int, int], int]
"""A policy: of the network, a node, and the node to which a packet goes, the number of a neighbour."""


class Delivery(NamedTuple):
    """Figures of a network that was watched.

    Attributes
    ----------
    ticks : float
        Ticks from when a packet came into the network until it was delivered, a mean.
    delivered : int
        Packets that were delivered.
    waiting : int
        Packets that wait at nodes at the end.
    lost : int
        Packets that were not let in, as the network was full.
    """

    ticks: float
    delivered: int
    waiting: int
    lost: int


def grids(rows: int = 6, columns: int = 3, bridges: Sequence[int] = (1, 5)) -> list[tuple[int, int]]:
    """Return the links of two grids side by side that are joined in a few rows: a network with two narrow places.

    Node row * 2 * columns + column is in the left grid where column is less than *columns*.

    Examples
    --------
    >>> len(grids())
    56
    """
    across = 2 * columns
    down = [
        ((row - 1) * across + column, row * across + column)
        for row in range(1, rows)
        for column in range(across)
    ]
    along = [
        (row * across + column - 1, row * across + column)
        for row in range(rows)
        for column in range(1, across)
        if column != columns or row in bridges
    ]
    return down + along


class Routing(CompiledEnv):
    """A network whose nodes pass packets on: Q-routing.

    In each tick a Poisson number of packets comes into the network, each from a random node to another one, and each
    node sends the first packet of its queue to a neighbour, where it is in the next tick. A step is one such decision.
    The state is the node and the packet's destination, node * nodes + destination, the action the number of a
    neighbour. The reward is minus the ticks that the packet waited at the node, and minus 1 for its way; the target
    bootstraps from the neighbour, with the same destination, and a packet that is there is delivered. With gamma 1
    minus a value is the time until the packet is delivered.

    The table has a block for each node (`QLearner.tables`), of which a row is a destination and an action a neighbour.

    Parameters
    ----------
    links : sequence of (int, int), optional
        Pairs of nodes that are neighbours; nodes are 0, 1, and so on. By default `grids()`: 36 nodes in two grids.
    load : float
        Mean number of packets that come into the network in a tick, above 0 and up to 100.
    ticks : int
        Ticks of an episode, which begins with an empty network.
    packets : int
        Packets in the network at the same time; further ones are lost.

    Raises
    ------
    ConfigError
        If an argument is not allowed, or a node cannot be reached from another one.

    Notes
    -----
    After Boyan and Littman, "Packet routing in dynamically changing networks" (1993). Step sizes are large, such as
    0.5, and actions greedy: ``QLearner("cdq/Routing-v0", gamma=1.0, step_size=0.5, exploration=0.0)``.

    Examples
    --------
    >>> import gymnasium, cdq.envs
    >>> network = gymnasium.make("cdq/Routing-v0", load=2.0)
    >>> network.observation_space, network.action_space
    (Discrete(1296), Discrete(4))
    """

    def __init__(
        self,
        links: Sequence[tuple[int, int]] | None = None,
        *,
        load: float = 1.5,
        ticks: int = 10_000,
        packets: int = 8192,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = checked_mode(type(self), render_mode)
        self.neighbours = _neighbours(grids() if links is None else links)
        self.distances = np.array([_distances(self.neighbours, node) for node in range(len(self.neighbours))])
        if (self.distances < 0).any():
            one, other = (int(node) for node in np.argwhere(self.distances < 0)[0])
            raise ConfigError(f"links lead nowhere from node {one} to node {other}; join all nodes")
        n, width = len(self.neighbours), max(map(len, self.neighbours))
        self.load = real("load", load, f"a number above 0 and up to {_MOST_LOAD:g}", 1e-3, _MOST_LOAD)
        self._packets = whole("packets", packets, 1, _MOST_PACKETS)
        self.ticks = whole("ticks", ticks, 1, 2**31 - 2)
        sizes = [n, width, self._packets, self.ticks]
        quiet = np.array([math.exp(-self.load)]).view(np.int64).tolist()
        padded = [[*near, *[-1] * (width - len(near))] for near in self.neighbours]
        super().__init__(
            *FUNCTIONS["routing"],
            n_actions=width,
            n_states=n * n,
            context=np.array([*sizes, *quiet, *np.ravel(padded)], np.int64),
            uniforms=1,
            masked=True,
            memory=4 * (2 * n + _WORDS * self._packets),
            name="Routing",
        )
        bits = np.array([2 ** len(near) - 1 for near in self.neighbours], np.uint64)
        self.allowed_of = np.repeat(bits, n)
        self.blocks = Blocks(
            tuple(Block(f"n{node}", n, len(near)) for node, near in enumerate(self.neighbours))
        )

    @property
    def tick(self) -> int:
        """Ticks of the running episode so far."""
        return int(self._lane["integer"][_TICK])

    def totals(self) -> tuple[int, int, int, int]:
        """Return figures of the episode: packets delivered, the ticks of these, packets that wait, and lost ones."""
        delivered, delay, waiting, lost = self._lane["integer"][
            [_DELIVERED, _DELAY, _WAITING, _LOST]
        ].tolist()
        return delivered, delay, waiting, lost

    def packet_time(self, mean_return: Any) -> Any:
        """Return the ticks that a packet takes to its destination, of the mean return of episodes.

        The return is minus the ticks of all packets; so many come as are expected to.
        """
        n = len(self.neighbours)
        return -mean_return / (self.load * self.ticks * (n - 1) / n)

    def mask_of(self, observation: Any) -> Any:
        """Return the neighbours that the node of an observation has; None for one of a block, which has no others."""
        if isinstance(observation, Placed):
            return None
        return np.arange(self.n_actions) < len(self.neighbours[int(observation) // len(self.neighbours)])


def shortest(network: Routing, node: int, destination: int) -> int:
    """Act by the policy of shortest ways: the first neighbour that is nearest to the destination."""
    near = network.neighbours[node]
    return min(range(len(near)), key=lambda action: int(network.distances[near[action], destination]))


def deliver(network: Routing, policy: Policy, ticks: int, seed: int | None = 0) -> Delivery:
    """Return the figures of the last tenth of so many ticks in which a network follows a policy.

    Examples
    --------
    >>> round(deliver(Routing(), shortest, 2000).ticks)
    5
    """
    n, state, since = len(network.neighbours), network.reset(seed=seed)[0], None
    whole("ticks", ticks, 1, network.ticks)
    while network.tick < ticks:
        if since is None and network.tick >= ticks * 9 // 10:
            since = network.totals()
        state = network.step(policy(network, *divmod(int(state), n)))[0]
    delivered, delay, _, lost = (
        now - before for now, before in zip(network.totals(), since or (0, 0, 0, 0), strict=True)
    )
    return Delivery(delay / delivered if delivered else math.nan, delivered, network.totals()[2], lost)


def _neighbours(links: Any) -> list[list[int]]:
    """Return the neighbours of each node, in ascending order."""
    pairs = (
        [_link(link) for link in links] if isinstance(links, Iterable) and not isinstance(links, str) else []
    )
    if not pairs:
        raise ConfigError(f"links is {shown(links)}; allowed: pairs of nodes, such as [(0, 1), (1, 2)]")
    near: list[set[int]] = [set() for _ in range(max(max(pair) for pair in pairs) + 1)]
    for one, other in pairs:
        near[one].add(other)
        near[other].add(one)
    most = max(map(len, near))
    if most > _MOST_LINKS:
        raise ConfigError(f"links join a node to {most} others; allowed: up to {_MOST_LINKS}")
    return [sorted(nodes) for nodes in near]


def _link(link: Any) -> tuple[int, int]:
    if isinstance(link, str) or not hasattr(link, "__len__") or len(link) != 2:
        raise ConfigError(f"a link is {shown(link)}; allowed: a pair of nodes, such as (0, 1)")
    one, other = (whole("a node of a link", node, 0, _MOST_NODES - 1) for node in link)
    if one == other:
        raise ConfigError(f"a link joins node {one} to itself; give two nodes")
    return one, other


def _distances(neighbours: Sequence[Sequence[int]], start: int) -> list[int]:
    """Return the number of links from a node to each, -1 where there is no way."""
    found = [-1] * len(neighbours)
    found[start], waiting = 0, deque([start])
    while waiting:
        node = waiting.popleft()
        for near in neighbours[node]:
            if found[near] < 0:
                found[near] = found[node] + 1
                waiting.append(near)
    return found
