"""Hyper-parameters: one table of them, which is light enough to be imported for the help of a command.

- `hyperparameters`: Parts of which a hyper-parameter is made: its check, its form in a file, its option on a command
  line.
- `settings`: Settings of a learner: the one table of hyper-parameters, with their checks, JSON forms and options.
"""

from cdq.settings.settings import (
    DEFAULTS,
    HYPERPARAMETERS,
    MAY_CHANGE,
    MOST_SEED,
    OF_ENVIRONMENT,
    Settings,
    arguments_of,
    differing,
    make_settings,
)

__all__ = [
    "DEFAULTS",
    "HYPERPARAMETERS",
    "MAY_CHANGE",
    "MOST_SEED",
    "OF_ENVIRONMENT",
    "Settings",
    "arguments_of",
    "differing",
    "make_settings",
]
