"""QLearner, and the parts that only it assembles.

- `about`: Description of what a learner learns: its environment, the way in which that is stepped, its Q-function.
- `acting`: Actions by action values: the best of them, or now and then any other; for one observation, or for a
  batch.
- `assembly`: Choice of the way in which an environment is learnt: the fastest one that there is for it.
- `backends`: Backends: how the workers of a learner come to be, chosen once; the one place that tells backends apart.
- `common`: Environments with state and action sets of their own: one table, of the states and actions of all.
- `comparison`: Comparison of settings: each is run with several seeds, side by side over the cores.
- `elsewhere`: Learners for other environments than the one that was learnt, with its table: to evaluate a policy
  there.
- `evaluation`: Evaluation of a policy: episodes without learning.
- `exclusion`: Exclusion of calls of a learner: during one call, any other is refused at once.
- `filing`: Files of a learner, and copies of it, which are made by way of a file.
- `initial`: Initial tables, which users give to learners.
- `lanes`: Lanes of a learner: how many environments each worker steps, and of a network the windows that follow.
- `learning`: Calls of a learner that learn: by acting, and from logged transitions.
- `matches`: Matches of a game's policy: how it does in either seat, against an opponent or against the worst of all.
- `members`: Environments of a hub's job without a model: each worker makes its own, of what the hub says of it.
- `offline`: A call of `learn_from`: a run whose workers replay a log.
- `parcel`: Parcels: all that a process gets from the learner that starts it, to be a rank beside it.
- `policies`: Policies that users give to workers, as the probability of each action in each row of the table.
- `parts`: Parts of a learner's table by name: what acts for an agent, a group of them, or a task.
- `qlearner`: QLearner, the public class: learn, predict, evaluate, save, load.
- `rank`: A process that is a rank beside the one that started it: ``python -m cdq.learner.rank URL RANK SIZE
  TIMEOUT``.
- `ranks`: Local processes as ranks beside this one, for calls of `learn` whose environments are stepped in Python.
- `report`: Report of a run: its figures as a JSON object, and hints in words.
- `results`: Results of learning: the part of a learner's interface that changes nothing.
- `run`: Part of this process in a call of `learn`: its workers, each in a thread, and the end of the call.
"""

from cdq.learner.comparison import Comparison, compare
from cdq.learner.evaluation import Evaluation, Evaluations
from cdq.learner.matches import Match, Seat, Worst, stage
from cdq.learner.qlearner import QLearner
from cdq.learner.report import played

__all__ = [
    "Comparison",
    "Evaluation",
    "Evaluations",
    "Match",
    "QLearner",
    "Seat",
    "Worst",
    "compare",
    "played",
    "stage",
]
