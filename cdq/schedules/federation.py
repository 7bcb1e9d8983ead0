"""Differences between workers: schedules of their own, and rounds of which some of them are no part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cdq.errors import ConfigError
from cdq.errors.checks import real, shown, whole
from cdq.schedules.forms import as_law, as_rate, from_config, to_config

# First number of the spawn keys of its draws: workers have others (`workers.worker`).
_DRAWS = 3
_MOST_RANK = 1 << 20


class Part(NamedTuple):
    """Part of one worker in a round.

    Attributes
    ----------
    learns : bool
        False: the worker waits.
    arrives : bool
        False: nothing of its window reaches the others.
    """

    learns: bool
    arrives: bool


@dataclass(frozen=True)
class Federation:
    """Conditions of federated learning: rounds without some of the workers, and workers that send nonsense.

    Parameters
    ----------
    participation : float
        Part of the workers that learn in a round, above 0 and up to 1, at least one of them; the others wait, and make
        no steps. They are drawn anew for each round.
    dropped : float
        Probability, from 0 and below 1, that what a worker has learnt in a round is lost on its way: its steps count,
        and its environments have moved on.
    corrupted : dict of int to float
        Number that the worker of a rank adds to every value that it sends.

    Raises
    ------
    ConfigError
        If an argument is not allowed.

    Notes
    -----
    All draws follow from the seed of the run and its steps, the same on every rank, so that a run is repeated, and
    resumed, to the bit. A merge is among the workers whose windows arrive: "mean" is their mean. Partial participation
    is that of McMahan et al. (2017); a constant that is added is the adversary of Maity and Mitra (2024).

    Examples
    --------
    >>> from cdq import Federation, QLearner
    >>> half = Federation(participation=0.5)
    >>> agent = QLearner("FrozenLake-v1", workers=4, federation=half, sync_every=1000, seed=0).learn(20_000)
    >>> agent.history[-1].rounds
    10
    """

    participation: float = 1.0
    dropped: float = 0.0
    corrupted: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        part = real("participation", self.participation, "a number above 0 and up to 1", 0.0, 1.0)
        if part == 0:
            raise ConfigError("participation is 0: nobody would learn; allowed: above 0 and up to 1")
        lost = real("dropped", self.dropped, "a number from 0 and below 1", 0.0, 1.0)
        if lost == 1:
            raise ConfigError("dropped is 1: nothing would arrive; allowed: from 0 and below 1")
        if not isinstance(self.corrupted, Mapping):
            raise ConfigError(
                f"corrupted is {shown(self.corrupted)}; allowed: numbers by rank, as in {{3: -100.0}}"
            )
        sent = {
            whole("a rank of corrupted", rank, 0, _MOST_RANK): real(
                "a number of corrupted", value, "a finite number"
            )
            for rank, value in self.corrupted.items()
        }
        for name, value in (("participation", part), ("dropped", lost), ("corrupted", sent)):
            object.__setattr__(self, name, value)

    def to_config(self) -> dict[str, Any]:
        """Return the conditions as a JSON object; `from_config` reads it back."""
        corrupted = {str(rank): value for rank, value in self.corrupted.items()}
        return {"participation": self.participation, "dropped": self.dropped, "corrupted": corrupted}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Federation:
        """Return the conditions that `to_config` described."""
        told = dict(config)
        corrupted = {int(rank): value for rank, value in told.pop("corrupted").items()}
        return cls(**told, corrupted=corrupted)

    def learners(self, size: int) -> int:
        """Return the number of workers that learn in each round, of so many."""
        return max(1, round(self.participation * size))

    def parts(self, entropy: int, session: int, steps: int, size: int) -> list[Part]:
        """Return the part of each worker in the round that begins after *steps* steps, in rank order."""
        import numpy as np  # here: the help of a command needs none

        random = np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=(_DRAWS, session, steps)))
        learning = set(random.permutation(size)[: self.learners(size)].tolist())
        arriving = random.random(size) >= self.dropped
        return [Part(rank in learning, rank in learning and bool(arriving[rank])) for rank in range(size)]


# ---- schedules and policies of each worker

POLICY = "policy"


def as_policy(given: Any, name: str) -> Any:
    """Return a fixed policy: None, a function, an action, or numbers as nested tuples; the learner reads them on.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    import numpy as np  # here: the help of a command needs none

    if isinstance(given, str):  # of a command line
        given = {"none": None}.get(given, int(given) if given.isdecimal() else given)
    if given is None or callable(given):
        return given
    try:
        numbers = np.asarray(given)
    except ValueError:
        numbers = np.empty(0, object)
    if (
        numbers.dtype.kind not in "iuf"
        or numbers.ndim > 2
        or not numbers.size
        or not np.isfinite(numbers).all()
    ):
        raise ConfigError(
            f"{name} is {shown(given)}; allowed: None, an action, an action for each state, the probability of each "
            "action in each state, or a function of an observation that returns either"
        )
    plain = numbers.tolist()
    return tuple(tuple(row) if isinstance(row, list) else row for row in plain) if numbers.ndim else plain


_SCHEDULES = {"exploration": as_rate, "step_size": as_law, POLICY: as_policy}


def as_per_worker(name: str, given: Any) -> Mapping[str, tuple[Any, ...]] | None:
    """Return schedules, or policies, of each worker by the name of their hyper-parameter; None where there are none.

    Raises
    ------
    ConfigError
        If they are none, or not as many as those of another name; *name* is that of the argument.
    """
    if given is None:
        return None
    allowed = (
        f"allowed: a dict of lists, one entry per worker in rank order, with the keys {', '.join(_SCHEDULES)}"
    )
    if not isinstance(given, Mapping) or not given or not given.keys() <= _SCHEDULES.keys():
        raise ConfigError(f"{name} is {shown(given)}; {allowed}")
    if any(
        isinstance(values, (str, Mapping)) or not isinstance(values, Sequence) for values in given.values()
    ):
        raise ConfigError(f"{name} is {shown(given)}; {allowed}")
    known = {
        key: tuple(_SCHEDULES[key](value, f"{name}[{key!r}][{rank}]") for rank, value in enumerate(values))
        for key, values in given.items()
    }
    lengths = {len(values) for values in known.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise ConfigError(f"{name} has lists of {', '.join(map(str, sorted(lengths)))} entries; {allowed}")
    return known


def per_worker_to_config(per_worker: Mapping[str, Sequence[Any]] | None) -> Any:
    """Return schedules of each worker as a JSON object; `per_worker_from_config` reads it back."""
    if per_worker is None:
        return None
    return {
        name: [*map(_policy_to_config if name == POLICY else to_config, each)]
        for name, each in per_worker.items()
    }


def _policy_to_config(policy: Any) -> Any:
    """Return a policy as a JSON object; a function, which has no environment yet, is none."""
    if callable(policy):
        return None
    return (
        [list(row) if isinstance(row, tuple) else row for row in policy]
        if isinstance(policy, tuple)
        else policy
    )


def per_worker_from_config(config: Any) -> Any:
    """Return the schedules that `per_worker_to_config` described."""
    if config is None:
        return None
    return {name: told if name == POLICY else [*map(from_config, told)] for name, told in config.items()}
