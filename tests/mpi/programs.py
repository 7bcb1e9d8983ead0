"""Programs of ranks that do more with MPI, or with processes, than learn: ``... tests.mpi.programs NAME`` on each."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import mpi4py

NO_INIT = {"is_not_initialised", "initialises_itself"}
LEVELS = {"is_single": "single", "is_funneled": "funneled"}
CODE = "import cdq; agent = cdq.QLearner('FrozenLake-v1', seed=0, workers=2).learn(2000); print(agent.table.digest())"


def learner(**changes: Any) -> Any:
    import cdq

    return cdq.QLearner("FrozenLake-v1", seed=0, comm="mpi", **changes)


def say(line: object) -> None:
    """Print a line in one piece, which the others' lines do not fall into."""
    os.write(1, f"{line}\n".encode())


def finalises(mpi: Any) -> None:
    agent = learner().learn(2000)
    mpi.Finalize()
    agent.close()
    say(agent.table.visits.sum())


def finalises_at_exit(mpi: Any) -> None:
    import atexit

    learner().learn(2000)
    atexit.register(mpi.Finalize)


def finalises_and_fails(mpi: Any) -> None:
    learner().learn(2000)
    mpi.Finalize()
    raise ValueError("the cause")


def finalises_and_makes_a_learner(mpi: Any) -> None:
    mpi.Finalize()
    learner()


def finalises_and_learns(mpi: Any) -> None:
    agent = learner()
    mpi.Finalize()
    agent.learn(2000)


def is_not_initialised(mpi: Any) -> None:
    learner()


def initialises_itself(mpi: Any) -> None:
    mpi.Init_thread(mpi.THREAD_SERIALIZED)
    learner().learn(2000)
    mpi.Finalize()


def is_single(mpi: Any) -> None:
    learner()


def is_funneled(mpi: Any) -> None:
    learner()


def crosses_two_learners(mpi: Any) -> None:
    first, second = learner(), learner()
    in_order = [first, second] if first.rank == 0 else [second, first]
    for agent in in_order:
        agent.learn(2000)


def crosses_a_learner_and_a_log(mpi: Any) -> None:
    first, second = learner(), learner()
    log = ([13, 14], [2, 2], [0.0, 1.0], [14, 15], [False, True])
    if first.rank == 0:
        first.learn(2000)
    second.learn_from(*log)


def starts_a_program(mpi: Any) -> None:
    agent = learner()
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    say(f"alone: {done.stdout.strip()}{done.stderr}")
    code = CODE.replace("workers=2", "comm='mpi'")
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    say(refused.stderr.splitlines()[-1])
    agent.learn(2000)


def learnt(seed: int) -> str:
    import cdq

    return str(cdq.QLearner("FrozenLake-v1", seed=0, workers=2).learn(2000).table.digest())


def pool(how: str) -> list[str]:
    context: Any = multiprocessing.get_context(how)
    with context.Pool(2) as processes:
        digests: list[str] = processes.map(learnt, range(2))
    return digests


def spawns_a_pool(mpi: Any) -> None:
    say("alone: " + "\nalone: ".join(pool("spawn")))
    agent = learner().learn(2000)
    say("alone: " + "\nalone: ".join(pool("spawn")))
    agent.learn(2000)


def forks_a_pool_first(mpi: Any) -> None:
    say("alone: " + "\nalone: ".join(pool("fork")))
    learner().learn(2000)


def forks_a_pool_of_mpi(mpi: Any) -> None:
    learner().learn(2000)
    pool("fork")


def learns_mazes(mpi: Any) -> None:
    from tests.learner.test_common import STEPS, fleet

    say(f"table {fleet(workers=3).learn(STEPS, verbose=0).table.digest()}")


PROGRAMS: dict[str, Callable[[Any], None]] = {
    name: program for name, program in globals().items() if getattr(program, "__module__", "") == __name__
}


def main(name: str) -> None:
    """Run a program; MPI is loaded first, as the program wants it, but where that is the point."""
    mpi4py.rc.initialize = name not in NO_INIT
    mpi4py.rc.thread_level = LEVELS.get(name, "serialized")
    mpi = None
    if not name.startswith("forks_a_pool_first"):
        from mpi4py import MPI as mpi
    PROGRAMS[name](mpi)


if __name__ == "__main__":
    main(sys.argv[1])
