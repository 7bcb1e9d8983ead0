"""Part of this process in a call of `learn`."""

from __future__ import annotations

import logging
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from cdq._common import MOST_STEPS, whole
from cdq._version import __version__
from cdq.comm.base import Communicator
from cdq.comm.registry import connect
from cdq.errors import CollectiveMismatch, ConfigError, EnvironmentFailure, PeerLost
from cdq.learner.connecting import TIMEOUT, _joined
from cdq.mdp import MDP
from cdq.training import (
    TERMINATED,
    Checkpoints,
    Course,
    EnvironmentTask,
    Goal,
    MeanReturn,
    OptimalWithin,
    Plan,
    Progress,
    ProgressLine,
    Requests,
    Settings,
    State,
    Team,
    Until,
    Watch,
    lanes_of,
    learn_rounds,
    require_same,
    require_same_tables,
    run_workers,
    watch_nothing,
)
from cdq.workers import Rule, Worker

if TYPE_CHECKING:
    from cdq.job import Hosting

_log = logging.getLogger("cdq")

# Of what a rank brings to a checkpoint, before its lanes: the digest of its table, bytes sent in rounds.
_HEAD = struct.Struct("<32sq")


def meet(comm: Communicator) -> None:
    """Meet the other ranks where all learners of the program do, before a learner's own communicator is used.

    Raises
    ------
    CollectiveMismatch
        If the ranks call `learn` of their learners in different orders, which would wait for each other for good.
    """
    for known in _joined.values():
        for number, other in enumerate(known, 1):
            if other is comm and known[0].usable:
                _require_same_learner(known[0], number)


def _require_same_learner(common: Communicator, number: int) -> None:
    numbers = [int(bytes(part)) for part in common.allgather(str(number).encode())]
    if len(set(numbers)) > 1:
        by_rank = "; ".join(f"rank {rank}: learner {other}" for rank, other in enumerate(numbers))
        raise CollectiveMismatch(
            f"the ranks call learn of different learners, in the order in which they were made: {by_rank}; "
            "call them in the same order on all ranks"
        )


def about(
    task: EnvironmentTask, settings: Settings, origin: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a learner's description as a JSON object; *origin* is that of the environment (`cdq.envs.origin`)."""
    told = {"environment": task.name, "model": task.fingerprint(), "settings": settings.to_config()}
    return {**told, "made_of": origin} if origin else told


def make_goal(state: State, checkpoints: Checkpoints, steps: float | None, until: Until | None) -> Goal:
    """Return the goal of a call of `learn`: *steps* more, or without them the goal of the call that was cut short.

    Raises
    ------
    ConfigError
        If *steps* or *until* is not allowed.
    """
    done = state.progress.steps
    if steps is None and until is None and state.goal.target:
        return state.goal
    more = whole("steps", steps, 0, MOST_STEPS - done)
    if until is not None and not isinstance(until, (OptimalWithin, MeanReturn)):
        raise ConfigError(f"until is {until!r}; allowed: cdq.OptimalWithin(...) or cdq.MeanReturn(...)")
    return Goal(done + more, until, checkpoints.every(more))


@dataclass
class Run:
    """A call of `learn`, as this process takes part in it.

    Attributes
    ----------
    task : EnvironmentTask
        The environment, and what the Q-function is made of.
    settings : Settings
        Settings of the learner.
    rule : str or callable
        Rule by which tables become one (`cdq.merges.resolve`).
    state : State
        State of the learner; changed by whole rounds.
    team : Team
        The workers of this process.
    comm : Communicator or str
        Communicator through which the workers reach the others, or the name of one (`join`).
    checkpoints : Checkpoints
        Checkpoints in which the state is kept.
    requests : Requests
        Requests that end the run early.
    watch : callable
        Called on rank 0 after every round; returns True to stop.
    hosting : Hosting, optional
        Address and rules of a hub that workers may join, where they are a hub's and are not started
        here.
    origin : dict
        Origin of the environment, for files, besides its name.
    """

    task: EnvironmentTask
    settings: Settings
    rule: Rule
    state: State
    team: Team
    comm: str | Communicator
    checkpoints: Checkpoints
    requests: Requests
    watch: Watch
    hosting: Hosting | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def about(self) -> dict[str, Any]:
        """Description of the learner, as a JSON object."""
        return about(self.task, self.settings, self.origin)

    def __post_init__(self) -> None:
        history = self.state.history
        self._bytes_before = history[-1].bytes if len(history) else 0

    @property
    def model(self) -> MDP:
        """The finite model; there is one where a hub merges."""
        assert self.task.model is not None
        return self.task.model

    @property
    def rank(self) -> int:
        """Number of the worker that this process is, where each process is one; else 0."""
        return self.comm.rank if isinstance(self.comm, Communicator) else 0

    @cached_property
    def plan(self) -> Plan:
        """Settings that every worker follows."""
        settings = self.settings
        return Plan(
            settings.step_size,
            settings.exploration,
            self.rule,
            settings.sync_every,
            settings.dtype,
            settings.overlap,
            self.state.goal.keep_every,
            self.task.step_scale,
        )

    def run(self, learn: Callable[[Callable[[], None]], None]) -> None:
        """Learn until the goal; raises as `QLearner.learn` does.

        Parameters
        ----------
        learn : callable
            Lets the workers learn, and calls its argument now and then, which shows progress: `Run.learn`, or what
            `learner.backends` chooses.
        """
        self.requests.require_none_left()
        if isinstance(self.comm, Communicator):
            meet(self.comm)
        self.team.roll_back()  # the windows of those that were left behind, which have ended
        self.plan.law(self.state.progress.steps)  # tabulated before the clock starts, and before the threads
        line = ProgressLine(self.state.history)
        with self.checkpoints.held(self.comm, by_hub=self.hosting is not None):
            try:
                learn(line.show)
                why = int(self.requests.finish[0])
            except (EnvironmentFailure, PeerLost):
                self.team.roll_back()
                self._save_last_round()
                raise
            finally:
                if not self.requests.left:  # they still use their tables
                    self.team.roll_back()
                line.clear()
                self.requests.clear()
        if why == TERMINATED:  # perhaps too late for the last round
            self._leave()

    def learn(self, show: Callable[[], None]) -> None:
        """Learn with the workers that this process has, each in a thread; *show* is called now and then."""
        comms = self._connect()
        graceful = self.plan.keep_every > 0
        run_workers(self._tasks(comms), comms, self.requests, show, graceful=graceful)

    def _save_last_round(self) -> None:
        """Write a checkpoint without lanes, as the state of the others' lanes is not known."""
        if self.rank == 0 and self.state.goal.keep_every:
            tensors, counters = self.state.everything()
            header = {"kind": "checkpoint", **self.about, **counters}
            self.checkpoints.write(self.state.progress.steps, tensors, header)

    def _leave(self) -> None:
        if self.rank == 0:
            how = self.checkpoints.how_to_resume()
            if self.hosting is not None:
                how = f"start the hub again in the same way, on {self.checkpoints.path}, to go on"
            print(f"cdq: ended early after {self.state.progress.steps:,} steps; {how}", file=sys.stderr)
        raise SystemExit(0)

    def _connect(self) -> list[Communicator]:
        """Return the communicators of this process's workers; they end with the call."""
        if isinstance(self.comm, Communicator):
            return [comm for comm in [self.comm.split(0)] if comm is not None]
        return connect(self.comm, self.settings.workers, TIMEOUT)

    def _tasks(self, comms: list[Communicator]) -> list[Callable[[], None]]:
        steps, window = self.state.progress.steps, self.state.progress.window
        tasks: list[Callable[[], None]] = []
        for comm in comms:
            is_keeper = comm is comms[0]
            course = Course(
                plan=self.plan,
                progress=self.state.progress if is_keeper else Progress(steps, window),
                target=self.state.goal.target,
                size=comm.size,
                num_envs=self.settings.num_envs,
                watch=self.watch if comm.rank == 0 else watch_nothing,
                finish=self.requests.finish,
            )
            tasks.append(partial(self._take_part, comm, course, is_keeper))
        return tasks

    def _take_part(self, comm: Communicator, course: Course, is_keeper: bool) -> None:
        """Learn as one rank, in a thread of its own."""
        if isinstance(self.comm, Communicator):
            require_same(comm, self._identity())
        try:
            contribution = self.team.join(comm, is_keeper=is_keeper, plan=self.plan)
            worker = self.team.workers[comm.rank]
            comm.bytes_sent = 0  # the history counts what rounds exchange
            learn_rounds(
                worker,
                contribution,
                comm,
                plan=self.plan,
                course=course,
                write_checkpoint=self._write_checkpoint,
            )
        finally:
            self.team.leave(comm.rank)
        if is_keeper:
            self._note_the_end()

    def _note_the_end(self) -> None:
        """Take note of what ended the run, once it has, where another rank knew it before."""
        progress, finish = self.state.progress, self.requests.finish
        if not progress.ended:  # by a condition, perhaps
            self.state.goal.target = min(self.state.goal.target, progress.steps)
        elif not finish[0]:
            finish[0] = TERMINATED

    def _identity(self) -> dict[str, Any]:
        """Return all that must be the same on all ranks."""
        goal = self.state.goal.to_config()
        return {
            "cdq version": __version__,
            "environment": self.about["environment"],
            "model": self.about["model"],
            **self.settings.shared(),
            "steps": self.state.progress.steps,
            "window": self.state.progress.window,
            "session": self.state.session,
            "steps to reach": goal["target"],
            "until": goal["until"],
            "checkpoint_every": goal["keep_every"],
            "table": self.state.merged.digest().hex(),
        }

    def _write_checkpoint(self, worker: Worker, comm: Communicator) -> None:
        """Write a checkpoint, from rank 0; all ranks compare their tables first."""
        apart = self.plan.overlap or isinstance(self.comm, Communicator)
        digest = worker.digest() if apart else bytes(32)  # else they have one table
        sent = comm.bytes_sent
        parts = [bytes(part) for part in comm.allgather(_HEAD.pack(digest, sent) + worker.lane_state)]
        comm.bytes_sent = sent
        digests, all_sent = zip(*map(_HEAD.unpack_from, parts), strict=True)
        steps = self.state.progress.steps
        require_same_tables(digests, steps)
        if comm.rank == 0:
            self.state.history.recount(self._bytes_before + sum(all_sent))
            if self.checkpoints.path is None:  # a large table is not copied for nothing
                return
            tensors, counters = self.state.everything()
            tensors["lanes"] = lanes_of([part[_HEAD.size :] for part in parts])
            self.checkpoints.write(steps, tensors, {"kind": "checkpoint", **self.about, **counters})
