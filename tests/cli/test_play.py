"""Games in a terminal: a person against a table."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from tests.cli.test_cli import ENVIRONMENT
from tests.cli.test_hub import Processes, end, processes, url

__all__ = ["processes", "url"]  # fixtures

COMMAND = [sys.executable, "-m", "cdq", "play"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tables")
    for name, env in (
        ("board", "cdq/TicTacToe-v0"),
        ("nim", "cdq/Nim-v0"),
        ("aec", "pettingzoo.classic.tictactoe_v3"),
    ):
        agent = cdq.QLearner(env, opponent="self", seed=0)
        agent.learn(2_000 if name == "aec" else 300_000).save(directory / name)
    four = cdq.QLearner("cdq/ConnectFour-v0", opponent="self", table="hash", seed=0)
    four.learn(10_000).save(directory / "four")
    cdq.QLearner("FrozenLake-v1", seed=0).learn(100).save(directory / "lake")
    return directory


def played(table: Path, env: str, text: str) -> str:
    run = subprocess.run(
        [*COMMAND, env, "--table", str(table)],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
        timeout=100,
    )
    assert run.stderr == ""
    return run.stdout


def test_a_pipe_plays_and_ends(tables: Path) -> None:
    told = played(tables / "board", "cdq/TicTacToe-v0", "4\n" + "".join(f"{cell}\n" for cell in range(9)))
    assert told.startswith("A new game: you move first.\n\n 0 | 1 | 2 \n")
    assert "Your move (0, 1, 2, 3, 4, 5, 6, 7, 8): The table plays " in told
    assert "The table wins." in told or "A draw." in told
    assert "A new game: the table moves first.\nThe table plays " in told
    assert "You win." not in told
    assert told.splitlines()[-1].startswith("Goodbye. Games: ")


def test_wrong_input_is_asked_again(tables: Path) -> None:
    told = played(tables / "board", "cdq/TicTacToe-v0", "9\n\n 4 x\n-1\n\x1b[31mred\nq\n")
    question = "Your move (0, 1, 2, 3, 4, 5, 6, 7, 8): "
    assert told.count(question) == 6
    assert [part in told for part in ("'9' is no move here.", "Type a move, or q to leave.")] == [True, True]
    assert "\x1b" not in told
    assert told.endswith("Goodbye. Games: 0, won 0, drawn 0, lost 0.\n")


@pytest.mark.parametrize("text", ["", "q\n", "QUIT\n", "4"])
def test_the_end_of_the_input_is_polite(tables: Path, text: str) -> None:
    assert played(tables / "board", "cdq/TicTacToe-v0", text).endswith("won 0, drawn 0, lost 0.\n")


def test_a_line_without_an_end_is_no_move(tables: Path) -> None:
    told = played(tables / "board", "cdq/TicTacToe-v0", "4" * 100_000 + "\nq\n")
    assert len(told) < 300_000
    assert told.endswith("Goodbye. Games: 0, won 0, drawn 0, lost 0.\n")


def test_moves_are_called_by_the_words_of_the_game(tables: Path) -> None:
    told = played(tables / "nim", "cdq/Nim-v0", "0   1\nq\n")
    assert "heap 0: " in told
    assert "Your move (0 1" in told or "Your move (1 1" in told or "Your move (2 1" in told
    assert "heap 0" in played(tables / "nim", "cdq/Nim-v0", "")
    assert "0 1 2 3 4 5 6\n" in played(tables / "four", "cdq/ConnectFour-v0", "3\n3\n")
    told = played(tables / "aec", "pettingzoo.classic.tictactoe_v3", "4\nq\n")
    assert "The table plays " in told


def test_a_terminal_plays(tables: Path) -> None:
    end, other = pty.openpty()
    command = [*COMMAND, "cdq/TicTacToe-v0", "--table", str(tables / "board")]
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=ENVIRONMENT) as process:
        os.close(other)
        told = b""

        def wait_for(text: bytes, times: int = 1) -> None:
            nonlocal told
            until = time.monotonic() + 100
            while told.count(text) < times:
                assert time.monotonic() < until, told
                told += os.read(end, 4096)

        wait_for(b"Your move")
        os.write(end, b"nonsense\n")
        wait_for(b"is no move here")
        wait_for(b"Your move", 2)
        os.write(end, b"4\n")
        wait_for(b"The table plays")
        wait_for(b"Your move", 3)
        os.write(end, b"\x04")  # Ctrl-D
        wait_for(b"Goodbye. Games: 0")
        assert process.wait(100) == 0
    os.close(end)


def mistake(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["play", *map(str, arguments)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_mistakes(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--table" in mistake(capsys, "cdq/Nim-v0")
    assert "is no game of two players" in mistake(capsys, "FrozenLake-v1", "--table", tables / "lake")
    said = mistake(capsys, "cdq/TicTacToe-v0", "--table", tables / "lake")
    assert "lake does not go with 'cdq/TicTacToe-v0': " in said
    said = mistake(capsys, "FrozenLake-v1", "--table", tables / "board")
    assert "board does not go with 'FrozenLake-v1': " in said
    assert "nothing" in mistake(capsys, "cdq/Nim-v0", "--table", tables / "nothing")
    assert "cdq/Nim-v0" in mistake(capsys, "cdq/Nim-v0", "--table", tables / "board")


def test_train_needs_the_opponent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cdq/TicTacToe-v0"]) == 2
    assert "give opponent='self' (--opponent self)" in capsys.readouterr().err
    assert main(["train", "cdq/TicTacToe-v0", "--opponent", "me"]) == 2
    assert "opponent" in capsys.readouterr().err


def test_train_prints_a_line_per_seat(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cdq/Nim-v0", "--opponent", "self", "--steps", "2e4", "--seed", "0"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for seat in ("first seat", "second seat"):
        assert seat in told
    assert "games against random" in told
    assert "mean return" not in told


def test_a_hub_holds_the_job_of_a_game(
    processes: Processes, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job"
    command = ["hub", "--bind", url, "--env", "cdq/Nim-v0", "--checkpoint", str(job), "--opponent", "self"]
    options = ["--sync-every", "16000", "--seed", "0", "--steps", "6e5", "--workers", "3"]
    hub = processes.start(*command, *options, "--json", "-")
    workers = [processes.start("join", url) for _ in range(3)]
    ended, out, err = end(hub)
    assert ended == 0, err
    assert [end(worker)[0] for worker in workers] == [0, 0, 0]
    threads = cdq.QLearner("cdq/Nim-v0", opponent="self", workers=3, sync_every=16_000, seed=0).learn(6e5)
    report = json.loads(out)
    assert report["digest"] == threads.table.digest()
    assert report["gap"] < 1e-3
    assert main(["replay", str(job), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == threads.table.digest()
