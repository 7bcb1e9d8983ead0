"""A process that is a rank beside the one that started it: ``python -m cdq.learner.rank URL RANK SIZE TIMEOUT``.

Its standard input is a socket to that one, which gives it a parcel (`learner.parcel`) and hears how it was received.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from dataclasses import replace

from cdq.comm.base import Communicator
from cdq.comm.registry import connect
from cdq.comm.zmq.ranks.communicator import RANK_VARIABLE
from cdq.envs.by_value import pack, unpack
from cdq.errors import CdqError, CommError, ConfigError
from cdq.job import PARENT, answer, end_with_parent, receive
from cdq.learner.assembly import make_table, make_task
from cdq.learner.parcel import Parcel, restore_surroundings
from cdq.learner.run import learn_as_rank
from cdq.merges import resolve
from cdq.settings import Settings
from cdq.storage import parse_tensors
from cdq.training import Checkpoints, EnvironmentTask, LearnCall, Progress, Requests, State, Team

_BEGIN = "what rank 0 said"


def open_parcel(parcel: Parcel, rank: int) -> tuple[EnvironmentTask, Settings]:
    """Return task and settings, made here as they were by the process that sent the parcel.

    Raises
    ------
    ConfigError, UnsupportedEnvironment
        If it cannot be made here, or is another one.
    """
    from cdq.envs.sending import register
    from cdq.envs.trial import require_same_play

    restore_surroundings(parcel)
    env, settings = unpack(parcel.env), unpack(parcel.settings)
    is_fleet = isinstance(env, list)
    for one in env if is_fleet else [env]:
        register(one, parcel.registry)
    if parcel.trial:
        own, trial = (pack(env[rank]), parcel.trial[rank]) if is_fleet else (parcel.env, parcel.trial)
        require_same_play(own, trial, f"worker {rank}")
    stepping = "python" if parcel.steps else settings.stepping
    workers = len(env) if is_fleet else 1
    if settings.network is not None:  # a minibatch is shared by all
        workers = settings.workers
    task, _ = make_task(env, replace(settings, stepping=stepping, workers=workers))
    if (task.fingerprint(), task.kinds()) != parcel.made:
        raise ConfigError(
            f"what is given makes another environment in worker {rank}: {' of '.join(task.kinds())} in place of "
            f"{' of '.join(parcel.made[1])}, or with another spec or other spaces; it must make the same at each call"
        )
    return task, replace(settings, comm="auto")


def take_part(comm: Communicator, task: EnvironmentTask, settings: Settings) -> None:
    """Learn what rank 0 says, until its call of `learn` ends."""
    tensors, header = parse_tensors(bytes(comm.broadcast(b"", 0)), _BEGIN)
    state = State(make_table(task, settings, alone=False), Progress(0, 0.0), blocks=task.blocks)
    state.restore(_BEGIN, tensors, header, task)
    requests = Requests()
    team = Team(task, state, settings, requests.stop)
    if "lanes" in tensors:
        team.lane_states[comm.rank] = tensors["lanes"][comm.rank - 1]
    rule = resolve(settings.merge)
    call = LearnCall(task, settings, rule, state, team, Checkpoints(None, None), requests)
    learn_as_rank(call, comm)
    team.take_back(comm)


def _begin(end: socket.socket, rank: int) -> tuple[EnvironmentTask, Settings]:
    """Take the parcel, and answer to its sender whether it could be opened."""
    try:
        made = open_parcel(unpack(receive(end)), rank)
    except BaseException as error:  # whatever an environment raises
        with contextlib.suppress(OSError):  # nobody listens any more
            answer(end, error)
        raise SystemExit(1) from error
    answer(end, None)
    return made


def _standard_input() -> socket.socket:
    """Return the socket that standard input is, which then is nothing."""
    end = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return end


def main() -> None:
    """Take part as the command line says."""
    url, rank, size, timeout = sys.argv[1:]
    end_with_parent(os.environ[PARENT])
    os.environ[RANK_VARIABLE] = rank
    with _standard_input() as end:
        task, settings = _begin(end, int(rank))
    try:
        with connect(url, int(size), float(timeout))[0] as comm:
            take_part(comm, task, settings)
    except CommError as error:
        raise SystemExit(1) from error  # where it began, it is said
    except CdqError as error:
        raise SystemExit(f"cdq: rank {rank}: {error}") from None


if __name__ == "__main__":
    main()
