"""Distributed Q-learning in compiled loops: threads, MPI ranks or ZeroMQ peers, one result."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cdq._version import __version__
from cdq.errors.lazy import submodule

if TYPE_CHECKING:
    from cdq import comm as comm
    from cdq import envs as envs
    from cdq import errors as errors
    from cdq import plot as plot
    from cdq import testing as testing
    from cdq.contracts.blocks import Block as Block
    from cdq.envs.signals import Signals as Signals
    from cdq.errors import CdqError as CdqError
    from cdq.features import FourierBasis as FourierBasis
    from cdq.features import PolynomialBasis as PolynomialBasis
    from cdq.features import TileCoding as TileCoding
    from cdq.learner.comparison import Comparison as Comparison
    from cdq.learner.comparison import compare as compare
    from cdq.learner.evaluation import Evaluation as Evaluation
    from cdq.learner.evaluation import Evaluations as Evaluations
    from cdq.learner.matches import Match as Match
    from cdq.learner.matches import Seat as Seat
    from cdq.learner.matches import Worst as Worst
    from cdq.learner.qlearner import QLearner as QLearner
    from cdq.mdp.model import MDP as MDP
    from cdq.mdp.planning import AverageSolution as AverageSolution
    from cdq.mdp.planning import Bounds as Bounds
    from cdq.mdp.planning import HorizonSolution as HorizonSolution
    from cdq.mdp.planning import OptimalityGap as OptimalityGap
    from cdq.mdp.planning import Solution as Solution
    from cdq.mdp.planning import bounds as bounds
    from cdq.mdp.planning import evaluate_policy as evaluate_policy
    from cdq.mdp.planning import optimality_gap as optimality_gap
    from cdq.mdp.planning import solve as solve
    from cdq.merges import MergeRule as MergeRule
    from cdq.merges import Personal as Personal
    from cdq.qfunctions.qtable import QTable as QTable
    from cdq.rules import Hysteretic as Hysteretic
    from cdq.schedules import Constant as Constant
    from cdq.schedules import ExponentialDecay as ExponentialDecay
    from cdq.schedules import Federation as Federation
    from cdq.schedules import LinearDecay as LinearDecay
    from cdq.schedules import Polynomial as Polynomial
    from cdq.schedules import RescaledLinear as RescaledLinear
    from cdq.schedules.windows import AutoWindow as AutoWindow
    from cdq.settings.network import Network as Network
    from cdq.settings.tasks import Goals as Goals
    from cdq.settings.tasks import Rewards as Rewards
    from cdq.settings.tasks import Weights as Weights
    from cdq.training.callbacks import Callback as Callback
    from cdq.training.callbacks import EvalCallback as EvalCallback
    from cdq.training.callbacks import RunView as RunView
    from cdq.training.goals import MeanReturn as MeanReturn
    from cdq.training.goals import OptimalWithin as OptimalWithin
    from cdq.training.history import History as History
    from cdq.training.loggers import CSVLogger as CSVLogger
    from cdq.training.loggers import JSONLogger as JSONLogger
    from cdq.training.loggers import TensorBoardLogger as TensorBoardLogger
    from cdq.training.progress import ProgressBar as ProgressBar
    from cdq.training.stopping import StopOnReturn as StopOnReturn
    from cdq.training.stopping import StopOnTime as StopOnTime

# Public name -> where it lives. Modules are imported on first use: `import cdq` stays fast and free of side effects.
_HOMES = {
    "AutoWindow": "schedules.windows",
    "AverageSolution": "mdp.planning",
    "Block": "contracts.blocks",
    "Bounds": "mdp.planning",
    "CSVLogger": "training.loggers",
    "Callback": "training.callbacks",
    "CdqError": "errors",
    "Comparison": "learner.comparison",
    "Constant": "schedules",
    "EvalCallback": "training.callbacks",
    "Evaluation": "learner.evaluation",
    "Evaluations": "learner.evaluation",
    "ExponentialDecay": "schedules",
    "Federation": "schedules",
    "FourierBasis": "features",
    "Goals": "settings.tasks",
    "History": "training.history",
    "HorizonSolution": "mdp.planning",
    "Hysteretic": "rules",
    "JSONLogger": "training.loggers",
    "LinearDecay": "schedules",
    "MDP": "mdp.model",
    "Match": "learner.matches",
    "MeanReturn": "training.goals",
    "MergeRule": "merges",
    "Network": "settings.network",
    "OptimalWithin": "training.goals",
    "OptimalityGap": "mdp.planning",
    "Personal": "merges",
    "Polynomial": "schedules",
    "PolynomialBasis": "features",
    "ProgressBar": "training.progress",
    "QLearner": "learner.qlearner",
    "QTable": "qfunctions.qtable",
    "RescaledLinear": "schedules",
    "Rewards": "settings.tasks",
    "RunView": "training.callbacks",
    "Seat": "learner.matches",
    "Signals": "envs.signals",
    "Solution": "mdp.planning",
    "StopOnReturn": "training.stopping",
    "StopOnTime": "training.stopping",
    "TensorBoardLogger": "training.loggers",
    "TileCoding": "features",
    "Weights": "settings.tasks",
    "Worst": "learner.matches",
    "bounds": "mdp.planning",
    "compare": "learner.comparison",
    "evaluate_policy": "mdp.planning",
    "optimality_gap": "mdp.planning",
    "solve": "mdp.planning",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - keys of a literal dict


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        return submodule("cdq", name)
    value = getattr(importlib.import_module(f"cdq.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    own = {name for name in globals() if name.startswith("__")}
    return sorted({*own, *__all__, *_HOMES.values(), "comm", "envs", "errors", "plot", "testing"})
