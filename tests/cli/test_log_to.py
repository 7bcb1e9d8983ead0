"""cdq train and cdq hub with --log-to: CSV files, lines of JSON, and TensorBoard's events."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from cdq.job import Hosting
from tests.cli.test_hub import JOB, Processes, end, processes, url
from tests.training.test_loggers import scalars

__all__ = ["processes", "url"]  # fixtures
TRAIN = ["train", "FrozenLake-v1", "--seed", "0", "--progress", "0"]


def steps_in(path: Path) -> list[int]:
    with path.open(newline="") as file:
        return [int(row["steps"]) for row in csv.DictReader(file)]


def points_in(directory: Path) -> list[tuple[str, int, float]]:
    return [point for file in sorted(directory.iterdir()) for point in scalars(file)]


def test_a_job_of_two_workers_is_seen_in_tensorboard(processes: Processes, url: str, tmp_path: Path) -> None:
    """A job that goes on adds points, and writes none twice."""
    board, table = tmp_path / "board", tmp_path / "job.csv"
    command = ("hub", "--bind", url, *JOB, "--checkpoint", tmp_path / "job")
    for steps in (1_600_000, 3_200_000):
        hub = processes.start(*command, "--steps", steps, "--log-to", board, "--log-to", table)
        workers = [processes.start("join", url) for _ in range(2)]
        ended, out, err = end(hub)
        assert ended == 0, err
        assert "worker dropped" not in err
        assert [end(worker)[0] for worker in workers] == [0, 0]
        assert steps_in(table)[-1] == steps
        points = points_in(board)  # of both files
        for tag in ("rounds/played", "time/seconds", "table/visited"):
            shown = [step for name, step, _ in points if name == tag]
            assert shown == sorted(set(shown))
            assert set(steps_in(table)) <= set(shown)  # a new file of events has its own first 1,024 rows
        assert {"return/exploring", "schedules/epsilon", "rounds/bytes"} <= {tag for tag, *_ in points}
    assert steps_in(table) == sorted(set(steps_in(table)))
    assert len(list(board.iterdir())) == 2
    assert "cdq: FrozenLake-v1: 50% of 3,200,000 steps" in err.replace("3.2 M", "3,200,000")
    assert "P is what step of Gymnasium's FrozenLakeEnv draws from" in out


def test_a_run_that_goes_on_adds_to_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*TRAIN, "--checkpoint", "run", "--log-to", "log.csv", "--log-to", "log.jsonl"]
    assert main([*command, "--steps", "1e5"]) == 0
    first = Path("log.csv").read_bytes()
    assert main([*command, "--steps", "2e5"]) == 0
    assert main([*command, "--steps", "2e5"]) == 0  # it has ended: nothing is added
    assert main(["train", "--resume", "run", "--steps", "1e5", "--progress", "0", "--log-to", "log.csv"]) == 0
    assert Path("log.csv").read_bytes().startswith(first)
    steps = steps_in(Path("log.csv"))
    assert steps == sorted(set(steps))
    assert steps[-1] == 300_000
    rows = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert [row["steps"] for row in rows] == [n for n in steps if n <= 200_000]


def test_the_extra_is_named_before_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    job = ["hub", "--bind", "zmq+tcp://127.0.0.1:5555", "--env", "FrozenLake-v1"]
    for command in (["train", "FrozenLake-v1"], [*job, "--checkpoint", str(tmp_path / "job")]):
        assert main([*command, "--log-to", str(tmp_path / "board")]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert 'pip install "cdq[tensorboard]"' in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["log.txt"], "--log-to is log.txt; allowed: FILE.csv, FILE.jsonl, or a directory for TensorBoard"),
        (["log.json"], "FILE.jsonl"),
        (["there"], "--log-to is there; allowed"),
        (["a.csv", "./a.csv"], "--log-to names a.csv twice"),
        (["none/a.csv"], "cannot write none/a.csv: there is no directory none"),
        (["there.csv"], "cannot write there.csv: it is another file"),
        (["there/board"], "cannot write there/board: there is no directory there"),
    ],
)
def test_what_cannot_be_logged_to_is_said_before_work(
    paths: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("there", "there.csv"):
        Path(name).write_text("a file of somebody\n")
    options = [word for path in paths for word in ("--log-to", path)]
    for command in (
        TRAIN[:-2],
        ["hub", "--bind", "tcp://127.0.0.1:0", "--env", "FrozenLake-v1", "--checkpoint", "job"],
    ):
        assert main([*command, *options]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1 + err.count("info: ")


@pytest.mark.parametrize("log", ["/proc/log.csv", "/proc/board/of", "none/log.jsonl"])
@pytest.mark.parametrize("command", ["train", "hub"])
def test_logs_that_cannot_be_written_are_refused_before_anything_is_made(
    command: str,
    log: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    begin = (
        TRAIN[:2] if command == "train" else ["hub", "--bind", "tcp://127.0.0.1:0", "--env", "FrozenLake-v1"]
    )
    assert main([*begin, "--checkpoint", "job", "--log-to", log]) == 2
    assert capsys.readouterr().err.startswith(f"cdq: cannot write {log.removesuffix('/board/of')}")
    assert not list(tmp_path.iterdir())


def test_callbacks_see_a_hub_from_python(processes: Processes, url: str, tmp_path: Path) -> None:
    seen = list[int]()
    agent = cdq.QLearner("FrozenLake-v1", comm="zmq", seed=0, checkpoint=tmp_path / "job", sync_every=16_000)
    worker = processes.start("join", url)
    evaluated = cdq.EvalCallback(100_000, seed=7)
    agent.learn(
        320_000,
        callbacks=[evaluated, cdq.CSVLogger(tmp_path / "log.csv"), lambda run: seen.append(run.steps)],
        hosting=Hosting(url),
        verbose=0,
    )
    assert end(worker)[0] == 0
    assert seen == list(range(16_000, 320_001, 16_000))
    assert [steps for steps, _ in evaluated.evaluations] == [112_000, 208_000, 304_000]
    assert steps_in(tmp_path / "log.csv")[-1] == 320_000


@pytest.mark.parametrize("wrong", ["--log", "--tensorboard", "--csv", "--tensorboard-log", "--logdir"])
def test_names_of_other_programs_are_told_ours(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "FrozenLake-v1", wrong, "runs"]) == 2
    assert capsys.readouterr().err.endswith("Did you mean '--log-to'?\n")


def test_a_file_is_no_format_of_a_hubs_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = [
        "hub",
        "--bind",
        "tcp://127.0.0.1:0",
        "--env",
        "FrozenLake-v1",
        "--checkpoint",
        str(tmp_path / "job"),
    ]
    assert main([*hub, "--log", "run.csv"]) == 2
    assert "known: json, plain. The history is written where --log-to says." in capsys.readouterr().err
