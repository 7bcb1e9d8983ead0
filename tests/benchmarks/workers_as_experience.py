"""Workers as experience: what K workers need, and reach, by merge rule and window (E9 and E10).

Run it from the checkout: ``python -m tests.benchmarks.workers_as_experience`` (about a minute). Prints Markdown.
Garnet models of 20 states, 4 actions and 4 successors, gamma .9, uniform behaviour, one trajectory per worker; the
normalised error is (1 - gamma) max |Q - Q*|. Model and streams follow from the seed: every run prints the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from cdq.schedules import Constant, RescaledLinear, StepSize
from cdq.windows import AutoWindow, FixedWindow
from tests.experiments.harness import SHORTEST, Errors, FloatArray, garnet, learn, plan, slope

GAMMA, ENOUGH, WORKERS = 0.9, 0.05, (1, 2, 4, 8, 16)
MARKS = (1000, 2000, 4000, 8000)

Window = AutoWindow | FixedWindow


def watched(
    step_size: StepSize, merge: str, window: Window, workers: int, steps: int, seed: int, enough: float = 0.0
) -> Errors:
    """Return the errors of one run of *steps* steps per worker."""
    model = garnet(seed)
    watch = Errors(model, GAMMA, enough)
    every = window if workers > 1 else FixedWindow(100)  # one worker learns the same whatever the window
    doing = plan(step_size, merge, every)
    learn(model, doing, gamma=GAMMA, workers=workers, steps=steps, seed=seed, watch=watch)
    return watch


def row(*cells: object) -> None:
    """Print a line of a table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def heading(*cells: object) -> None:
    """Print a table's first two lines."""
    row(*cells)
    print("|---" * len(cells) + "|")


def experience(merge: str, window: Window, seeds: range) -> list[FloatArray]:
    """Return the steps per worker to the error, (seeds,) for each number of workers, at step size .1."""

    def needed(workers: int, seed: int) -> float:
        watch = watched(Constant(0.1), merge, window, workers, 40_000, seed, ENOUGH)
        return watch.first_below(ENOUGH)

    return [np.array([needed(workers, seed) for seed in seeds]) for workers in WORKERS]


def spread(values: FloatArray) -> str:
    """Return the median and the quartiles."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.0f} ({low:.0f}-{high:.0f})"


def constant(seeds: range) -> None:
    """Print steps per worker to the error, by rule and workers."""
    print(
        f"\nSteps per worker to a normalised error of {ENOUGH}, step size .1: median (quartiles) of {len(seeds)}\n"
    )
    heading("merge, window", *(f"K={workers}" for workers in WORKERS), "exponent to K=8", "to K=16")
    arms: Sequence[tuple[str, str, Window]] = (
        ("pooled, automatic", "pooled", SHORTEST),
        ("pooled, 10", "pooled", FixedWindow(10)),
        ("pooled, 100", "pooled", FixedWindow(100)),
        ("visits, 100", "visits", FixedWindow(100)),
        ("importance, 100", "importance", FixedWindow(100)),
        ("mean, 100", "mean", FixedWindow(100)),
    )
    for label, merge, window in arms:
        needed = experience(merge, window, seeds)
        middle = [float(np.median(values)) for values in needed]
        exponents = (f"{slope(WORKERS[:n], middle[:n]):.2f}" for n in (4, 5))
        row(label, *map(spread, needed), *exponents)


def decaying(seeds: range) -> None:
    """Print the error after so many steps per worker, by rule, window and workers."""
    print(f"\nNormalised error with 1 / (1 + (1 - gamma) n): mean of {len(seeds)} (standard error)\n")
    heading("merge, window, K", *(f"{mark} steps per worker" for mark in MARKS), "rounds")
    arms: Sequence[tuple[str, str, Window, Sequence[int]]] = (
        ("pooled, automatic", "pooled", SHORTEST, WORKERS),
        ("pooled, 10", "pooled", FixedWindow(10), WORKERS[1:]),
        ("pooled, 100", "pooled", FixedWindow(100), WORKERS[1:]),
        ("pooled, 1000", "pooled", FixedWindow(1000), WORKERS[1:]),
        ("mean, 100", "mean", FixedWindow(100), WORKERS[1:]),
    )
    for label, merge, window, team in arms:
        for workers in team:
            runs = [watched(RescaledLinear(GAMMA), merge, window, workers, MARKS[-1], seed) for seed in seeds]
            errors = np.array([[run.after(mark) for mark in MARKS] for run in runs])
            error = errors.std(axis=0, ddof=1) / len(seeds) ** 0.5
            cells = (f"{m:.4f} ({e:.4f})" for m, e in zip(errors.mean(axis=0), error, strict=True))
            row(f"{label}, {workers}", *cells, len(runs[0].steps) if workers > 1 else "-")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    seeds = range(parser.parse_args().seeds)
    constant(seeds)
    decaying(seeds)


if __name__ == "__main__":
    main()
