"""A call of `learn`: task, course, monitor, goals, checkpoints, threads.

- `agreement`: Agreement of all ranks of a run on settings, seed and tables, checked before anything depends on it.
- `call`: A call of `learn`: everything that its workers take part in, wherever they are.
- `callbacks`: Callbacks of a call of `learn`: code of the user's that sees each round, and may ask to stop.
- `checkpoints`: Checkpoints of a run: when they are due, the check that the directory is the run's own, and how to
  resume.
- `course`: The course of a call of `learn`: its windows, the rounds that are played of them, and the reason for its
  end.
- `figures`: Figures of a run beside its episodes: exploration rate, step size, and the part of the pairs that were
  visited.
- `fleet`: Fleets: an environment for each worker, and one Q-function that all of them learn.
- `goals`: Goals of `learn`: a number of steps, or a condition that may end it sooner.
- `history`: The record of a run: rows that are evenly spaced in steps, some 1,000 at most.
- `interrupts`: Requests to end a run early: signals make them, workers read them.
- `kinds`: Kinds of learning tasks, as protocols: of an environment, and of a game.
- `loggers`: Loggers: callbacks that write the figures of each round to a file as it is played.
- `monitor`: Monitor of a run: writes the history, and measures the gap now and then, and the return where one is a
  goal.
- `networks`: Networks of environments: the Q-function that their observations get.
- `onlooker`: Onlookers of rounds that are played one after another, and what they are told of them.
- `paid`: Numbers that transitions pay to several tasks: rewards of all, or features that tasks weigh.
- `policies`: Policies by which workers act, whatever they learn: Q-learning learns the best actions from those of any
  policy.
- `picture`: Picture of a run in bounded size, as a JSON object: its curves, and its table on the grid or by its first
  rows.
- `played`: Rounds that were played, and the rows of a history that they become.
- `progress`: Progress of a run, for the one who looks on: a bar on a terminal or in a notebook, plain lines elsewhere.
- `quiet`: Schedules of rounds that are played without Python in between, as compiled code has them.
- `rows`: Rows that rounds add to a history: one for each, and more where its window was long; of many rounds at once.
- `state`: State of a learner: all that learning changes, and its way to files and back.
- `stopping`: Callbacks that stop a run: by the condition of the call, the return of its episodes, or the clock.
- `task`: A learning task: an environment together with a Q-function, and the loops that workers run on it.
- `team`: Teams: the workers of a process, the data that they share, and their lanes between two calls of `learn`.
- `threads`: Threads that the main thread waits for, while a signal handler of the user's may raise there at any
  moment.
- `wide`: Several tasks in one environment: what a learner learns of them, and each of them by itself.
"""

from cdq.training.agreement import agree_on_seed, from_rank_0, require_same, require_same_tables
from cdq.training.call import LearnCall, about
from cdq.training.callbacks import Callback, CallbackList, RunView
from cdq.training.checkpoints import JOURNAL, Checkpoints
from cdq.training.course import (
    Course,
    Ended,
    Plan,
    Progress,
    Watch,
    in_compiled_code,
    learn_rounds,
    watch_nothing,
)
from cdq.training.figures import Figures
from cdq.training.fleet import FleetTask, OwnTask, Reading, allowed_in
from cdq.training.goals import Goal, MeanReturn, OptimalWithin, Until
from cdq.training.history import History
from cdq.training.interrupts import TERMINATED, Requests, heard, heard_here, signals_deferred
from cdq.training.kinds import EnvironmentTask, GameTask
from cdq.training.monitor import STEPS_PER_OUTCOME, Monitor
from cdq.training.networks import make_network
from cdq.training.onlooker import Nobody, Onlooker
from cdq.training.paid import of_log, pays_features, width_of
from cdq.training.picture import MOST_CELLS, Grid, Pictures, action_values, curves_of, grid_of, table_of
from cdq.training.played import Row
from cdq.training.progress import ProgressBar, Speed, duration, is_for_a_person, watched_by
from cdq.training.quiet import lengths_of, pace_with
from cdq.training.state import State, Tensors, history_of, lanes_of
from cdq.training.stopping import conditions
from cdq.training.task import ModelTask, SteppedTask
from cdq.training.team import Team
from cdq.training.threads import run_workers
from cdq.training.wide import WideTask

__all__ = [
    "JOURNAL",
    "MOST_CELLS",
    "STEPS_PER_OUTCOME",
    "TERMINATED",
    "Callback",
    "CallbackList",
    "Checkpoints",
    "Course",
    "Ended",
    "EnvironmentTask",
    "Figures",
    "FleetTask",
    "GameTask",
    "Goal",
    "Grid",
    "History",
    "LearnCall",
    "MeanReturn",
    "ModelTask",
    "Monitor",
    "Nobody",
    "Onlooker",
    "OptimalWithin",
    "OwnTask",
    "Pictures",
    "Plan",
    "Progress",
    "ProgressBar",
    "Reading",
    "Requests",
    "Row",
    "RunView",
    "Speed",
    "State",
    "SteppedTask",
    "Team",
    "Tensors",
    "Until",
    "Watch",
    "WideTask",
    "about",
    "action_values",
    "agree_on_seed",
    "allowed_in",
    "conditions",
    "curves_of",
    "duration",
    "from_rank_0",
    "grid_of",
    "heard",
    "heard_here",
    "history_of",
    "in_compiled_code",
    "is_for_a_person",
    "lanes_of",
    "learn_rounds",
    "lengths_of",
    "make_network",
    "of_log",
    "pace_with",
    "pays_features",
    "require_same",
    "require_same_tables",
    "run_workers",
    "signals_deferred",
    "table_of",
    "watch_nothing",
    "watched_by",
    "width_of",
]
