"""The command line: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli import main

QUICK = ["FrozenLake-v1", "--steps", "2e5", "--seed", "0"]
KEYS = {
    *("env", "comm", "workers", "seed", "steps", "seconds", "steps_per_second", "rounds", "bytes"),
    *("mean_return", "policy_value", "optimal_value", "gap", "digest"),
}
# Whatever the directory, the cdq that is tested is the one that this process has.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cdq.__file__).parents[1])}
PROGRAM = [sys.executable, "-c", "import sys; from cdq.cli import main; sys.exit(main())"]


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json", "-"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_train_reports_and_draws(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *QUICK, "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    for word in ("mean return", "optimal value", "gap", "steps/s", "rounds", "seed 0", "2 workers"):
        assert word in printed
    assert "H → ↓ G" in printed


def test_train_json_is_all_there_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(capsys, "train", *QUICK, "--workers", "2")
    assert report.keys() >= KEYS
    assert (report["env"], report["workers"], report["seed"]) == ("FrozenLake-v1", 2, 0)
    assert report["steps"] >= 2e5
    assert not report["interrupted"]


def test_train_is_the_library_with_its_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(capsys, "train", *QUICK)
    assert report["digest"] == cdq.QLearner("FrozenLake-v1", seed=0).learn(2e5).table.digest()


def test_train_passes_every_option_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "learner"
    schedules = ["--step-size", "polynomial:0.7", "--exploration", "linear:1:0.05:1e5"]
    merging = ["--merge", "mean", "--sync-every", "1e3", "--comm", "inprocess", "--workers", "2"]
    table = ["--num-envs", "8", "--dtype", "float32", "--initial-value", "0.5", "--gamma", "0.9"]
    run_json(capsys, "train", *QUICK, *schedules, *merging, *table, "--save", str(path))
    settings = cdq.QLearner.load(path).settings
    assert settings.step_size == cdq.Polynomial(0.7)
    assert settings.exploration == cdq.LinearDecay(1.0, 0.05, 1e5)
    assert (settings.merge, settings.sync_every.steps, settings.comm) == ("mean", 1000, "inprocess")  # type: ignore[union-attr]
    assert (settings.num_envs, settings.dtype, settings.initial_value) == (8, "float32", 0.5)
    assert (settings.workers, settings.gamma, settings.seed) == (2, 0.9, 0)


@pytest.mark.parametrize("goal", [["--until-optimal", "0.1"], ["--until-return", "0.5"]])
def test_train_until(capsys: pytest.CaptureFixture[str], goal: list[str]) -> None:
    report = run_json(capsys, "train", "FrozenLake-v1", "--seed", "0", "--steps", "5e7", *goal)
    assert report["until_reached"]
    assert report["steps"] < 5e7


def test_train_until_what_does_not_come(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(capsys, "train", *QUICK, "--until-return", "2")["until_reached"] is False


def test_evaluate_what_train_saved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "lake.safetensors")
    assert main(["train", *QUICK, "--save", path]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["lake.safetensors"]
    capsys.readouterr()
    report = run_json(capsys, "evaluate", path, "--episodes", "2e3")
    assert report["episodes"] == 2000
    assert 0.5 < report["mean_return"] < 0.9
    assert main(["evaluate", path, "--env", "FrozenLake-v1"]) == 0
    assert "over 1,000 episodes" in capsys.readouterr().out


def test_solve(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(capsys, "solve", "CliffWalking-v1", "--gamma", "1")
    assert report["optimal_value"] == -13
    assert len(report["policy"]) == len(report["state_values"]) == 48
    assert main(["solve", "FrozenLake-v1"]) == 0
    assert "0.542026 from the start" in capsys.readouterr().out


def test_json_to_a_file_leaves_the_report_on_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    assert main(["solve", "Taxi-v4", "--json", str(path)]) == 0
    assert "optimal value" in capsys.readouterr().out
    assert json.loads(path.read_text())["n_states"] == 500


def test_what_is_not_finite_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(capsys, "train", "CliffWalking-v1", "--gamma", "1", "--steps", "0", "--seed", "0")
    assert report["policy_value"] is None  # the first policy never ends


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cdq {cdq.__version__}\n"
    for command in ("train", "evaluate", "solve", "bench"):
        assert main([command, "--help"]) == 0
        assert f"cdq {command} " in capsys.readouterr().out.split("Example")[1]


def test_bench(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(capsys, "bench", "rollout", "--num-envs", "8", "--repeats", "1")
    assert report["name"] == "rollout"
    speed = report["steps_per_second"]
    assert 0 < speed["min"] <= speed["median"] <= speed["max"]
    assert main(["bench", "list"]) == 0
    assert "rollout" in capsys.readouterr().out


def test_bench_shows_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"name": "rollout", "steps_per_second": {"median": 2.0e8, "min": 1.5e8, "max": 3.0e8}}
    monkeypatch.setattr("cdq.cli.benchmarks.run", lambda name, **options: figures)
    assert main(["bench", "rollout"]) == 0
    assert re.search(r"steps per second +200 M +150 M +300 M", capsys.readouterr().out)


MISTAKES = [
    (
        ["trian"],
        "unknown command 'trian'; known: bench, .*, replay, solve, .*, train, watch. Did you mean 'train'?",
    ),
    (["train", "FrozenLake-v1", "--wrkers", "2"], "known: .*--workers.*Did you mean '--workers'?"),
    (["train", "FrozenLake-v1", "extra"], "extra"),
    (["train", "FrozenLaek-v1"], "did you mean FrozenLake-v1"),
    (["train", "Pendulum-v1"], "DiscretizeAction"),
    (["train", *QUICK, "--merge", "poled"], "known: .*mean, pooled.*Did you mean 'pooled'?"),
    (["train", *QUICK, "--comm", "inproces"], "known: auto, inprocess, mpi, zmq. Did you mean 'inprocess'?"),
    (["train", *QUICK, "--step-size", "linaer:1:0:9"], "Did you mean 'linear'?"),
    (["train", *QUICK, "--exploration", "linear:1"], "write it as linear:first:last:steps"),
    (["train", *QUICK, "--exploration", "polynomial:0.7"], "exploration"),
    (["train", *QUICK, "--sync-every", "0"], "sync_every is 0"),
    (["train", *QUICK, "--sync-every", "often"], "allowed: auto, or a whole number of steps"),
    (["train", *QUICK, "--gamma", "-1"], "gamma is -1.0"),
    (["train", *QUICK, "--gamma", "nan"], "gamma is nan"),
    (["train", *QUICK, "--workers", "0"], "workers is 0"),
    (["train", *QUICK, "--workers", "two"], "--workers"),
    (["train", *QUICK, "--dtype", "float16"], "'float64' or 'float32'"),
    (["train", *QUICK, "--initial-value", "inf"], "initial_value is inf"),
    (["train", "FrozenLake-v1", "--steps", "-1"], "steps is -1"),
    (["train", "FrozenLake-v1", "--steps", "1.5"], "steps is 1.5"),
    (["train", *QUICK, "--until-optimal", "0.1", "--until-return", "1"], "choose one"),
    (["train", *QUICK, "--until-optimal", "0"], "tolerance is 0"),
    (["train", *QUICK, "--json", "/nowhere/report.json"], "there is no directory /nowhere"),
    (["train", *QUICK, "--save", "/dev/null"], "not a regular file"),
    (["train", *QUICK, "--json", "/"], "not a regular file"),
    (["evaluate", "/nowhere/learner"], "cannot read /nowhere/learner"),
    (["evaluate", __file__], "cannot read"),
    (["solve", "FrozenLake-v1", "--gamma", "2"], "gamma is 2.0"),
    (["solve", "FrozenLake-v1", "--tolerance", "-1"], "tolerance is -1.0"),
    (["bench", "rolout"], "Did you mean 'rollout'?"),
    (["bench", "rollout", "--repeats", "0"], "repeats 0"),
    (["bench", "rollout", "--dtype", "float16"], "known: float32, float64"),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    MISTAKES,
    ids=lambda value: "" if isinstance(value, str) else " ".join(value)[-40:],
)
def test_a_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cdq: ")
    assert err.count("\n") == 1
    pattern = message.replace("?", r"\?")
    assert re.search(pattern, err), err


def test_a_learner_of_another_environment_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "learner")
    cdq.QLearner("FrozenLake-v1", seed=0).save(path)
    assert main(["evaluate", path, "--env", "CliffWalking-v1"]) == 2
    assert "FrozenLake-v1" in capsys.readouterr().err


# ---- real processes


def run(*arguments: str, stdout: Any = subprocess.PIPE, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        env={**ENVIRONMENT, **variables},
    )


def test_process_mistake() -> None:
    done = run("train", "FrozenLake-v1", "--workers", "-1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "cdq: workers is -1; allowed: a whole number of at least 1 and at most 4,096\n"


def test_process_without_unicode() -> None:
    done = run("train", *QUICK, "--progress", "0", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "+-" in done.stdout
    assert "H > v G" in done.stdout


def test_process_whose_reader_left_is_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = run("solve", "FrozenLake-v1", "--json", "-", stdout=gone)
    assert (done.returncode, done.stderr) == (141, "")


def test_interrupt_reports_saves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    terminal, stderr = pty.openpty()  # the line of progress appears, so learning is under way
    options = ["--steps", "1e13", "--workers", "2", "--save", "learner", "--json", "report.json"]
    process = subprocess.Popen(
        [*PROGRAM, "train", "FrozenLake-v1", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
    )
    os.close(stderr)
    shown = b""
    while b"steps/s" not in shown:
        shown += os.read(terminal, 4096)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    os.close(terminal)
    assert process.returncode == 130
    assert "interrupted" in out
    assert {file.name for file in tmp_path.iterdir()} == {"learner", "report.json"}
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["interrupted"]
    assert 0 < report["steps"] < 1e13
    assert cdq.QLearner.load(tmp_path / "learner").table.digest() == report["digest"]


@pytest.mark.parametrize("option", ["--checkpoint", "--save", "--json", "--resume"])
@pytest.mark.parametrize("joined", [False, True])
def test_an_empty_path_is_refused(
    option: str,
    joined: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [f"{option}="] if joined else [option, ""]
    assert main(["train", *QUICK, *given]) == 2
    assert capsys.readouterr().err == f"cdq: {option} is empty; give it a value, or leave it out\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        ([], "cdq needs a command; cdq --help"),
        (["train"], "cdq train needs arguments; cdq train --help"),
        (["keys"], "cdq keys needs a command; cdq keys --help"),
        (["keys", "allow"], "cdq keys allow needs arguments; cdq keys allow --help"),
    ],
)
def test_no_arguments_is_said_in_a_sentence(
    arguments: list[str], needs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"cdq: {needs} lists what there is\n"


def test_too_many_steps_are_told_how_many_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "FrozenLake-v1", "--steps", "1e30"]) == 2
    assert f"at least 0 and at most {2**62:,}\n" in capsys.readouterr().err
