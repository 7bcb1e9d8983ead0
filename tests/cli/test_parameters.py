"""Commands out of functions: what they take, what they show, and what showing it does not load."""

from __future__ import annotations

import inspect
import io
import re
import subprocess
import sys
from typing import Any

import click
import pytest
from rich_click import RichOption

import cdq
from cdq.cli import app, hub, join, main, solve
from cdq.cli.groups import GROUPS
from cdq.job import Hosting
from cdq.job.join import take_part
from cdq.mdp import planning
from tests.cli.test_cli import ENVIRONMENT, QUICK, run_json

COMMANDS = (
    "train",
    "evaluate",
    "play",
    "solve",
    "plot",
    "bench",
    "hub",
    "join",
    "status",
    "watch",
    "replay",
    "keygen",
    "launch",
    "doctor",
)
# Their options are made of the table of hyper-parameters.
WITH_HYPERPARAMETERS = {"--help", "train", "solve", "hub", "bench"}


def default(function: Any, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def test_defaults_are_those_of_the_library() -> None:
    assert default(planning.solve, "tolerance") == solve._TOLERANCE
    assert default(take_part, "timeout") == join._SILENCE
    assert Hosting.staleness == hub._STALENESS


def loaded_by(*arguments: str) -> set[str]:
    """Return the packages that a command loads."""
    code = f"import sys; from cdq.cli import main; status = main({list(arguments)!r}); print(status, *sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    status, *names = run.stdout.splitlines()[-1].split()
    assert status == "0"
    return {name.split(".")[0] for name in names} | {name for name in names if name.startswith("cdq.")}


@pytest.mark.parametrize("command", [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)])
def test_what_only_prints_loads_no_library(command: list[str]) -> None:
    loaded = loaded_by(*command)
    assert loaded.isdisjoint({"gymnasium", "zmq", "pydantic", "cdq.envs", "cdq.learner", "cdq.training"})
    if command[0] not in WITH_HYPERPARAMETERS:
        assert loaded.isdisjoint({"numpy", "cdq.settings"})
    if command == ["--version"]:
        assert loaded.isdisjoint({"rich", "cdq.cli.train", "cdq.comm"})


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_one_text_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"Usage: cdq {command} " in printed
    assert "[bold]" not in printed
    assert "\b" not in printed


@pytest.mark.parametrize("command", ["train", "hub"])
def test_many_options_are_shown_in_groups(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = app.get_command(app.make_context("cdq", ["doctor"]), command)
    assert known is not None
    options = [option for option in known.params if isinstance(option, RichOption)]
    assert all(option.panel in GROUPS for option in options)
    assert main([command, "--help"]) == 0
    titles = re.findall("^╭─ (.*?) ─", capsys.readouterr().out, re.MULTILINE)
    assert {*titles} - {"Arguments", "Options"} == {option.panel for option in options}


def test_groups_hold_parameters_that_there_are() -> None:
    context = app.make_context("cdq", ["doctor"])
    commands = [app.get_command(context, name) for name in ("train", "hub")]
    names = {parameter.name for known in commands if known is not None for parameter in known.params}
    assert names >= {name for members in GROUPS.values() for name in members.split()}


@pytest.mark.parametrize("command", COMMANDS)
def test_usage_brackets_what_may_be_left_out(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    known = app.get_command(app.make_context("cdq", ["doctor"]), command)
    assert known is not None
    assert main([command, "--help"]) == 0
    usage = capsys.readouterr().out.partition("Usage: ")[2].partition("\n")[0]
    for argument in known.params:
        if isinstance(argument, click.Argument):
            word = argument.make_metavar(click.Context(known)).strip("[].")
            assert (f"[{word}]" in usage) is not argument.required


class Terminal(io.StringIO):
    """Text that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train"], ["keys", "allow", "-h"]])
@pytest.mark.parametrize("no_color", ["", "1"])
def test_help_without_codes_where_they_are_not_wanted(
    arguments: list[str], no_color: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", shown := Terminal())
        main(arguments)
    assert "Usage" in shown.getvalue()
    assert ("\x1b" in shown.getvalue()) is not bool(no_color)


def test_examples_stand_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "-h"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "cdq train FrozenLake-v1 --workers 2" in lines
    assert "mpiexec -n 4 cdq train --resume runs/taxi" in lines


def test_the_package_is_a_program() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "cdq", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    assert run.stdout == f"cdq {cdq.__version__}\n"


BETWEEN = "allowed: a finite number of seconds above 0, or 0 to show none"


@pytest.mark.parametrize(("text", "number"), [("2", 2), ("2.0", 2), ("2e0", 2), ("+2", 2), (" 2", 2)])
def test_whole_numbers(text: str, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(capsys, "train", *QUICK, "--workers", text)["workers"] == number


def test_whole_numbers_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    seed = 2**62 + 1
    assert run_json(capsys, "train", "FrozenLake-v1", "--steps", "1e4", "--seed", str(seed))["seed"] == seed


@pytest.mark.parametrize("text", ["two", "2.5", "inf", "nan", "1e999", "0x2", "2,0"])
def test_what_is_no_whole_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "FrozenLake-v1", "--workers", text]) == 2
    wrong = f"cdq: Invalid value for '--workers': {text!r} is no whole number.\n"
    assert capsys.readouterr().err == wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "FrozenLake-v1", "--gamma", "x"], "Invalid value for '--gamma': 'x' is no number."),
        (["train", "FrozenLake-v1", "--steps"], "Option '--steps' requires an argument."),
        (["train", "FrozenLake-v1", "--overlap=3"], "Option '--overlap' does not take a value."),
        (["hub", "--bind", "tcp://127.0.0.1:1"], "Missing option '--checkpoint'."),
        (["launch", "-n", "2"], "Missing argument 'PROGRAM'."),
        (["train", "FrozenLake-v1", "--progress", "-1"], f"--progress is -1.0; {BETWEEN}"),
        (["join", "tcp://127.0.0.1:1", "--progress", "nan"], f"--progress is nan; {BETWEEN}"),
        (["keys", "alow"], "unknown command 'alow'; known: allow. Did you mean 'allow'?"),
    ],
)
def test_arguments_that_are_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"cdq: {message}\n"


def test_every_command_can_be_loaded() -> None:
    context = app.make_context("cdq", ["doctor"])
    assert set(app.list_commands(context)) == {*COMMANDS, "keys"}
    assert all(app.get_command(context, name) for name in app.list_commands(context))
