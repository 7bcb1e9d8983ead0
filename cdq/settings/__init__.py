"""Settings of a learner: the one table of hyper-parameters, which is light enough for the help of a command.

- `hyperparameters`: Parts of which a hyper-parameter is made: its check, its form in a file, its option on a command
  line.
- `settings`: The table: each hyper-parameter with its default, check, option and JSON form.
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
