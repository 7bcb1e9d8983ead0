"""``cdq.solve`` against QuantEcon's modified policy iteration: ``python -m tests.benchmarks.quantecon``.

Both get the same arrays, a row per pair (QuantEcon's sparse state-action form), and solve to 1e-6. CPU time counts
from the arrays to the values: building the model with all its checks, solving, and cdq's certificate. In turn, one
process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from quantecon.markov import DiscreteDP
from scipy import sparse

import cdq
from tests.benchmarks.tables import begin, row, spread

TOLERANCE = 1e-6


class Problem(NamedTuple):
    """Outcomes sorted by state and action, and what each pair pays."""

    name: str
    n_states: int
    n_actions: int
    offsets: NDArray[np.int64]
    next_state: NDArray[np.int32]
    probability: NDArray[np.float64]
    reward: NDArray[np.float64]


def garnet(n_states: int) -> Problem:
    """Make random jumps: 4 actions, 3 successors."""
    model = cdq.MDP.garnet(n_states, 4, branching=3, seed=0)
    reward = model.reward[model.offsets[:-1]]
    return Problem(
        f"random {n_states:,} x 4 x 3",
        n_states,
        4,
        model.offsets,
        model.next_state,
        model.probability,
        reward,
    )


def grid(side: int, slip: float) -> Problem:
    """Make a square: -1 a step, the last cell keeps and pays nothing; a step goes astray to each side by slip."""
    n = side * side
    row, column = np.divmod(np.arange(n), side)
    ways = [
        np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1)
        for down, right in ((0, -1), (1, 0), (0, 1), (-1, 0))
    ]
    shares = {0: 1.0 - 2.0 * slip, -1: slip, 1: slip} if slip else {0: 1.0}
    matrix = sparse.csr_matrix((4 * n, n))
    for turn, share in shares.items():
        successor = np.stack([ways[(action + turn) % 4] for action in range(4)], axis=1)
        successor[-1] = n - 1
        cells = (np.full(4 * n, share), (np.arange(4 * n), successor.ravel()))
        matrix = matrix + sparse.csr_matrix(cells, shape=matrix.shape)
    matrix.sort_indices()
    reward = np.full(4 * n, -1.0)
    reward[-4:] = 0.0
    name = f"grid {side:,} x {side:,}" + (f", {slip:g} astray to each side" if slip else "")
    return Problem(name, n, 4, matrix.indptr.astype(np.int64), matrix.indices, matrix.data, reward)


def cpu(work: Callable[[], object]) -> tuple[float, object]:
    """Return CPU seconds and result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def compare(problem: Problem, gamma: float, repeats: int) -> None:
    """Solve with both in turn and print a row of the table."""
    count = np.diff(problem.offsets)
    state, action = np.divmod(np.arange(problem.n_states * problem.n_actions), problem.n_actions)
    long_state, long_action = np.repeat(state, count), np.repeat(action, count)
    long_reward = np.repeat(problem.reward, count)
    matrix = sparse.csr_matrix(
        (problem.probability, problem.next_state, problem.offsets), shape=(len(state), problem.n_states)
    )
    sizes = {"n_states": problem.n_states, "n_actions": problem.n_actions}

    def theirs() -> NDArray[np.float64]:
        process = DiscreteDP(problem.reward, matrix, gamma, state, action)
        result = process.solve(method="modified_policy_iteration", epsilon=TOLERANCE, max_iter=10**6)
        return np.asarray(result.v)

    def build() -> cdq.MDP:
        return cdq.MDP.from_outcomes(
            long_state, long_action, problem.next_state, problem.probability, long_reward, **sizes
        )

    theirs_seconds, build_seconds, solve_seconds = [], [], []
    for _ in range(repeats):
        seconds, values = cpu(theirs)
        theirs_seconds.append(seconds)
        seconds, model = cpu(build)
        build_seconds.append(seconds)
        assert isinstance(model, cdq.MDP)
        seconds, optimal = cpu(lambda model=model: cdq.solve(model, gamma, tolerance=TOLERANCE))  # type: ignore[misc]
        solve_seconds.append(seconds)
        assert isinstance(optimal, cdq.Solution)
        assert optimal.error <= TOLERANCE
        assert np.abs(optimal.state_values - values).max() <= 3 * TOLERANCE
    measured = (build_seconds, solve_seconds, theirs_seconds)
    ratios = [(ours + more) / other for ours, more, other in zip(*measured, strict=True)]
    cells = (spread(figures) for figures in measured)
    row(f"{problem.name}, gamma {gamma:g}", *cells, spread(ratios, goal=1, most=True), "1 at most")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--states", type=int, nargs="*", default=(100_000, 1_000_000), help="of random models"
    )
    parser.add_argument(
        "--side", type=int, nargs="*", default=(316,), help="of grids; 1000 takes minutes each"
    )
    arguments = parser.parse_args()
    DiscreteDP(np.zeros(1), sparse.csr_matrix([[1.0]]), 0.5, np.zeros(1, int), np.zeros(1, int)).solve(
        method="mpi"
    )  # compiles
    begin(
        "solve against QuantEcon, CPU seconds",
        "model",
        "build",
        "solve",
        "QuantEcon",
        "both / QuantEcon",
        "goal",
    )
    for n_states in arguments.states:
        compare(garnet(n_states), 0.95, arguments.repeats)
    for side in arguments.side:
        for slip in (0.0, 0.1):
            for gamma in (0.99, 0.999):
                compare(grid(side, slip), gamma, arguments.repeats)


if __name__ == "__main__":
    main()
