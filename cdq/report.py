"""What a run came to, in figures."""

from __future__ import annotations

from typing import Any

from cdq.evaluation import Evaluation
from cdq.history import History, Row
from cdq.planning import OptimalityGap
from cdq.settings import Settings

_NO_ROUND = Row(0, 0.0, 0.0, 0, 0, 0, 0.0)


def make_report(
    about: dict[str, Any],
    settings: Settings,
    history: History,
    gap: OptimalityGap | None,
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Return a JSON object: *about*, then settings, speed, the greedy policy's return, and the gap, where known."""
    last = history[-1] if len(history) else _NO_ROUND
    return {
        **about,
        "workers": settings.workers,
        "num_envs": settings.num_envs,
        "seed": settings.seed,
        "gamma": settings.gamma,
        "merge": settings.to_config()["merge"],
        "overlap": settings.overlap,
        "seconds": last.seconds,
        "steps_per_second": last.steps / last.seconds if last.seconds else 0.0,
        "rounds": last.rounds,
        "bytes": last.bytes,
        "episodes": last.episodes,
        "mean_return": evaluation.mean_return,
        "mean_return_error": evaluation.standard_error,
        "policy_value": None if gap is None else gap.policy_value,
        "optimal_value": None if gap is None else gap.optimal_value,
        "gap": None if gap is None else gap.gap,
    }
