"""Checkpoints from the command line: begun, ended early, killed, gone on with, and what is refused."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli import main
from tests.cli.test_cli import ENVIRONMENT, PROGRAM, run_json

QUIETLY = ["train", "--progress", "0"]  # else a run of half a second on a slow machine has a line about it
QUICK = [*QUIETLY, "FrozenLake-v1", "--seed", "0", "--workers", "2"]
LONG = ["--steps", "2e7", "--checkpoint-every", "4e5"]  # fifty checkpoints, in half a second or so
KEYS = ("digest", "steps", "workers", "seed", "rounds", "bytes", "episodes", "mean_return", "gap", "overlap")


def finished(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=ENVIRONMENT,
        **options,
    )


def signalled(arguments: list[str], directory: Path, number: int, after: int = 3) -> tuple[int, str, str]:
    """Send a process a signal after some checkpoints; return its status and what it printed."""
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    try:
        deadline = time.monotonic() + 30.0
        while steps_kept(directory) < after * 4e5:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    return process.returncode, out, err


def steps_kept(directory: Path) -> int:
    return max([0, *(int(path.stem.partition("-")[2]) for path in directory.glob("checkpoint-*"))])


@pytest.mark.parametrize("overlap", [[], ["--overlap"]])
def test_a_run_that_is_killed_again_and_again_reports_the_same(
    overlap: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, other = str(tmp_path / "whole"), tmp_path / "other"
    expected = run_json(capsys, *QUICK, *LONG, *overlap, "--checkpoint", whole)
    arguments = [*QUICK, *LONG, *overlap, "--checkpoint", str(other)]
    for after in (3, 20):
        assert signalled(arguments, other, signal.SIGKILL, after)[0] == -signal.SIGKILL
        arguments = [*QUIETLY, "--resume", str(other)]
    done = finished([*arguments, "--json", "-"])
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert {name: report[name] for name in KEYS} == {name: expected[name] for name in KEYS}
    # The run has finished; to resume it is to hear of it again.
    again = run_json(capsys, *QUIETLY, "--resume", str(other))
    assert {name: again[name] for name in ("digest", "steps")} == {
        name: expected[name] for name in ("digest", "steps")
    }


def test_sigterm_says_how_to_go_on_and_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    status, out, err = signalled([*QUICK, *LONG, "--checkpoint", str(directory)], directory, signal.SIGTERM)
    steps = steps_kept(directory)
    assert (status, out) == (0, "")
    assert err == (
        f"cdq: ended early after {steps:,} steps; go on with: "
        f"cdq train --resume {directory}, or cdq.QLearner.resume('{directory}').learn()\n"
    )
    assert steps < 2e7
    report = run_json(capsys, *QUIETLY, "--resume", str(directory))
    assert report["digest"] == cdq.QLearner("FrozenLake-v1", seed=0, workers=2).learn(2e7).table.digest()


def test_ctrl_c_reports_and_the_run_can_be_gone_on_with(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    arguments = [*QUICK, *LONG, "--checkpoint", str(directory), "--json", "-"]
    status, out, err = signalled(arguments, directory, signal.SIGINT)
    assert (status, err) == (130, "")
    report = json.loads(out)
    assert report["interrupted"]
    assert cdq.QLearner.resume(directory).table.digest() == report["digest"]


def test_without_checkpoints_sigterm_ends_at_once(tmp_path: Path) -> None:
    script = "import cdq, sys; a = cdq.QLearner('FrozenLake-v1', seed=0); print(flush=True); a.learn(1e12)"
    process = subprocess.Popen(
        [*PROGRAM[:2], script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.terminate()
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == -signal.SIGTERM


def test_a_script_ends_with_0_on_sigterm_and_its_rest_is_not_run(tmp_path: Path) -> None:
    script = (
        "import cdq, sys; sys.argv[1:] or sys.exit('no directory');"
        "cdq.QLearner('FrozenLake-v1', seed=0, checkpoint=sys.argv[1], checkpoint_every=4e5).learn(1e12);"
        "print('the rest')"
    )
    directory = tmp_path / "run"
    process = subprocess.Popen(
        [*PROGRAM[:2], script, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    while not steps_kept(directory) and process.poll() is None:
        time.sleep(0.002)
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, ""), err
    assert err.count("\n") == 1
    assert "cdq.QLearner.resume(" in err


def test_resumed_for_more_steps_with_other_workers_and_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, saved = str(tmp_path / "run"), tmp_path / "learner"
    report = run_json(capsys, *QUICK, "--steps", "1e5", "--checkpoint", directory)
    more = run_json(capsys, *QUIETLY, "--resume", directory, "--steps", "5e4", "--save", str(saved))
    assert 0 <= more["steps"] - report["steps"] - 5e4 < 32
    assert cdq.QLearner.load(saved).table.digest() == more["digest"]
    other = run_json(
        capsys, *QUIETLY, "--resume", directory, "--steps", "5e4", "--workers", "3", "--comm", "inprocess"
    )
    assert (other["workers"], other["seed"]) == (3, 0)
    assert other["steps"] > more["steps"]


def test_a_condition_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(tmp_path / "run")
    until = ["--steps", "5e7", "--until-optimal", "0.1", "--checkpoint", directory]
    report = run_json(capsys, *QUICK, *until, "--checkpoint-every", "1e5")
    again = run_json(capsys, *QUIETLY, "--resume", directory)
    assert again["until_reached"]
    assert (again["steps"], again["digest"]) == (report["steps"], report["digest"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["FrozenLake-v1"], "ENV cannot be given with --resume: the run goes on as it was begun"),
        (["--gamma", "0.9", "--seed", "1"], "--gamma, --seed cannot be given with --resume"),
        (["--overlap"], "--overlap cannot be given"),
        (["--until-optimal", "0.1"], "--until-optimal cannot be given"),
        (["--checkpoint", "/nowhere"], "--checkpoint cannot be given"),
        (["--checkpoint-every", "5"], "--checkpoint-every cannot be given"),
        (["--sync-every", "auto"], "--sync-every cannot be given"),
        (["--steps", "-1"], "steps is -1"),
        (["--workers", "0"], "workers is 0"),
        (["--comm", "inproces"], "Did you mean 'inprocess'"),
        ([], "there is no checkpoint in "),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@pytest.mark.parametrize("kind", ["missing", "empty", "a run"])
def test_what_cannot_be_resumed_is_one_line_and_status_2(
    kind: str, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "directory"
    if kind == "empty":
        directory.mkdir()
    if kind == "a run":
        assert main([*QUICK, "--steps", "1e4", "--checkpoint", str(directory)]) == 0
        capsys.readouterr()
    status = main([*QUIETLY, "--resume", str(directory), *arguments])
    out, err = capsys.readouterr()
    if kind == "a run" and not arguments:
        assert (status, err) == (0, "")
        return
    if "cannot be given" not in message and arguments and kind != "a run":
        message = "there is no checkpoint in |workers is|communicator"  # whichever is seen first
    assert (status, out) == (2, "")
    assert re.fullmatch(f"cdq: .*({message}).*\n", err), err


def test_damaged_checkpoints_are_one_line(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    assert finished([*QUICK, "--steps", "1e5", "--checkpoint", str(directory)]).returncode == 0
    newest, *others = sorted(directory.glob("checkpoint-*"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-1])
    done = finished([*QUIETLY, "--resume", str(directory), "--json", "-"])
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    assert done.stderr.startswith(f"skipped {newest}: ")
    for path in (newest, *others):
        path.write_bytes(b"damage")
    done = finished([*QUIETLY, "--resume", str(directory)])
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(
        rf"cdq: no checkpoint in {directory} can be read; use another copy: .*\n", done.stderr
    )


def test_checkpoints_are_every_so_often_in_a_directory_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--checkpoint-every", "10"]) == 2
    assert "there is no checkpoint directory; name one" in capsys.readouterr().err
