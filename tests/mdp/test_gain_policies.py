"""Average rewards that sweeps alone find too slowly."""

from __future__ import annotations

import numpy as np
import pytest

from cdq.errors import ModelError
from cdq.mdp.planning import evaluate_policy, solve
from tests.mdp.test_planning_criteria import loops


@pytest.mark.parametrize("cost", [1e4, 1e6, 1e9])
def test_a_costly_way_to_the_best_loop_is_taken(cost: float) -> None:
    model = loops([[(0, 0.0), (0, 0.0)], [(1, -1.0), (0, -cost)]])
    found = solve(model, criterion="average")
    assert found.lower <= 0.0 <= found.upper
    rounding = 16 * 2.0**-52 * cost
    assert found.error <= rounding
    assert found.policy[1] == 1
    gain = evaluate_policy(model, found.policy, criterion="average")
    assert gain == pytest.approx([0.0, 0.0], abs=rounding)


def test_a_costly_way_over_several_loops_is_taken() -> None:
    model = loops(
        [[(0, 0.0), (0, 0.0)], [(1, -1.0), (0, -1e4)], [(2, -2.0), (1, -1e5)], [(3, -3.0), (2, -1.0)]]
    )
    found = solve(model, criterion="average")
    assert found.error < 1e-9
    assert found.policy[1:].tolist() == [1, 1, 1]


def test_a_long_cycle_is_certified() -> None:
    n = 1500
    model = loops([[((state + 1) % n, float(state == 0))] for state in range(n)])
    found = solve(model, criterion="average")
    assert found.lower <= 1 / n <= found.upper
    assert found.error < 1e-9
    assert evaluate_policy(model, np.zeros(n, int), criterion="average")[0] == pytest.approx(1 / n, abs=1e-12)


def test_a_search_that_ends_too_soon_says_so() -> None:
    model = loops([[((state + 1) % 5000, float(state == 0))] for state in range(5000)])
    with pytest.warns(RuntimeWarning, match=r"only between .* after 50 sweeps, tolerance 1e-10 asked for"):
        found = solve(model, criterion="average", max_iterations=50)
    assert found.lower <= 1 / 5000 <= found.upper


def test_a_gain_that_truly_depends_on_the_first_state_is_refused() -> None:
    model = loops([[(0, 5.0), (1, 0.0)], [(1, 1.0), (1, 1.0)]])
    with pytest.raises(ModelError, match="depends on the first state, or a rare or costly way"):
        solve(model, criterion="average")
