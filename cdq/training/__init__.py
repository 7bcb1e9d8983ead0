"""A call of `learn`: settings, task, course, monitor, goals, checkpoints, threads.

- `agreement`: Agreement of all ranks of a run on settings, seed and tables, checked before anything depends on it.
- `checkpoints`: Checkpoints of a run: when they are due, the check that the directory is the run's own, and how to
  resume.
- `course`: The course of a call of `learn`: its windows, and the steps and checkpoints that are behind it.
- `goals`: Goals of `learn`: a number of steps, or a condition that may end it sooner.
- `history`: The record of a run: a row per round, and fewer of a long one.
- `hyperparameters`: Parts of which a hyper-parameter is made: its check, its form in a file, its option on a command
  line.
- `interrupts`: Requests to end a run early: signals make them, workers read them.
- `loop`: A call of `learn`: the local workers' threads, their rounds until the steps are used up, and the watch.
- `monitor`: Monitor of a run: writes the history, measures the gap now and then, and decides when to stop.
- `settings`: Settings of a learner: the one table of hyper-parameters, with their checks, JSON forms and options.
- `state`: State of a learner: all that learning changes, and its way to files and back.
- `task`: A learning task: an environment together with a Q-function, and the loops that workers run on it.
- `team`: Teams: the workers of a process, the data that they share, and their lanes between two calls of `learn`.
- `threads`: Threads that the main thread waits for, while a signal handler of the user's may raise there at any
  moment.
"""

from cdq.training.agreement import agree_on_seed, from_rank_0, require_same, require_same_tables
from cdq.training.checkpoints import JOURNAL, Checkpoints
from cdq.training.course import Course, Plan, Progress
from cdq.training.goals import Goal, MeanReturn, OptimalWithin, Until
from cdq.training.history import History, Row
from cdq.training.interrupts import TERMINATED, Requests, heard, heard_here, signals_deferred
from cdq.training.loop import learn_rounds
from cdq.training.monitor import STEPS_PER_OUTCOME, Monitor, ProgressLine, Watch, watch_nothing
from cdq.training.settings import (
    DEFAULTS,
    HYPERPARAMETERS,
    MAY_CHANGE,
    OF_ENVIRONMENT,
    Settings,
    arguments_of,
    differing,
    make_settings,
    size_of,
)
from cdq.training.state import State, Tensors, lanes_of
from cdq.training.task import EnvironmentTask, ModelTask, SteppedTask
from cdq.training.team import Team
from cdq.training.threads import run_workers

__all__ = [
    "DEFAULTS",
    "HYPERPARAMETERS",
    "JOURNAL",
    "MAY_CHANGE",
    "OF_ENVIRONMENT",
    "STEPS_PER_OUTCOME",
    "TERMINATED",
    "Checkpoints",
    "Course",
    "EnvironmentTask",
    "Goal",
    "History",
    "MeanReturn",
    "ModelTask",
    "Monitor",
    "OptimalWithin",
    "Plan",
    "Progress",
    "ProgressLine",
    "Requests",
    "Row",
    "Settings",
    "State",
    "SteppedTask",
    "Team",
    "Tensors",
    "Until",
    "Watch",
    "agree_on_seed",
    "arguments_of",
    "differing",
    "from_rank_0",
    "heard",
    "heard_here",
    "lanes_of",
    "learn_rounds",
    "make_settings",
    "require_same",
    "require_same_tables",
    "run_workers",
    "signals_deferred",
    "size_of",
    "watch_nothing",
]
