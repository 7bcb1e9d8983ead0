"""Settings of a learner: the one table of hyper-parameters, with their checks, JSON forms and options.

The help of a command is made of it: what only checks need, such as NumPy and OpenSSL, is imported by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cdq import schedules
from cdq.errors import ConfigError
from cdq.errors.checks import shown, whole
from cdq.merges import NAMES as MERGES
from cdq.merges import OF_NETWORKS, MergeRule, Personal, resolve
from cdq.rules import Q_LEARNING, RULES, UpdateRule, as_rule
from cdq.schedules import Rate, StepSize
from cdq.schedules.windows import Window, as_window
from cdq.settings import sets
from cdq.settings import tasks as several
from cdq.settings.hyperparameters import (
    Hyperparameter,
    Option,
    bins_of,
    checked_features,
    checked_federation,
    checked_groups,
    choice,
    count,
    features_from_config,
    features_of,
    features_to_config,
    federation_of,
    groups_of,
    hyperparameter,
    masks_of,
    merge_from_config,
    merge_of,
    merge_to_config,
    number,
    per_worker_of,
    table_of,
    text,
    window_from_config,
    window_of,
    window_to_config,
)
from cdq.settings.network import (
    Network,
    checked_network,
    network_from_config,
    network_of,
    network_to_config,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from cdq.features import FeatureMap

# More threads or lanes than any machine of today has use for; each takes memory and time to set up.
MOST_WORKERS, MOST_LANES = 4096, 65_536
# A digest of 256 bits may be a seed; numbers without end are a mistake.
MOST_SEED = 2**256 - 1
_MOST_BINS = 1 << 20

# Communicators that a file may name.
_NAMED = ("auto", "inprocess", "zmq", "mpi")
_RATES = "a number, linear:FIRST:LAST:STEPS, exponential:FIRST:LAST:STEPS"


def type_of(dtype: npt.DTypeLike) -> str:
    """Return the name of a table's type: "float64" or "float32", however it was given."""
    import numpy as np

    try:
        name = np.dtype(dtype).name if dtype is not None else None
    except TypeError:
        name = None
    if name not in {"float64", "float32"}:
        raise ConfigError(
            f"dtype is {shown(dtype)}; allowed: 'float64' or 'float32', or NumPy's types of these names"
        )
    return name


def _checked_merge(name: str, merge: Any) -> Any:
    if merge is not None:  # what None stands for follows from network
        resolve(merge)
    return merge


def _checked_comm(name: str, comm: Any) -> Any:
    if not isinstance(comm, str):
        raise ConfigError(f"{name} is {shown(comm)}; allowed: a communicator's name, or a URL")
    return comm


def _checked_bins(name: str, bins: Any) -> Any:
    import numpy as np

    if isinstance(bins, (Sequence, np.ndarray)) and not isinstance(bins, str):
        return tuple(whole(name, n, 1, _MOST_BINS) for n in bins)
    return None if bins is None else whole(name, bins, 1, _MOST_BINS)


def _comm_from_config(comm: Any) -> str:
    """Return the communicator of a file: no file says where to connect, or what to import."""
    return comm if text(comm) in _NAMED else "auto"


@dataclass(frozen=True)
class Settings:
    """Settings of a learner: its arguments, checked; see `cdq.QLearner`, which says what each means.

    A field is a hyper-parameter: the type of the value, the argument's default and check, the form in files, and the
    option of the command line, in the order of its help. A further one is a field here and an argument of `QLearner`,
    with its description there.
    """

    workers: int = hyperparameter(
        None,
        count(1, MOST_WORKERS, none=0),  # 0: it follows from the communicator
        Option(int, "N", "How many learn together.", "1; under mpiexec, its processes"),
        may_change=True,
    )
    seed: int = hyperparameter(
        None,
        count(0, MOST_SEED),
        Option(int, "N", "Same seed and number of workers: same table.", "drawn, and reported"),
    )
    gamma: float = hyperparameter(
        0.99,
        number("a number from 0 to 1", 0.0, 1.0),
        Option(float, "X", "Discount, above 0 and up to 1."),
    )
    step_size: StepSize = hyperparameter(
        None,
        lambda name, value: value,  # the default follows from gamma
        Option(
            str,
            "SCHEDULE",
            f"One of: {_RATES}; or, by the count of a pair, rescaled-linear:GAMMA, polynomial:OMEGA.",
            "rescaled-linear of gamma",
        ),
        encode=schedules.to_config,
        decode=schedules.from_config,
    )
    exploration: Rate = hyperparameter(
        None,
        lambda name, value: None if value is None else schedules.as_rate(value, name),
        Option(str, "SCHEDULE", f"Chance of a random action; one of: {_RATES}.", "0.1; 0.3 in games"),
        encode=schedules.to_config,
        decode=schedules.from_config,
    )
    rule: UpdateRule = hyperparameter(
        Q_LEARNING.name,
        lambda name, value: as_rule(value),
        Option(str, "NAME", f"How values move: {', '.join(RULES)}, hysteretic:BETA."),
        encode=lambda rule: rule.name,
        decode=text,
        unsaid_default=True,
    )
    merge: str | MergeRule | Personal = hyperparameter(
        None,
        _checked_merge,
        Option(
            str,
            "RULE",
            f"How tables become one: {', '.join(MERGES)}, or personal:PRIOR; networks: {', '.join(OF_NETWORKS)}.",
            "pooled; gradient of networks",
            merge_of,
        ),
        encode=merge_to_config,
        decode=merge_from_config,
    )
    sync_every: Window = hyperparameter(
        "auto",
        lambda name, value: as_window(value),
        Option(str, "N", "Steps per worker between two merges, or auto.", read=window_of),
        encode=window_to_config,
        decode=window_from_config,
        key="window",
    )
    num_envs: int = hyperparameter(
        None,
        count(1, MOST_LANES, none=0),  # 0: it follows from the environment
        Option(
            int,
            "N",
            "Environments that a worker steps in lockstep.",
            "16; 1 where they are stepped in Python",
        ),
    )
    dtype: str = hyperparameter(
        None,
        lambda name, value: None if value is None else type_of(value),
        Option(str, "TYPE", "Of the table: float64 or float32.", "float64; float32 of networks"),
        decode=text,
    )
    initial_value: float = hyperparameter(
        0.0,
        lambda name, value: value,  # the range follows from dtype
        Option(float, "X", "What the table holds before learning."),
    )
    features: FeatureMap | None = hyperparameter(
        None,
        checked_features,
        Option(
            str,
            "BASIS",
            "Of a linear Q-function: tiles:TILINGS:TILES, polynomial:ORDER or fourier:ORDER.",
            "tiles, where observations are vectors",
            features_of,
        ),
        encode=features_to_config,
        decode=features_from_config,
        unsaid_default=True,
        of_environment=True,
    )
    network: Network | None = hyperparameter(
        None,
        checked_network,
        Option(
            str,
            "UNITS|MODULE:FUNCTION",
            "Learn a neural network: of so many hidden units, 64,64, or the Keras model of a function.",
            "a table, or features",
            network_of,
        ),
        encode=network_to_config,
        decode=network_from_config,
        unsaid_default=True,
        of_environment=True,
    )
    bins: int | tuple[int, ...] | None = hyperparameter(
        None,
        _checked_bins,
        Option(str, "N", "Cut each number of an observation into N parts; or N,N,... of each.", read=bins_of),
        unsaid_default=True,
        of_environment=True,
    )
    table: str = hyperparameter(
        "dense",
        choice("dense", "hash"),
        Option(str, "KIND", "A row per state (dense), or per state that was met (hash)."),
        unsaid_default=True,
        of_environment=True,
    )
    masks: bool | str = hyperparameter(
        "auto",
        choice("auto", True, False),
        Option(str, "WHEN", "Heed the environment's action masks: auto, on or off.", read=masks_of),
        unsaid_default=True,
        of_environment=True,
    )
    stepping: str = hyperparameter(
        "auto",
        choice("auto", "python", "model"),
        Option(
            str,
            "WAY",
            "The fastest way that is what step does (auto), its table P (model), or its own step (python).",
        ),
        unsaid_default=True,
        of_environment=True,
    )
    opponent: str | None = hyperparameter(
        None,
        choice(None, "self"),
        Option(str, "WHO", "Who moves in between, in games of two players in turn: self."),
        unsaid_default=True,
    )
    groups: str | dict[str, list[str]] = hyperparameter(
        "own",
        checked_groups,
        Option(
            str,
            "GROUPS",
            "Tables of several agents: own, shared, or NAME:AGENT,AGENT,... of each group, after semicolons.",
            read=groups_of,
        ),
        decode=lambda groups: checked_groups("groups", groups),
        unsaid_default=True,
        of_environment=True,
    )
    key: sets.Key | sets.Keys | sets.Rows | None = hyperparameter(
        None,
        sets.checked_key,
        Option(
            str, "MODULE:FUNCTION", "Of a fleet: states with equal keys are one state.", "none", sets.key_of
        ),
        encode=sets.key_to_config,
        unsaid_default=True,
    )
    actions: tuple[tuple[str, ...], ...] | None = hyperparameter(
        None,
        sets.checked_actions,
        Option(
            str,
            "NAME,...;NAME,...",
            "Of a fleet: names of the actions of each environment; equal names are one action.",
            "all have the same",
            sets.actions_of,
        ),
        encode=sets.actions_to_config,
        unsaid_default=True,
    )
    tasks: several.Tasks | None = hyperparameter(
        None,
        several.checked_tasks,
        Option(
            str,
            "TASKS",
            "Learn several at once: goals:14,37,60, goals:all, or weights:1,0;0,1 of vector rewards.",
            "the environment's own rewards",
            several.tasks_of,
        ),
        encode=several.tasks_to_config,
        decode=several.tasks_from_config,
        unsaid_default=True,
    )
    comm: str = hyperparameter(
        "auto",
        _checked_comm,
        Option(str, "NAME", "Communicator: a name, a URL, or auto."),
        decode=_comm_from_config,
        may_change=True,
    )
    overlap: bool = hyperparameter(
        False,
        choice(True, False),
        Option(bool, None, "Merge while the next window is learnt, one window late."),
    )

    per_worker: Mapping[str, Any] | None = hyperparameter(
        None,
        schedules.as_per_worker,
        Option(
            str,
            "NAME:VALUE,VALUE,...",
            "Of each worker: exploration or step_size, as exploration:0.05,0.2, or policy:none,0, an action each.",
            "none",
            per_worker_of,
        ),
        encode=schedules.per_worker_to_config,
        decode=schedules.per_worker_from_config,
        unsaid_default=True,
    )
    federation: schedules.Federation | None = hyperparameter(
        None,
        checked_federation,
        Option(
            str,
            "PART[:DROPPED]",
            "Part of the workers in each round, and the chance that what one of them learns is lost.",
            "all, and none",
            federation_of,
        ),
        encode=lambda value: None if value is None else value.to_config(),
        decode=lambda config: None if config is None else schedules.Federation.from_config(config),
        unsaid_default=True,
    )

    def to_config(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        return {
            known.key or name: known.encode(value)
            for name, known in HYPERPARAMETERS.items()
            if not _is_unsaid(known, name, value := getattr(self, name))
        }

    def shared(self) -> dict[str, Any]:
        """Return, as a JSON object, what must be the same on all ranks, by the names of the arguments."""
        config = self.to_config()
        return {
            name: config[known.key or name]
            for name, known in HYPERPARAMETERS.items()
            if not known.may_change and (known.key or name) in config
        }

    def of_environment(self) -> list[str]:
        """Return the names of hyper-parameters that were given, and say how an environment is to be learnt."""
        return [name for name in OF_ENVIRONMENT if getattr(self, name) != DEFAULTS[name]]


HYPERPARAMETERS: Mapping[str, Hyperparameter] = MappingProxyType(table_of(fields(Settings)))
DEFAULTS: Mapping[str, Any] = MappingProxyType({one.name: one.default for one in fields(Settings)})
OF_ENVIRONMENT = [name for name, known in HYPERPARAMETERS.items() if known.of_environment]
MAY_CHANGE = frozenset(name for name, known in HYPERPARAMETERS.items() if known.may_change)


def _is_unsaid(known: Hyperparameter, name: str, value: Any) -> bool:
    return known.unsaid_default and bool(value == known.check(name, DEFAULTS[name]))
