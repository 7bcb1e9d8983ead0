"""Networks on the command line: what a run and a hub's job are given, and what is said of what they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cdq.cli import main
from tests.cli.test_hub import Processes, end, processes, url

__all__ = ["processes", "url"]  # fixtures
POLE = ["CartPole-v1", "--network", "8", "--seed", "5", "--progress", "0"]


def refusal(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    """Return the one line with which a command is refused."""
    assert main([str(word) for word in command]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err[len("cdq: ") : -1]


def test_a_hub_fits_its_schedules_to_the_steps_as_train_does(
    processes: Processes, url: str, tmp_path: Path
) -> None:
    hub = processes.start(
        "hub", "--bind", url, "--env", *POLE, "--steps", 60_000, "--workers", 2, "--checkpoint", tmp_path / "job",
        "--json", tmp_path / "hub.json"
    )  # fmt: skip
    joined = [processes.start("join", url) for _ in range(2)]
    ended, _, err = end(hub)
    assert ended == 0, err
    assert [end(one)[0] for one in joined] == [0, 0]
    run = ["train", *POLE, "--steps", "6e4", "--workers", "2", "--merge", "mean"]
    assert main([*run, "--json", str(tmp_path / "run.json")]) == 0
    told = [json.loads((tmp_path / name).read_text()) for name in ("hub.json", "run.json")]
    assert told[0]["digest"] == told[1]["digest"]


@pytest.mark.parametrize(
    "env", ["CartPole-v1 --network 8", "CartPole-v1", "Acrobot-v1", "Blackjack-v1", "FrozenLake-v1"]
)
@pytest.mark.parametrize("steps", [(), ("--steps", "7e4"), ("--steps", "0")])
def test_a_hub_takes_what_is_known_to_do_well_as_train_does(
    env: str, steps: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Any, float]] = []
    for command in ("hub", "train"):  # the first imports from the second
        monkeypatch.setattr(
            f"cdq.cli.{command}.finish", lambda agent, steps, *_, **__: found.append((agent, steps))
        )
    given = [*env.split(), *steps, "--seed", "0"]
    assert main(["train", *given]) == 0
    where = ["--bind", "tcp://127.0.0.1:0", "--checkpoint", str(tmp_path / "job")]
    assert main(["hub", *where, "--env", *given]) == 0
    (run, of_run), (job, of_job) = found
    assert of_job == of_run
    for name in ("step_size", "exploration", "gamma", "features"):
        assert getattr(job.settings, name) == getattr(run.settings, name), name


@pytest.mark.parametrize("steps", ["-5", "inf", "nan", "1.5"])
@pytest.mark.parametrize("network", [(), ("--network", "8")])
def test_steps_are_refused_in_the_same_words_with_a_network(
    steps: str, network: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By train and by a hub; none at all are allowed."""
    expected = f"steps is {float(steps)}; allowed: a whole number of at least 0"
    assert refusal(capsys, "train", "CartPole-v1", *network, "--steps", steps).startswith(expected)
    job = ("hub", "--bind", "tcp://127.0.0.1:0", "--env", "CartPole-v1", *network)
    assert refusal(capsys, *job, "--checkpoint", tmp_path / "job", "--steps", steps).startswith(expected)
    assert main(["train", "CartPole-v1", *network, "--steps", "0", "--progress", "0"]) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--step-size", "polynomial:.7"), "give a number, or linear:1e-3:2e-5:STEPS"),
        (("--merge", "foo"), "merge is 'foo', and a network is learnt: there is no such rule; allowed: 'gra"),
        (("--merge", "pooled"), "merge is 'pooled', and a network is learnt: it has no visits"),
        (("--until-optimal", "0.1"), "or --until-return"),
        (("--sync-every", "foo"), "sync_every is 'foo'; allowed: auto, or a whole number of steps"),
        (("--sync-every", "0"), "sync_every is 0; allowed: a whole number of at least 1"),
        (("--stepping", "model"), "leave out features, network, bins, table and masks"),
        (("--network", "64x64"), "such as 64,64; or module:function"),
    ],
)  # fmt: skip
def test_what_a_network_excludes_is_said_in_options(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, "train", *POLE, "--steps", "2000", *options)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train FrozenLake-v1 --tasks goals:1,2 --until-optimal 0.1", "or --until-return"),
        ("train FrozenLake-v1 --rule foo", "or 'hysteretic:BETA'"),
        ("train FrozenLake-v1 --sync-every x", "allowed: auto, or a whole number of steps"),
        ("train FrozenLake-v1 --sync-every 1.5", "allowed: auto, or a whole number of steps"),
        ("train FrozenLake-v1 --merge personal:3", "or --fleet"),
        (
            "train CartPole-v1 --table hash",
            "(--features tiles) for a linear Q-function, or bins=... (--bins N",
        ),
        ("evaluate run", "or cdq train --resume DIR --save FILE"),
        ("play cdq/TicTacToe-v0 --table run", "or cdq train --resume DIR --save FILE"),
        ("evaluate {checkpoint}", "or cdq train --resume DIR --save FILE"),
        ("plot net.safetensors --kind values", "or --kind surface or table"),
        ("train --resume run --network 64,64", "leave network out (--network on the command line)"),
        ("evaluate net.safetensors --network a:b", "leave network out (--network on the command line)"),
    ],
)
def test_options_are_named_and_not_arguments_of_python_alone(
    command: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run = ["--steps", "2e3", "--checkpoint", "run", "--save", "net.safetensors"]
    assert main(["train", *POLE, *run]) == 0
    capsys.readouterr()
    found = command.format(checkpoint=next(Path("run").glob("checkpoint-*")))
    assert said in refusal(capsys, *found.split())


@pytest.mark.parametrize("command", ["train", "hub"])
def test_help_tells_of_keras_models(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "UNITS|MODULE:FUNCTION" in "".join(capsys.readouterr().out.split())


def test_help_tells_that_a_keras_model_is_given_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert "and --network MODULE:FUNCTION where a Keras model is learnt" in " ".join(
        capsys.readouterr().out.replace("│", " ").split()
    )
