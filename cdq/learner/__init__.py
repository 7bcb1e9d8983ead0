"""QLearner, and what only it assembles.

- `assembly`: Choice of the way in which an environment is learnt: the fastest one that there is for it.
- `backends`: Workers of a call of `learn`, and where they come from: the one place that tells backends apart.
- `connecting`: The connection of a learner to workers in other processes.
- `evaluation`: Evaluation of a policy: episodes without learning.
- `exclusion`: One call of a learner at a time: others, from wherever they come, are refused at once.
- `filing`: A learner's files, and its copies, which are made by way of one.
- `initial`: Tables that learners begin with, which their users give.
- `learning`: Calls of a learner that learn: by acting, and from logged transitions.
- `offline`: A call of `learn_from`: a run whose workers replay a log.
- `parcel`: A parcel: what a process that a learner starts gets from it, to be a rank beside it.
- `qlearner`: QLearner: the face. Learn, predict, evaluate, save, load.
- `rank`: A process that is a rank beside the one that started it: ``python -m cdq.learner.rank URL RANK SIZE
  TIMEOUT``.
- `ranks`: Local processes as ranks beside this one: those of a call of `learn` whose environments are stepped in
  Python.
- `report`: Report of a run: its figures as a JSON object, and hints in words.
- `results`: Results of learning: the part of a learner's interface that changes nothing.
- `run`: One call of `learn`: this process's part of a run.
"""

from cdq.learner.evaluation import Evaluation
from cdq.learner.qlearner import QLearner

__all__ = ["Evaluation", "QLearner"]
