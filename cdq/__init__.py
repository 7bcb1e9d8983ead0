"""Distributed Q-learning in compiled loops: threads, MPI ranks or ZeroMQ peers, one result."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cdq._lazy import submodule
from cdq._version import __version__

if TYPE_CHECKING:
    from cdq import comm as comm
    from cdq import envs as envs
    from cdq import errors as errors
    from cdq import testing as testing
    from cdq.errors import CdqError as CdqError
    from cdq.evaluation import Evaluation as Evaluation
    from cdq.features import FourierBasis as FourierBasis
    from cdq.features import PolynomialBasis as PolynomialBasis
    from cdq.features import TileCoding as TileCoding
    from cdq.history import History as History
    from cdq.learner import QLearner as QLearner
    from cdq.mdp import MDP as MDP
    from cdq.merges import MergeRule as MergeRule
    from cdq.planning import AverageSolution as AverageSolution
    from cdq.planning import Bounds as Bounds
    from cdq.planning import HorizonSolution as HorizonSolution
    from cdq.planning import OptimalityGap as OptimalityGap
    from cdq.planning import Solution as Solution
    from cdq.planning import bounds as bounds
    from cdq.planning import evaluate_policy as evaluate_policy
    from cdq.planning import optimality_gap as optimality_gap
    from cdq.planning import solve as solve
    from cdq.rounds import AutoWindow as AutoWindow
    from cdq.schedules import Constant as Constant
    from cdq.schedules import ExponentialDecay as ExponentialDecay
    from cdq.schedules import LinearDecay as LinearDecay
    from cdq.schedules import Polynomial as Polynomial
    from cdq.schedules import RescaledLinear as RescaledLinear
    from cdq.table import QTable as QTable
    from cdq.until import MeanReturn as MeanReturn
    from cdq.until import OptimalWithin as OptimalWithin

# Public name -> where it lives. Modules are imported on first use: `import cdq` stays fast and free of side effects.
_HOMES = {
    "AutoWindow": "rounds",
    "AverageSolution": "planning",
    "Bounds": "planning",
    "CdqError": "errors",
    "Constant": "schedules",
    "Evaluation": "evaluation",
    "ExponentialDecay": "schedules",
    "FourierBasis": "features",
    "History": "history",
    "HorizonSolution": "planning",
    "LinearDecay": "schedules",
    "MDP": "mdp",
    "MeanReturn": "until",
    "MergeRule": "merges",
    "OptimalWithin": "until",
    "OptimalityGap": "planning",
    "Polynomial": "schedules",
    "PolynomialBasis": "features",
    "QLearner": "learner",
    "QTable": "table",
    "RescaledLinear": "schedules",
    "Solution": "planning",
    "TileCoding": "features",
    "bounds": "planning",
    "evaluate_policy": "planning",
    "optimality_gap": "planning",
    "solve": "planning",
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
    return sorted({*own, *__all__, *_HOMES.values(), "comm", "envs", "errors", "testing"})
