"""Random networks and rollouts, which the kernels and the definition both hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cdq.core.network.network import NetworkQ, Shape
from cdq.core.probe import Probe
from cdq.schedules import Constant, build_law
from tests.reference import network as reference

LAW = build_law(Constant(0.1), 0, 1.0, "float32")


@dataclass
class Network:
    """A network, its parameters and moments, and the kernels over them."""

    shape: Shape
    parameters: Any
    n: int
    rollout: int = 4
    minibatch: int = 8
    trace: float = 0.9
    reward_scale: float = 0.1
    low: Any = None
    scale: Any = None
    moments: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        zeros = np.zeros(self.shape.inputs)
        self.moments = [np.zeros_like(self.parameters), np.zeros_like(self.parameters)]
        self.updates = np.zeros(1, np.int64)
        self.q = NetworkQ(
            self.shape,
            self.parameters,
            *self.moments,
            self.updates,
            self.n,
            low=zeros if self.low is None else self.low,
            scale=zeros if self.scale is None else self.scale,
            rollout=self.rollout,
            minibatch=self.minibatch,
            trace=self.trace,
            reward_scale=self.reward_scale,
        )
        self.probe = Probe(self.q)

    @property
    def widths(self) -> list[int]:
        return [self.shape.inputs, *self.shape.hidden, self.shape.actions]

    def values(self, x: Any) -> Any:
        return reference.forward(self.parameters, self.widths, np.asarray(x, np.float32))[0]

    def gradients(self) -> list[Any]:
        made = [np.full(self.shape.size, np.nan, np.float32) for _ in range(self.q.minibatches())]
        for i, into in enumerate(made):
            self.q.gradient(i, into)
        return made


def network_of(random: Any, shape: Shape, n: int, **settings: Any) -> Network:
    return Network(shape, (random.normal(size=shape.size) * 0.4).astype(np.float32), n, **settings)


@dataclass
class Rollout:
    """What lanes recorded, as the definition sees it: lists with an array for each sweep."""

    n_actions: int
    bits: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    actions: list[Any] = field(default_factory=list)
    rewards: list[Any] = field(default_factory=list)
    discounts: list[Any] = field(default_factory=list)
    following: list[Any] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)
    learns: list[Any] = field(default_factory=list)

    def targets(self, trace: float) -> Any:
        columns = [
            np.array(c) for c in (self.rewards, self.discounts, self.following, self.ended, self.learns)
        ]
        lanes = [reference.targets(*(c[:, i] for c in columns), trace) for i in range(columns[0].shape[1])]
        return np.array(lanes).T.reshape(-1)


def record(random: Any, network: Network, sweeps: int, *, masked: bool, skipping: bool) -> Rollout:
    """Let random lanes act for some sweeps, by the kernels and by the definition."""
    n, n_actions, probe = network.n, network.shape.actions, network.probe
    rollout = Rollout(n_actions)
    seen = random.normal(size=(n, network.shape.inputs))
    assert probe.locate(seen) == -1
    for _ in range(sweeps):
        bits = random.integers(0, 2**63, n).astype(np.uint64)
        actions = np.zeros(n, np.uint32)
        probe.choose(2**31, bits, None, actions)
        following = random.normal(size=seen.shape)
        masks = random.integers(0, 2, (n, n_actions)).astype(np.uint8) if masked else None
        active = random.integers(0, 4, n).astype(bool) if skipping else np.ones(n, bool)
        rewards, discounts = random.normal(size=n), random.choice([0.99, 0.5, -0.9, 0.0], n)
        ended = (discounts == 0) | (random.random(n) < 0.2)
        values = network.values(following)
        allowed = np.ones_like(values, bool) if masks is None else masks.astype(bool)
        largest = np.where(allowed, values, -np.inf).max(1)
        assert probe.locate(following, True) == -1
        terminated = (discounts == 0).astype(np.uint8)
        probe.learn(LAW, discounts, actions, rewards, terminated, masks, active.astype(np.uint8))
        probe.advance()
        for lane in np.flatnonzero(ended):
            probe.end(int(lane))
        rollout.bits.append(bits.tolist())
        rollout.inputs.append(np.asarray(seen, np.float32))
        rollout.actions.append(actions)
        rollout.rewards.append((network.reward_scale * rewards).astype(np.float32))
        rollout.discounts.append(discounts.astype(np.float32))
        rollout.following.append(np.where(allowed.any(1), largest, 0).astype(np.float32))
        rollout.ended.append(ended)
        rollout.learns.append(active)
        seen = following.copy()
        seen[ended] = random.normal(size=(int(ended.sum()), seen.shape[1]))
        for lane in np.flatnonzero(ended):
            assert probe.locate(seen, first=int(lane), count=1) == -1
    return rollout
