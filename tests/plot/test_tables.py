"""Pictures of values, visits and tables, by the data of their artists."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from matplotlib import colors, pyplot

import cdq
import cdq.envs
from cdq.errors import ConfigError, TableError

LAKE = cdq.MDP.from_gymnasium("FrozenLake-v1", is_slippery=False)
SOLUTION = cdq.solve(LAKE, gamma=0.9)


def texts(ax: Any) -> dict[tuple[float, float], str]:
    """Return the texts of a picture by their cells, (column, row)."""
    return {one.get_position(): one.get_text() for one in ax.texts}


def test_values_stand_in_their_cells_and_ends_are_masked() -> None:
    ax = cdq.plot.values(SOLUTION, LAKE)
    drawn = ax.images[0].get_array()
    ends = [5, 7, 11, 12, 15]
    assert np.flatnonzero(np.ma.getmaskarray(np.ma.masked_invalid(drawn)).ravel()).tolist() == ends
    acted = [state for state in range(16) if state not in ends]
    assert np.asarray(drawn).ravel()[acted].tolist() == SOLUTION.state_values[acted].tolist()


def test_arrows_start_and_ends_are_written_into_the_cells() -> None:
    found = texts(cdq.plot.values(SOLUTION, LAKE))
    assert found[0, 0] == "↓"
    assert found[1, 1] == "H"
    assert found[3, 3] == "G"
    assert found[1, 0] == "→"
    assert [text for (x, y), text in found.items() if (x % 1, y % 1) != (0, 0)] == ["S"]


def test_a_learner_and_its_table_know_their_model() -> None:
    agent = cdq.QLearner("CliffWalking-v1", seed=0).learn(50_000)
    by_agent, by_table = cdq.plot.values(agent), cdq.plot.values(agent.table)
    assert texts(by_agent) == texts(by_table)
    assert by_agent.images[0].get_array().shape == (4, 12)
    assert texts(by_agent)[11, 3] == "G"
    assert (1, 3) not in texts(by_agent)  # a cell that no episode acts in


def test_walls_are_grey_and_without_a_sign() -> None:
    env = gymnasium.make("cdq/GridWorld-v0", walls=["S.#", "#..", "..G"])
    ax = cdq.plot.values(cdq.QLearner(env, seed=0).learn(5_000))
    masked = np.ma.getmaskarray(np.ma.masked_invalid(ax.images[0].get_array()))
    assert np.argwhere(masked).tolist() == [[0, 2], [1, 0], [2, 2]]
    assert (2, 0) not in texts(ax)
    assert ax.images[0].get_cmap().get_bad().tolist() == list(colors.to_rgba("#a8a8a8"))


def test_the_model_may_be_named() -> None:
    values = cdq.solve("FrozenLake-v1", gamma=0.99)
    assert texts(cdq.plot.values(values, "FrozenLake-v1"))[3, 3] == "G"
    assert texts(cdq.plot.values(values.values, "FrozenLake-v1"))[3, 3] == "G"


def test_a_solution_is_drawn_with_its_own_policy() -> None:
    """Of equal actions `solve` takes the lowest also where rounding makes another one larger."""
    values = np.zeros((16, 4))
    values[:, 2] = 1e-18
    solution = cdq.Solution(values, values.max(axis=1), np.ones(16, np.int64), 0.0, 0.0, 0.0, 1, (0.0, 0.0))
    assert texts(cdq.plot.values(solution, LAKE))[0, 0] == "↓"
    assert texts(cdq.plot.values(values, LAKE))[0, 0] == "→"


def test_texts_are_black_on_light_cells_and_white_on_dark_ones() -> None:
    ax = cdq.plot.values(SOLUTION, LAKE)
    inks = {one.get_position(): one.get_color() for one in ax.texts}
    assert inks[2, 3] == "black"  # beside the goal
    assert inks[0, 0] == "white"


def test_texts_on_grey_are_black_in_any_style() -> None:
    with pyplot.style.context("dark_background"):
        ax = cdq.plot.values(SOLUTION, LAKE)
        assert {one.get_position(): one.get_color() for one in ax.texts}[1, 1] == "black"


def test_signs_that_nobody_could_read_are_left_out() -> None:
    env = gymnasium.make("cdq/GridWorld-v0", shape=(200, 200))
    model = cdq.MDP.from_gymnasium(env)
    assert not cdq.plot.values(np.zeros((40_000, 4)), model).texts


def test_axes_fit_the_form_of_the_grid() -> None:
    wide = cdq.plot.values(cdq.solve("CliffWalking-v1", 0.9), "CliffWalking-v1").figure.get_size_inches()
    square = cdq.plot.values(SOLUTION, LAKE).figure.get_size_inches()
    assert wide[0] > 2 * wide[1]
    assert square[0] == pytest.approx(square[1], abs=1.0)


def test_what_is_no_grid_is_sent_to_the_table() -> None:
    with pytest.raises(ConfigError, match=r"the states of Taxi-v4 are no grid; use cdq\.plot\.table"):
        cdq.plot.values(cdq.QLearner("Taxi-v4", seed=0))


def test_a_learner_of_several_tables_is_asked_for_one() -> None:
    several = cdq.QLearner("FrozenLake-v1", tasks=cdq.Goals([5, 15]), seed=0)
    said = (
        r"FrozenLake-v1 has several tables; draw one of them, as in cdq\.plot\.values\(agent\.tables\[5\]\)"
    )
    with pytest.raises(ConfigError, match=said):
        cdq.plot.values(several)
    for picture in (cdq.plot.values, cdq.plot.visits):
        with pytest.raises(ConfigError, match=said):
            picture(several, "FrozenLake-v1")
    with pytest.raises(ConfigError, match="has no known model, and so no grid"):
        cdq.plot.values(cdq.QLearner("cdq/Signals-v0", seed=0))


def test_a_learner_without_a_model_is_sent_to_the_surface() -> None:
    with pytest.raises(ConfigError, match=r"has no known model, and so no grid; use cdq\.plot\.surface"):
        cdq.plot.values(cdq.QLearner("MountainCar-v0", seed=0))


@pytest.mark.parametrize("result", [SOLUTION, SOLUTION.values, cdq.QTable(SOLUTION.values)])
def test_a_result_that_does_not_know_its_model_asks_for_it(result: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"does not know its model; give it: cdq\.plot\.values\(result, model\)"
    ):
        cdq.plot.values(result)


def test_tables_of_another_size_are_refused() -> None:
    with pytest.raises(TableError, match=r"the table has shape \(16, 4\); .* needs \(64, 4\)"):
        cdq.plot.values(SOLUTION, "FrozenLake8x8-v1")


@pytest.mark.parametrize(
    "result", [None, "table", 3, [1, 2], np.zeros((2, 2, 2)), np.zeros((0, 2)), object()]
)
def test_what_is_no_table_is_refused(result: Any) -> None:
    with pytest.raises(ConfigError, match="is no table of states and actions; allowed: a learner, a QTable"):
        cdq.plot.table(result)


# ---- visits


def test_visits_of_a_grid_are_the_sums_of_its_actions() -> None:
    agent = cdq.QLearner("FrozenLake-v1", seed=0).learn(10_000)
    ax = cdq.plot.visits(agent)
    drawn, counts = np.asarray(ax.images[0].get_array()).ravel(), agent.table.visits.sum(axis=1)
    assert drawn[counts > 0].tolist() == counts[counts > 0].tolist()
    assert np.isnan(np.ma.filled(ax.images[0].get_array(), np.nan).ravel()[counts == 0]).all()


def test_visits_without_a_grid_are_a_matrix() -> None:
    agent = cdq.QLearner("Taxi-v4", seed=0).learn(10_000)
    ax = cdq.plot.visits(agent)
    assert ax.images[0].get_array().shape == (500, 6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("action", "state")


def test_a_table_without_visits_can_be_drawn() -> None:
    ax = cdq.plot.visits(cdq.QLearner("FrozenLake-v1", seed=0))
    ax.figure.canvas.draw()
    assert cdq.plot.visits(cdq.QTable(np.zeros((3, 2)))).images[0].get_array().shape == (3, 2)


def test_what_has_no_visits_is_refused() -> None:
    empty = cdq.QTable(np.zeros((0, 2)), keys=np.zeros(0, np.uint64))
    for result in (SOLUTION, empty, None):
        with pytest.raises(ConfigError, match="has no visits; allowed: a learner or a QTable"):
            cdq.plot.visits(result)


# ---- tables


def test_a_table_is_a_row_per_state() -> None:
    values = np.array([[0.0, 1.0, -np.inf], [2.0, 3.0, 4.0]])
    ax = cdq.plot.table(values)
    assert np.ma.filled(ax.images[0].get_array(), np.nan).tolist()[1] == [2.0, 3.0, 4.0]
    assert np.isnan(np.ma.filled(ax.images[0].get_array(), np.nan)[0, 2])


def test_a_long_table_is_cut() -> None:
    assert cdq.plot.table(np.zeros((5_000, 2))).images[0].get_array().shape == (2_000, 2)


@pytest.mark.parametrize("draw", [cdq.plot.values, cdq.plot.visits, cdq.plot.table])
def test_axes_that_are_given_are_drawn_on(draw: Any) -> None:
    ax = pyplot.subplots()[1]
    assert draw(cdq.QLearner("FrozenLake-v1", seed=0).learn(1_000), ax=ax) is ax


def test_three_lines_draw_what_was_learnt() -> None:
    namespace: dict[str, Any] = {}
    exec(
        'import cdq\nagent = cdq.QLearner("FrozenLake-v1", seed=0).learn(200_000)\nax = cdq.plot.values(agent)',
        namespace,
    )
    assert "→" in texts(namespace["ax"]).values()
