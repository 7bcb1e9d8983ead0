"""A call of `learn_from`: a run whose workers replay a log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cdq._arguments import whole
from cdq.agreement import require_same
from cdq.comm.base import Communicator
from cdq.errors import ConfigError
from cdq.keeping import Checkpoints
from cdq.logs import Log, read_log, read_minari
from cdq.offline import Replays, steps_of
from cdq.run import Run, is_hub, meet
from cdq.settings import Settings
from cdq.state import State
from cdq.subject import Subject
from cdq.team import Team
from cdq.until import Goal

_COLUMNS = ("actions", "rewards", "next_observations", "terminated")


def log_for(subject: Subject, observations: Any, *others: Any) -> Log:
    """Return a log of what *subject* learns: of all columns, or of a Minari dataset in place of the observations.

    Raises
    ------
    ConfigError
        If a column is missing, or an entry is not allowed.
    """
    columns = (observations, *others)
    if isinstance(observations, str) or hasattr(observations, "iterate_episodes"):
        if any(other is not None for other in others):
            raise ConfigError("a Minari dataset has all columns; give no others")
        columns = read_minari(observations)
    elif missing := [name for name, other in zip(_COLUMNS, others, strict=True) if other is None]:
        raise ConfigError(f"{', '.join(missing)} missing; a log has observations, {', '.join(_COLUMNS)}")
    return read_log(
        *columns,
        encoding=subject.encoding(),
        n_actions=subject.n_actions,
        first_action=subject.first_action,
    )


def size_of(comm: Communicator | str, settings: Settings) -> int:
    """Return how many workers there are."""
    return comm.size if isinstance(comm, Communicator) else settings.workers


def goal_of(state: State, log: Log, size: int, passes: int) -> Goal:
    """Return what a call of `learn_from` with *size* workers is to reach.

    Raises
    ------
    ConfigError
        If *passes* is not a whole number of at least 1.
    """
    return Goal(state.progress.steps + steps_of(log, size, whole("passes", passes, 1)))


def replay(run: Run, log: Log) -> None:
    """Learn *log* with the workers of *run*, each its part, until its goal.

    The workers are threads of this process where those of *run* would be processes that it starts: nothing is stepped.
    """
    if isinstance(run.comm, Communicator):
        meet(run.comm)
        require_same(run.comm, {"log": log.fingerprint()})
    subject, settings, size = run.subject, replace(run.settings, num_envs=1), size_of(run.comm, run.settings)
    replays = Replays(
        log,
        subject.n_rows,
        subject.n_actions,
        dtype=settings.dtype,
        q_function=subject.q_function,
        name=subject.name,
    )
    team = Team(replays, run.state, settings, run.requests.stop)
    team.lanes = {rank: replays.lane(rank, size) for rank in range(size)}
    run.team.forget_tables()
    replace(
        run,
        settings=settings,
        team=team,
        comm="inprocess" if is_hub(run.comm) else run.comm,
        checkpoints=Checkpoints(None, None),
        hosting=None,
    ).play()
