"""The library's own workers and rounds on known models, their merged table watched after every round."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from cdq import MDP, solve
from cdq.comm.base import Communicator
from cdq.comm.registry import connect
from cdq.mdp.sampler import pack_model
from cdq.qfunctions.merged import MergedTable
from cdq.schedules import Constant, StepSize
from cdq.training.course import Course, Plan, Progress, learn_rounds
from cdq.training.interrupts import Requests
from cdq.training.threads import run_workers
from cdq.windows import AutoWindow, FixedWindow, Window
from cdq.workers.contribution import WorkerContribution
from cdq.workers.worker import Worker

FloatArray = npt.NDArray[np.float64]
Watch = Callable[[int, FloatArray], bool]  # steps per worker and the merged table -> whether to stop

# The automatic window without a floor: what the experiments are about is samples, not the cost of merging.
SHORTEST = AutoWindow(mass=0.3, floor=1)


def plan(
    step_size: StepSize | float,
    merge: str = "pooled",
    window: Window | int = SHORTEST,
    exploration: float = 1.0,
) -> Plan:
    """Return what the workers do, in float64; by default their actions are uniformly random."""
    law = Constant(step_size) if isinstance(step_size, float) else step_size
    every = FixedWindow(window) if isinstance(window, int) else window
    return Plan(law, Constant(exploration), merge, every, "float64")


def learn(
    model: MDP,
    doing: Plan,
    *,
    gamma: float,
    workers: int,
    steps: int,
    seed: int,
    watch: Watch = lambda steps, values: False,
    initial: npt.ArrayLike = 0.0,
    num_envs: int = 1,
    one_stream: bool = False,
) -> FloatArray:
    """Learn for *steps* steps per worker in threads; return the table. *one_stream*: all workers draw the same."""
    sampler, requests, begin = pack_model(model, doing.dtype), Requests(), float(doing.window.floor)
    merged = MergedTable(model.n_states, model.n_actions, doing.dtype, 0.0)
    merged.values[:] = initial
    comms = connect("inprocess", workers, 60.0)

    def task(comm: Communicator) -> partial[None]:
        first = comm.rank == 0
        worker = Worker(
            sampler,
            merged,
            is_keeper=first,
            gamma=gamma,
            seed=seed,
            rank=0 if one_stream else comm.rank,
            session=0,
            num_envs=num_envs,
            stop=requests.stop,
        )
        course = Course(
            plan=doing,
            progress=Progress(0, begin),
            target=steps * workers,
            size=workers,
            num_envs=num_envs,
            watch=lambda done, _: first and watch(done // workers, merged.values),
            finish=requests.finish,
        )
        contribution = WorkerContribution(worker, doing.needs_mass)
        return partial(learn_rounds, worker, contribution, comm, plan=doing, course=course)

    run_workers([task(comm) for comm in comms], comms, requests, lambda: None)
    return np.array(merged.values)


class Errors:
    """A watch that keeps the normalised error (1 - gamma) max |Q - Q*| after every round.

    It asks to stop once the error is below *enough*.
    """

    def __init__(self, model: MDP, gamma: float, enough: float = 0.0) -> None:
        self._optimal, self._scale, self._enough = solve(model, gamma).values, 1.0 - gamma, enough
        self.steps: list[int] = []
        self.errors: list[float] = []

    def __call__(self, steps: int, values: FloatArray) -> bool:
        self.steps.append(steps)
        self.errors.append(self._scale * float(np.abs(values - self._optimal).max()))
        return self.errors[-1] < self._enough

    def first_below(self, enough: float) -> float:
        """Return the steps per worker after which the error was first below *enough*; infinity if it never was."""
        return next((float(s) for s, e in zip(self.steps, self.errors, strict=True) if e < enough), np.inf)

    def after(self, steps: int) -> float:
        """Return the error after the first round that ended at *steps* or later."""
        return self.errors[min(int(np.searchsorted(self.steps, steps)), len(self.errors) - 1)]


def garnet(seed: int) -> MDP:
    """Return the model of 20 states, 4 actions and 4 successors that E9 and E10 were measured on."""
    random = np.random.default_rng(1000 + seed)
    probability = np.zeros((20, 4, 20))
    for state in range(20):
        for action in range(4):
            probability[state, action, random.choice(20, 4, replace=False)] = random.dirichlet(np.ones(4))
    return MDP.from_arrays(probability, random.uniform(0, 1, (20, 4)), layout="SAS")


def slope(workers: npt.ArrayLike, errors: npt.ArrayLike) -> float:
    """Return the exponent p of the power law errors = c workers^p, by least squares in logarithms."""
    return float(np.polyfit(np.log(workers), np.log(errors), 1)[0])


def woo(n_actions: int, seed: int) -> MDP:
    """Return the model of Woo, Joshi and Chi (2023): two states, one pays 1, each action stays with .4 to .6."""
    stay = np.random.default_rng(seed).uniform(0.4, 0.6, (2, n_actions))
    probability = np.stack(
        [np.where([[True], [False]], stay, 1 - stay), np.where([[True], [False]], 1 - stay, stay)]
    )
    return MDP.from_arrays(probability.transpose(1, 2, 0), [0.0, 1.0], layout="SAS")
