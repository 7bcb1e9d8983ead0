"""Errors that cdq raises: each says what is wrong, the value, the allowed values and the remedy.

- `checks`: Checks of what users give.
- `lazy`: Modules that are imported on first use.
- `naming`: Names of arguments: one that a call does not have, or lacks, is told with the name that was meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class CdqError(Exception):
    """Base of every error that cdq raises on purpose."""


class ConfigError(CdqError, ValueError):
    """An argument is outside the allowed values."""


class UnknownArgument(ConfigError, TypeError):
    """A call got an argument by a name that it does not have; a TypeError too, as Python's own error is."""


class MissingArgument(ConfigError, TypeError):
    """A call lacks an argument that it needs; a TypeError too, as Python's own error is."""


class ModelError(CdqError, ValueError):
    """A finite model is not one: probabilities, successors, rewards or start are wrong."""


class UnsupportedEnvironment(CdqError, ValueError):
    """An environment is unknown, or of a kind that cannot be learnt."""


class EnvironmentFailure(CdqError):
    """An environment failed while it was learnt on, or answered with what cannot be learnt.

    Attributes
    ----------
    what : str
        Description of the failure.
    lane, step : int or None
        Number of the failing environment among the worker's, and of the step in its episode, counted from 1.
    worker : int or None
        Rank of the failing worker, once it is known.
    """

    def __init__(self, what: str, *, lane: int | None = None, step: int | None = None) -> None:
        super().__init__(what)
        self.what, self.lane, self.step = what, lane, step
        self.worker: int | None = None

    def __str__(self) -> str:
        places = {"worker": self.worker, "lane": self.lane, "step": self.step}
        where = ", ".join(f"{name} {number}" for name, number in places.items() if number is not None)
        return f"{where}: {self.what}" if where else self.what


class LearningDiverged(CdqError):
    """The weights of a linear Q-function grow without bound; the table is that of the last whole round."""


class LearnerBusy(CdqError, RuntimeError):
    """A learner got another call in the course of a running one, which goes on unharmed."""


class TableError(CdqError, ValueError):
    """A table does not fit the environment, or holds values that are not finite."""


class NotLearnt(TableError, ConfigError, AttributeError):
    """A learner has no such part, as a network has no table; an AttributeError too, so that `hasattr` is False."""


class FileError(CdqError, OSError):
    """A file is missing, truncated, altered or not one of cdq's."""


class PackageMissing(CdqError, ImportError):
    """An optional package is missing; the message says how to get it."""


class CommError(CdqError):
    """Base of the communicators' errors; the communicator that raised it must not be used again."""


class CommTimeout(CommError):
    """A collective did not complete before its deadline.

    Attributes
    ----------
    missing : tuple of int
        The ranks that did not arrive.
    """

    def __init__(self, message: str, missing: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class PeerLost(CommError):
    """Another rank failed or left.

    Attributes
    ----------
    ranks : tuple of int
        The ranks that are lost.
    """

    def __init__(self, message: str, ranks: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.ranks = tuple(ranks)


class CollectiveMismatch(CommError):
    """The ranks made different calls at the same place; every rank gets this error."""


class DivergenceError(CdqError):
    """The tables of the ranks are not the same after a merge, as they must be.

    Attributes
    ----------
    ranks : tuple of int
        The ranks whose tables differ from those of most ranks.
    """

    def __init__(self, message: str, ranks: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.ranks = tuple(ranks)


class CommClosed(CommError):
    """The communicator was closed, aborted, or is used from a process or thread that does not own it."""


class BackendUnavailable(CommError, ImportError):
    """A communicator's package or library is missing; the message says how to get it."""


# Names that other libraries and textbooks have for arguments of this one.
_ELSEWHERE = {
    "alpha": "step_size",
    "eval_env": "env",
    "eval_freq": "every",
    "eval_seed": "seed",
    "filename": "path",
    "log_dir": "directory",
    "log_freq": "every",
    "log_path": "path",
    "logdir": "directory",
    "max_seconds": "seconds",
    "reward_threshold": "at_least",
    "threshold": "at_least",
    "discount": "gamma",
    "discount_factor": "gamma",
    "environment": "env",
    "eps": "exploration",
    "epsilon": "exploration",
    "exploration_final_eps": "exploration",
    "exploration_fraction": "exploration",
    "exploration_initial_eps": "exploration",
    "initial_q": "initial_value",
    "learning_rate": "step_size",
    "lr": "step_size",
    "max_steps": "steps",
    "n_episodes": "episodes",
    "n_envs": "num_envs",
    "n_eval_episodes": "episodes",
    "n_steps": "steps",
    "n_workers": "workers",
    "num_episodes": "episodes",
    "num_steps": "steps",
    "num_workers": "workers",
    "optimistic": "initial_value",
    "progress_bar": "verbose",
    "q_init": "initial_value",
    "random_state": "seed",
    "csv": "log_to",
    "logger": "log_to",
    "tb": "log_to",
    "tensorboard": "log_to",
    "tensorboard_log": "log_to",
    "timesteps": "steps",
    "total_steps": "steps",
    "total_timesteps": "steps",
}


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """Return the message for an unknown *name*: what there is, and the nearest of it.

    Examples
    --------
    >>> unknown_name("merge", "poled", ["mean", "pooled"])
    "unknown merge 'poled'; known: mean, pooled. Did you mean 'pooled'?"
    >>> unknown_name("option", "--learning-rate", ["--seed", "--step-size"])
    "unknown option '--learning-rate'; known: --seed, --step-size. Did you mean '--step-size'?"
    """
    names = sorted(known)
    meant = _ELSEWHERE.get(_bare(str(name)))
    close = [one for one in names if _bare(one) == meant] or difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {what} {name!r}; known: {', '.join(names)}.{hint}"


def _bare(name: str) -> str:
    """Return the name of an argument that an option stands for."""
    return name.lstrip("-").replace("-", "_")
