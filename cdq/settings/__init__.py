"""Hyper-parameters: one table of them, which is light enough to be imported for the help of a command.

- `files`: Settings in files: arguments of a learner that a file describes, and hyper-parameters in which two of them
  differ.
- `hyperparameters`: Parts of which a hyper-parameter is made: its check, its form in a file, its option on a command
  line.
- `making`: Settings made of arguments: checks of what excludes each other, and values that follow from others.
- `network`: Network: the layers of a Q-function that is a neural network, and how it is trained.
- `of_networks`: Settings of networks: defaults that follow from the steps and the workers, and what networks exclude.
- `settings`: Settings of a learner: the one table of hyper-parameters, with their checks, JSON forms and options.
- `sets`: State and action sets of environments that differ: which states, and which actions, are the same.
- `tasks`: Tasks that a learner learns at the same time: goals, rewards of its user's own, weights of features.
"""

from cdq.settings.files import arguments_of, differing
from cdq.settings.making import make_settings, require_workers
from cdq.settings.network import Network, named_model
from cdq.settings.sets import keys_of
from cdq.settings.settings import (
    DEFAULTS,
    HYPERPARAMETERS,
    MAY_CHANGE,
    MOST_SEED,
    OF_ENVIRONMENT,
    Settings,
)
from cdq.settings.tasks import Goals, Rewards, Tasks, Weights

__all__ = [
    "DEFAULTS",
    "HYPERPARAMETERS",
    "MAY_CHANGE",
    "MOST_SEED",
    "OF_ENVIRONMENT",
    "Goals",
    "Network",
    "Rewards",
    "Settings",
    "Tasks",
    "Weights",
    "arguments_of",
    "differing",
    "keys_of",
    "make_settings",
    "named_model",
    "require_workers",
]
