"""Files of models and of solutions, and models of functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cdq
from cdq.errors import FileError, ModelError
from cdq.storage import read_tensors, write_tensors

PARTLY = cdq.MDP.from_outcomes(
    [0, 0, 0, 1],
    [0, 0, 1, 1],
    [0, 1, 0, 1],
    [0.5, 0.5, 1, 1],
    [1, 1, 2, 0],
    start=[0.25, 0.75],
    empty="missing",
)
MODELS = [cdq.MDP.from_gymnasium("FrozenLake-v1"), cdq.MDP.garnet(7, 3, branching=2, seed=0), PARTLY]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_a_model_comes_back_from_its_file(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = cdq.MDP.load(tmp_path / "model")
    assert type(again) is cdq.MDP
    assert again.fingerprint() == model.fingerprint()
    assert (again.name, again.grid, again.time_limit) == (model.name, model.grid, model.time_limit)
    assert (again.actions is None) == (model.actions is None)
    assert not again.probability.flags.writeable


SOLUTIONS = [
    cdq.solve(MODELS[0], 0.9),
    cdq.solve(MODELS[0], 1.0),
    cdq.solve(PARTLY, 0.9),
    cdq.solve(MODELS[0], horizon=3),
    cdq.solve(MODELS[1], criterion="average"),
]


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda one: type(one).__name__)
def test_a_solution_comes_back_from_its_file(solution: Any, tmp_path: Path) -> None:
    solution.save(tmp_path / "solution")
    again = type(solution).load(tmp_path / "solution")
    assert type(again) is type(solution)
    assert vars(again).keys() == vars(solution).keys()
    for name, value in vars(solution).items():
        np.testing.assert_equal(getattr(again, name), value)
    assert type(again.error) is float
    assert not again.policy.flags.writeable


def test_bounds_of_each_pair_are_kept(tmp_path: Path) -> None:
    margins = np.full((2, 1), 0.5), np.full((2, 1), 0.25)
    values = np.ones((2, 1))
    solution = cdq.Solution(values, np.ones(2), np.zeros(2, np.int64), 0.0, 0.5, 0.25, 3, margins)
    solution.save(tmp_path / "solution")
    again = cdq.Solution.load(tmp_path / "solution")
    assert again.lower.tolist() == [[0.5], [0.5]]
    assert again.upper.tolist() == [[1.25], [1.25]]


def test_files_of_another_kind_are_refused_with_their_reader(tmp_path: Path) -> None:
    MODELS[0].save(tmp_path / "model")
    SOLUTIONS[0].save(tmp_path / "solution")
    with pytest.raises(FileError, match=r"holds a solution, not a model; read it with cdq\.Solution\.load"):
        cdq.MDP.load(tmp_path / "solution")
    with pytest.raises(FileError, match=r"holds a model, not a solution; read it with cdq\.MDP\.load"):
        cdq.Solution.load(tmp_path / "model")
    with pytest.raises(FileError, match=r"holds 'Solution', not a HorizonSolution; use its load"):
        cdq.HorizonSolution.load(tmp_path / "solution")
    with pytest.raises(FileError, match=r"read it with cdq\.MDP\.load"):
        cdq.QLearner.load(tmp_path / "model")


def test_altered_files_are_refused(tmp_path: Path) -> None:
    for number, save in enumerate((MODELS[0].save, SOLUTIONS[0].save)):
        path = tmp_path / str(number)
        save(path)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(FileError, match="altered"):
            (cdq.MDP if number == 0 else cdq.Solution).load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("next_state", np.full(148, 99, np.int32)),
        ("probability", np.full(148, 0.5)),
        ("start", np.zeros(16)),
        ("offsets", np.zeros(65, np.int64)),
        ("reward", np.full(148, np.nan)),
        ("actions", np.zeros((16, 4), np.bool_)),
    ],
)
def test_a_file_whose_arrays_are_no_model_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "model"
    MODELS[0].save(path)
    tensors, header = read_tensors(path)
    write_tensors(path, {**tensors, name: value}, header)
    with pytest.raises(ModelError):
        cdq.MDP.load(path)


@pytest.mark.parametrize("name", ["start", "n_states", "name"])
def test_a_file_that_lacks_a_part_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    MODELS[0].save(path)
    parts = read_tensors(path)
    for part in parts:
        part.pop(name, None)
    write_tensors(path, *parts)
    with pytest.raises(FileError, match="lacks what a model is made of"):
        cdq.MDP.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("values", np.zeros((15, 4))),
        ("policy", np.full(16, 4)),
        ("policy", np.full(16, -1)),
        ("policy", np.zeros(15, np.int64)),
        ("policy", np.zeros(16)),
        ("iterations", np.array(1.0)),
        ("_margins.0", np.zeros((16, 1))),
        ("more", np.zeros(1)),
    ],
)
def test_a_file_whose_arrays_are_no_solution_is_refused(name: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "solution"
    SOLUTIONS[0].save(path)
    tensors, header = read_tensors(path)
    write_tensors(path, {**tensors, name: value}, header)
    with pytest.raises(FileError, match="lacks what a Solution is made of"):
        cdq.Solution.load(path)


# ---- models of functions


def corridor(state: int, action: int) -> Any:
    """Step left or right among four places, of which the last is an end; there is no way left of the first."""
    if state == 3 or (state, action) == (0, 0):
        return None
    after = state + (1 if action else -1)
    return [(0.75, after, -1.0, after == 3), (0.25, state, -1.0)]


def test_a_function_makes_the_model_that_arrays_make() -> None:
    model = cdq.MDP.from_function(
        corridor, 4, 2, start=[1, 0, 0, 0], grid=(1, 4), name="corridor", time_limit=9
    )
    right = np.diag([0.25, 0.25, 0.25, 0.0]) + np.diag([0.75, 0.75, 0.75], 1)
    left = np.diag([0.0, 0.25, 0.25, 0.0]) + np.diag([0.75, 0.75, 0.0], -1)
    P = np.stack([left, right])
    actions = np.array([[False, True], [True, True], [True, True], [True, True]])
    arrays = cdq.MDP.from_arrays(
        P, np.array([-1, -1, -1, 0]), terminated=[0, 0, 0, 1], actions=actions, empty="end"
    )
    mine, theirs = cdq.solve(model, 0.9), cdq.solve(arrays, 0.9)
    np.testing.assert_allclose(mine.values, theirs.values, atol=1e-9)
    assert model.actions is not None
    assert model.actions.tolist() == actions.tolist()
    assert (model.name, model.grid, model.time_limit, model.start[0]) == ("corridor", (1, 4), 9, 1.0)


def test_a_generator_is_a_function_too() -> None:
    def outcomes(state: int, action: int) -> Any:
        yield 1.0, (state + 1) % 2, action

    assert cdq.MDP.from_function(outcomes, 2, 2).reward.tolist() == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (0.5, "the function returns 0.5 for"),
        ("ends", "the function returns 'ends' for"),
        ([0.5], r"an outcome of .* is 0\.5; allowed: tuples"),
        ([(1.0, 0)], r"an outcome of .* is \(1\.0, 0\); allowed: tuples"),
        ([(1.0, "0", 0.0)], r"an outcome of .* allowed: tuples"),
        ([(0.5, 0, 0.0)], "sum to 0.5"),
        ([(1.0, 9, 0.0)], "9"),
        ([(1.0, 0.5, 0.0)], r"next_state"),
        ([(float("nan"), 0, 0.0)], "nan"),
    ],
)
def test_what_is_no_outcome_is_refused(returned: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cdq.MDP.from_function(lambda state, action: returned, 2, 1)


def test_what_is_no_function_or_size_is_refused() -> None:
    with pytest.raises(ModelError, match="allowed: a function of a state and an action"):
        cdq.MDP.from_function(3, 2, 1)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="n_states"):
        cdq.MDP.from_function(corridor, 0, 2)
