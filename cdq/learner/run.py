"""Part of this process in a call of `learn`: its workers, each in a thread, and the end of the call."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cdq._version import __version__
from cdq.comm.base import Communicator
from cdq.errors import EnvironmentFailure, PeerLost
from cdq.qfunctions import bring_together
from cdq.training import (
    TERMINATED,
    Course,
    Ended,
    LearnCall,
    Nobody,
    Progress,
    learn_rounds,
    require_same,
    require_same_tables,
    run_workers,
    watch_nothing,
)
from cdq.workers import Worker

# Head of what a rank brings to a checkpoint, before its lanes: the digest of its table, bytes sent in rounds.
_HEAD = struct.Struct("<32sq")

Show = Callable[[], None]


def conduct(
    call: LearnCall, learn: Callable[[Show], Ended], comm: Communicator | None, *, hosted: bool
) -> None:
    """Learn until the goal of a call; raises as `QLearner.learn` does.

    Parameters
    ----------
    call : LearnCall
        The call.
    learn : callable
        Lets the workers learn, and calls its argument now and then, which shows progress.
    comm : Communicator or None
        Connection to the other ranks, where this process is one of several.
    hosted : bool
        True where workers join a hub of this process.
    """
    call.requests.require_none_left()
    call.team.roll_back()  # the windows of those that were left behind, which have ended
    call.plan.law(call.state.progress.steps)  # tabulated before the clock starts, and before the threads
    with call.checkpoints.held(comm, by_hub=hosted), call.callbacks:
        try:
            ended = learn(call.callbacks.look)
        except (EnvironmentFailure, PeerLost):
            call.team.roll_back()
            if _is_first(comm):
                _save_last_round(call)
            raise
        finally:
            if not call.requests.left:  # they still use their tables
                call.team.roll_back()
            call.requests.clear()
    if ended.signal == TERMINATED:  # perhaps too late for the last round
        if _is_first(comm):
            print(_ended_early(call, hosted=hosted), file=sys.stderr)
        raise SystemExit(0)


def _is_first(comm: Communicator | None) -> bool:
    return comm is None or comm.rank == 0


def _save_last_round(call: LearnCall) -> None:
    """Write a checkpoint without lanes, as the state of the others' lanes is not known."""
    if call.state.goal.keep_every:
        call.write_checkpoint()


def _ended_early(call: LearnCall, *, hosted: bool) -> str:
    how = call.checkpoints.how_to_resume()
    if hosted:
        how = f"start the hub again in the same way, on {call.checkpoints.path}, to go on"
    return f"cdq: ended early after {call.state.progress.steps:,} steps; {how}"


class Run:
    """Workers of this process in a call of `learn`, each in a thread.

    Parameters
    ----------
    call : LearnCall
        The call.
    comms : sequence of Communicator
        Communicators of the workers; they end with the run. The first worker keeps the table of this process.
    """

    def __init__(self, call: LearnCall, comms: Sequence[Communicator]) -> None:
        self._call, self._comms = call, comms
        self._among_processes = len(comms) < comms[0].size
        history = call.state.history
        self._bytes_before = history[-1].bytes if len(history) else 0

    def learn(self, show: Show) -> Ended:
        """Learn until the end of the call, and return the reason for that; *show* is called now and then."""
        courses = [self._course(comm) for comm in self._comms]
        tasks = [partial(self._take_part, *pair) for pair in zip(self._comms, courses, strict=True)]
        graceful = self._call.plan.keep_every > 0
        run_workers(tasks, self._comms, self._call.requests, show, graceful=graceful)
        return courses[0].ended

    def _is_keeper(self, comm: Communicator) -> bool:
        return comm is self._comms[0]

    def _course(self, comm: Communicator) -> Course:
        call, progress = self._call, self._call.state.progress
        return Course(
            plan=call.plan,
            progress=progress if self._is_keeper(comm) else Progress(progress.steps, progress.window),
            target=call.state.goal.target,
            size=comm.size,
            num_envs=call.settings.num_envs * call.task.lanes_each,
            watch=call.watch if comm.rank == 0 else watch_nothing,
            finish=call.requests.finish,
            rank=comm.rank,
            onlooker=call.onlooker and (call if comm.rank == 0 else Nobody()),
        )

    def _take_part(self, comm: Communicator, course: Course) -> None:
        """Learn as one rank, in a thread of its own."""
        call = self._call
        if self._among_processes:
            require_same(comm, identity(call))
        try:
            contribution = call.team.join(comm, is_keeper=self._is_keeper(comm), plan=call.plan)
            worker = call.team.workers[comm.rank]
            if comm.rank == 0:
                call.callbacks.begin()
            comm.bytes_sent = 0  # the history counts what rounds exchange
            ended = learn_rounds(
                worker,
                contribution,
                comm,
                plan=call.plan,
                course=course,
                write_checkpoint=self._write_checkpoint,
            )
            self._bring_together(comm)
        finally:
            call.team.leave(comm.rank)
        if self._is_keeper(comm):
            call.end(ended)

    def _bring_together(self, comm: Communicator) -> None:
        """Let the processes know what each keeps for itself; the workers of one have a table in common."""
        if self._among_processes:
            bring_together(self._call.state.merged, self._call.state.blocks, comm)

    def _write_checkpoint(self, worker: Worker, comm: Communicator) -> None:
        """Write a checkpoint, from rank 0; all ranks compare their tables first."""
        call = self._call
        apart = call.plan.overlap or self._among_processes
        digest = worker.digest() if apart else bytes(32)  # else they have one table
        sent = comm.bytes_sent
        parts = [bytes(part) for part in comm.allgather(_HEAD.pack(digest, sent) + worker.lane_state)]
        digests, all_sent = zip(*map(_HEAD.unpack_from, parts), strict=True)
        steps = call.state.progress.steps
        if apart:
            require_same_tables(digests, steps)
        self._bring_together(comm)
        comm.bytes_sent = sent
        if comm.rank == 0:
            call.state.history.recount(self._bytes_before + sum(all_sent))
            if call.checkpoints.path is None:  # a large table is not copied for nothing
                return
            call.write_checkpoint([part[_HEAD.size :] for part in parts])


def learn_as_rank(call: LearnCall, comm: Communicator, show: Show = lambda: None) -> Ended:
    """Learn as one rank of several; the communicator may be used again."""
    return Run(call, [comm.split(0) or comm]).learn(show)


def identity(call: LearnCall) -> dict[str, Any]:
    """Return all that must be the same on all ranks of a call."""
    state, goal = call.state, call.state.goal.to_config()
    return {
        "cdq version": __version__,
        "environment": call.about["environment"],
        "model": call.about["model"],
        **call.settings.shared(),
        "steps": state.progress.steps,
        "window": state.progress.window,
        "session": state.session,
        "steps to reach": goal["target"],
        "until": goal["until"],
        "checkpoint_every": goal["keep_every"],
        "table": state.merged.digest().hex(),
    }
