"""Arguments of environments on the command line, names of other libraries, and python -m cdq."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from cdq.cli.options import env_kwargs_of, fleet_of


def test_an_environment_gets_its_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    firm = ["--env-arg", "is_slippery=false", "--env-arg", "map_name=8x8"]
    path = tmp_path / "lake"
    assert main(["train", "FrozenLake-v1", *firm, "--steps", "2000", "--seed", "0", "--save", str(path)]) == 0
    model = cdq.QLearner.load(path).model
    assert model is not None
    assert (model.n_states, model.max_outcomes) == (64, 1)
    capsys.readouterr()
    assert main(["solve", "FrozenLake-v1", "--env-arg", "is_slippery=False", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["optimal_value"] == pytest.approx(0.99**5)


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["x=true"], True),
        (["x=None"], None),
        (["x=3"], 3),
        (["x=1e-3"], 1e-3),
        (["x=8x8"], "8x8"),
        (['x=["SF", "FG"]'], ["SF", "FG"]),
        (['x="3"'], "3"),
        (["x=a=b"], "a=b"),
        (["x=NaN"], "NaN"),
        (["x=(10, 20)"], (10, 20)),
        (["x=(3,)"], (3,)),
        (["x=()"], ()),
        (["x=(SF, FG)"], "(SF, FG)"),
        (["x=(1"], "(1"),
    ],
)
def test_the_value_of_an_argument(texts: list[str], value: object) -> None:
    assert env_kwargs_of(texts) == {"x": value}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("a=1,b=2", {"a": 1, "b": 2}),
        ("shape=(3, 4),slip=0.1", {"shape": (3, 4), "slip": 0.1}),
        ('desc=["SF","FG"],is_slippery=false', {"desc": ["SF", "FG"], "is_slippery": False}),
    ],
)
def test_commas_within_brackets_part_no_arguments(text: str, arguments: dict[str, object]) -> None:
    assert fleet_of([text], None) == [arguments]


def test_a_tuple_reaches_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "maze.safetensors"
    maze = ["cdq/GridWorld-v0", "--env-arg", "shape=(3, 4)", "--steps", "500", "--save", str(path)]
    assert main(["train", *maze]) == 0
    model = cdq.QLearner.load(path).model
    assert model is not None
    assert model.grid == (3, 4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--env-arg", "is_slippery"],
            "--env-arg is 'is_slippery'; allowed: NAME=VALUE, such as is_slippery=false",
        ),
        (["--env-arg", "=3"], "--env-arg is '=3'; allowed: NAME=VALUE"),
        (["--env-arg", "a=1", "--env-arg", "a=2"], "--env-arg gives a twice"),
        (["--env-arg", "slippery=1"], "unexpected keyword argument 'slippery'"),
        (["--env-arg", ""], "--env-arg is empty"),
    ],
)
def test_an_argument_that_is_none(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "FrozenLake-v1", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("--learning-rate", "--step-size"), ("--total-timesteps", "--steps"), ("--n-envs", "--num-envs")],
)
def test_an_option_of_another_library_is_told_ours(
    wrong: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "FrozenLake-v1", wrong, "3"]) == 2
    assert capsys.readouterr().err.endswith(f"Did you mean '{meant}'?\n")


def test_the_package_is_a_program() -> None:
    """`python -m cdq` is `cdq`."""
    done = subprocess.run([sys.executable, "-m", "cdq", "train"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("cdq: ")
    assert (
        subprocess.check_output([sys.executable, "-m", "cdq", "--version"], text=True)
        == f"cdq {cdq.__version__}\n"
    )
