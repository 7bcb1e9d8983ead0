"""Workers of a call of `learn`, from every backend: the one place that tells backends apart.

Threads of this process, or this process as one rank of several: `Run.learn`. Members of a hub, which join, or which
this process starts: `job.local`. Ranks in processes that this one starts, for environments in Python: `learner.ranks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from cdq.errors import ConfigError
from cdq.learner.connecting import TIMEOUT, is_hub
from cdq.learner.run import Run
from cdq.storage import pack_tensors


def learn(run: Run) -> None:
    """Learn until the goal of a run, with the workers that its communicator stands for."""
    run.run(partial(_learn, run))


def _learn(run: Run, show: Callable[[], None]) -> None:
    if not is_hub(run.comm):
        run.learn(show)
    elif run.task.model is not None:
        from cdq.job import learn

        learn(run, run.hosting, show)
    else:
        _learn_beside(run, show)


def _learn_beside(run: Run, show: Callable[[], None]) -> None:
    """Learn as rank 0 of processes that this one starts."""
    from cdq.learner.parcel import make_parcel
    from cdq.learner.ranks import beside

    if run.hosting is not None:
        raise ConfigError(
            f"a hub holds jobs of environments with a model; {run.task.name} has none "
            f"({run.task.why}). Let ranks learn it: cdq launch, or mpiexec"
        )
    came_back = False
    try:
        parcel = make_parcel(run.task, run.settings)
        with beside(run.settings.workers, parcel, _beginning(run), TIMEOUT) as comm:
            replace(run, comm=comm).learn(show)
            if not run.requests.stop[0]:
                run.team.take_back(comm)
                came_back = True
    finally:
        if not came_back:  # the state of the others' lanes is not known: their streams restart
            run.team.lane_states.clear()
            run.state.session += 1


def _beginning(run: Run) -> bytes:
    """Return the state that the other ranks are sent first: tables, counters, and their lanes where those are known."""
    tensors, counters = run.state.everything()
    others = [
        run.team.lane_states[rank] for rank in range(1, run.settings.workers) if rank in run.team.lane_states
    ]
    if others and len(others) == run.settings.workers - 1:
        tensors["lanes"] = np.stack(others)
    return pack_tensors(tensors, {**run.about, **counters})
