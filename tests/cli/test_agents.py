"""Environments of several agents on the command line: named by module and callable, grouped, told of by agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli import main
from tests.envs.agents import Corridors, Equal

CORRIDORS, EQUAL = "tests.envs.agents:Corridors", "tests.envs.agents:Equal"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let modules of the tests be found by their names, as a user's in PYTHONPATH are."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def test_train_and_evaluate_tell_of_each_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "agents")
    assert main(["train", CORRIDORS, "--steps", "3e4", "--seed", "1", "--save", file]) == 0
    said = capsys.readouterr().out
    for line in (
        "mean return  1",
        "n0           1",
        "n1           1",
        "n2           1",
        "3 tables (n0, n1, n2)",
    ):
        assert line in said
    assert main(["evaluate", file, "--env", CORRIDORS, "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: one["mean_return"] for name, one in report["agents"].items()} == dict.fromkeys(
        ("n0", "n1", "n2"), 1.0
    )
    learnt = cdq.QLearner(Corridors, seed=1).learn(3e4)
    assert cdq.QLearner.load(file, Corridors).table.digest() == learnt.table.digest()


@pytest.mark.parametrize(
    ("groups", "names"),
    [("shared", ["shared"]), ("own", ["n0", "n1", "n2"]), ("pair:n0,n2", ["pair", "n1"])],
)
def test_groups(groups: str, names: list[str], tmp_path: Path) -> None:
    file = str(tmp_path / "agents")
    assert main(["train", EQUAL, "--steps", "3000", "--seed", "1", "--groups", groups, "--save", file]) == 0
    assert list(cdq.QLearner.load(file, EQUAL).tables) == names


def test_a_checkpoint_is_resumed_once_the_module_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["train", CORRIDORS, "--steps", "3000", "--seed", "1", "--checkpoint", str(tmp_path / "c")]) == 0
    )
    assert main(["train", "--resume", str(tmp_path / "c"), "--steps", "300"]) == 2
    assert "--env tests.envs.agents:Corridors" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path / "c"), "--steps", "300", "--env", CORRIDORS]) == 0


def test_arguments_of_what_makes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", EQUAL, "--steps", "300", "--env-arg", "n=2", "--json", "-"]) == 0
    assert list(json.loads(capsys.readouterr().out)["agents"]) == ["n0", "n1"]


def broken() -> Any:
    return 1 / 0


def a_class() -> Any:
    return Equal


def test_several_agents_have_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", EQUAL]) == 2
    assert "returned Equal, which has several agents, and so no model of one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([CORRIDORS, "--groups", "shared"], "the agents 'n0' and 'n1' of 'shared' differ in their spaces"),
        ([EQUAL, "--groups", "pair:n0,n7"], "group 'pair' has 'n7', who is no agent"),
        ([EQUAL, "--groups", "all"], "groups is 'all'; allowed: own, shared, or the agents of each group"),
        ([EQUAL, "--groups", "a:n0;a:n1"], "groups is 'a:n0;a:n1'; the group 'a' is there twice; put all"),
        ([EQUAL, "--groups", "a=n0"], "groups is 'a=n0'; allowed: own, shared, or the agents of each group"),
        (
            [EQUAL, "--groups", "a:n0;"],
            "allowed: own, shared, or the agents of each group, such as lights:n0,n1",
        ),
        ([EQUAL, "--groups", "a:"], "groups is 'a:'; allowed: own, shared, or the agents of each group"),
        ([EQUAL, "--groups", ":n0"], "groups is ':n0'; allowed: own, shared, or the agents of each group"),
        ([EQUAL, "--groups", "a:n0,,n1"], "groups is 'a:n0,,n1'; allowed: own, shared, or the agents of"),
        ([EQUAL, "--groups", "a:n0,n0"], "'n0' is in the groups 'a' and 'a'"),
        ([EQUAL, "--groups", "shared;"], "groups is 'shared;'; allowed: own, shared, or the agents of each"),
        ([EQUAL, "--tasks", "goals:1"], "tasks are of one table, and corridors has several"),
        ([EQUAL, "--rule", "hysteretic:0.1", "--workers", "2"], "give merge='visits'"),
        (["tests.envs.agents:Nobody"], "unknown environment 'tests.envs.agents:Nobody'"),
        (["tests.envs.agents:np"], "unknown environment 'tests.envs.agents:np'"),
        (
            ["tests.nowhere:Corridors"],
            "cannot make 'tests.nowhere:Corridors': No module named 'tests.nowhere'",
        ),
        (
            ["tests.cli.test_agents:broken"],
            "cannot make 'tests.cli.test_agents:broken': ZeroDivisionError: division by zero",
        ),
        (["tests.cli.test_agents:a_class"], "'tests.cli.test_agents:a_class' returned type Equal, a class"),
        (["FrozenLake-v1", "--groups", "shared"], "FrozenLake-v1 has no agents; leave groups out"),
    ],
)
def test_refused_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert said.count("\n") == 1
