"""A call of `learn`: settings, task, course, monitor, goals, checkpoints, threads.

- `agreement`: What all ranks of a run must have in common, checked before anything depends on it.
- `approach`: How an environment is to be learnt, where its user says so.
- `checkpoints`: The checkpoints of one run: whose directory it is, when the next one is due, and what to say of them.
- `course`: The course of a call of `learn`: its windows, and the steps and checkpoints that are behind it.
- `goals`: What a call of `learn` is to reach: steps, or a condition before.
- `history`: The record of a run: a row per round, and fewer of a long one.
- `interrupts`: What ends a run early: requests that signals make and workers read.
- `loop`: A call of `learn`: the local workers' threads, their rounds until the steps are used up, and who watches
  them.
- `monitor`: Who watches a run: writes the history, measures the gap now and then, and decides when to stop.
- `settings`: What a learner is made with: checked, and as JSON.
- `state`: All that learning changes in a learner, and how it goes to files and comes back.
- `task`: What a learner learns, as its face needs it: named, compared, evaluated, and turned into loops for its
  workers.
- `team`: The workers that one process has: what they share, and where their lanes are between two calls of `learn`.
- `threads`: Threads that are waited for in the main thread, where a signal handler of the user's may raise at any
  moment.
"""

from cdq.training.agreement import agree_on_seed, require_same, require_same_tables
from cdq.training.approach import Approach
from cdq.training.checkpoints import JOURNAL, Checkpoints
from cdq.training.course import Course, Plan, Progress
from cdq.training.goals import Goal, MeanReturn, OptimalWithin, Until
from cdq.training.history import History, Row
from cdq.training.interrupts import TERMINATED, Requests, heard, heard_here, signals_deferred
from cdq.training.loop import learn_rounds
from cdq.training.monitor import STEPS_PER_OUTCOME, Monitor, ProgressLine, Watch, watch_nothing
from cdq.training.settings import Settings, arguments_of, make_settings, size_of
from cdq.training.state import State, Tensors, lanes_of
from cdq.training.task import ModelSubject, SteppedSubject, Subject
from cdq.training.team import Team
from cdq.training.threads import run_workers

__all__ = [
    "JOURNAL",
    "STEPS_PER_OUTCOME",
    "TERMINATED",
    "Approach",
    "Checkpoints",
    "Course",
    "Goal",
    "History",
    "MeanReturn",
    "ModelSubject",
    "Monitor",
    "OptimalWithin",
    "Plan",
    "Progress",
    "ProgressLine",
    "Requests",
    "Row",
    "Settings",
    "State",
    "SteppedSubject",
    "Subject",
    "Team",
    "Tensors",
    "Until",
    "Watch",
    "agree_on_seed",
    "arguments_of",
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
