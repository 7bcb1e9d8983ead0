"""Classic control by linear functions: returns and seconds, by seed; and what merging weights by another law does.

Run it from the checkout: ``python -m tests.benchmarks.linear`` (half a minute). Prints Markdown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from unittest import mock

from cdq import LinearDecay, MeanReturn, QLearner, TileCoding
from cdq.core.table.rows import Law
from cdq.envs.defaults import RECOMMENDED
from cdq.schedules import Constant, StepSize, build_law
from cdq.training import course

IDS = {"CartPole": "CartPole-v1", "Acrobot": "Acrobot-v1", "MountainCar": "MountainCar-v0"}
SEEDS = range(5)
EIGHT_BY_EIGHT = {"features": TileCoding(tilings=8, tiles=8)}
FALLING = {
    "features": TileCoding(tilings=16, tiles=8),
    "gamma": 1.0,
    "step_size": LinearDecay(0.3, 0.03, 500_000),
    "exploration": 0.0,
}


def alone(step_size: StepSize, steps: int, mass: float, dtype: str, scale: float = 1.0) -> Law:
    """Return a law by which a weight is merged as if it moved alone, by its own part of the step size."""
    assert isinstance(step_size, LinearDecay)
    return build_law(Constant(step_size.at(steps) * scale), steps, mass, dtype)


def measure(
    env: str, steps: int, arguments: Mapping[str, Any], until: MeanReturn | None = None, **options: Any
) -> str:
    """Return a row: workers, steps, the seconds and the returns of all seeds."""
    returns, seconds, most = [], [], 0
    for seed in SEEDS:
        start = time.perf_counter()
        agent = QLearner(env, seed=seed, **{**arguments, **options}).learn(steps, until=until)
        most = max(most, agent.steps)
        seconds.append(time.perf_counter() - start)
        returns.append(agent.evaluate(100).mean_return)
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    return f"{', '.join(f'{value:.1f}' for value in returns)} | {spread} | {most:,} | {options.get('workers', 1)}"


def main() -> None:
    print(
        "| environment | mean return of 100 episodes, seeds 0 to 4 | seconds | steps | workers | features |"
    )
    print("|---|---|---|---|---|---|")
    for name, env_id in IDS.items():
        settings = RECOMMENDED[name]
        tiles = settings.arguments["features"]
        for workers in (1, 4):
            row = measure(env_id, settings.steps, settings.arguments, workers=workers)
            print(f"| {env_id} | {row} | {tiles.tilings} tilings of {tiles.tiles} |", flush=True)
    row = measure("MountainCar-v0", 2_000_000, EIGHT_BY_EIGHT, MeanReturn(-110))
    print(f"| MountainCar-v0 until -110 | {row} | 8 tilings of 8 |", flush=True)
    for law, way in ((alone, "each weight merged as if alone"), (build_law, "by the whole step size")):
        with mock.patch.object(course, "build_law", law):
            for workers in (2, 4):
                row = measure("MountainCar-v0", 500_000, FALLING, workers=workers)
                print(f"| MountainCar-v0, {way} | {row} | 16 tilings of 8 |", flush=True)


if __name__ == "__main__":
    main()
