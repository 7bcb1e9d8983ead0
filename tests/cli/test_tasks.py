"""--tasks on the command line, and several tasks by ranks of cdq launch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cdq
from cdq.cli import main

CDQ = [sys.executable, "-c", "import sys; from cdq.cli import main; sys.exit(main())"]


def test_train_learns_the_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "learner"
    options = ["--steps", "2e4", "--seed", "0", "--workers", "3", "--save", str(path)]
    assert main(["train", "FrozenLake-v1", *options, "--tasks", "goals:14,10", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    learnt = cdq.QLearner("FrozenLake-v1", workers=3, seed=0, tasks=cdq.Goals([14, 10])).learn(2e4)
    assert report["digest"] == learnt.table.digest()
    assert [one["task"] for one in report["tasks"]] == [14, 10]
    assert main(["evaluate", str(path), "--episodes", "10", "--json", str(tmp_path / "figures")]) == 0
    said = capsys.readouterr().out
    assert "task 14" in said
    assert "task 10" in said
    figures = json.loads((tmp_path / "figures").read_text())
    assert [one["task"] for one in figures["tasks"]] == [14, 10]


def test_a_line_for_each_task_and_a_few_of_many(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--steps", "2e4", "--seed", "0", "--env-arg", "is_slippery=false", "--progress", "0"]
    assert main(["train", "FrozenLake-v1", *options, "--tasks", "goals:10,2"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["task", "10"] in [line[:2] for line in lines]
    assert main(["train", "FrozenLake8x8-v1", *options, "--tasks", "goals:all"]) == 0
    said = capsys.readouterr().out
    assert said.count("  task ") == 20
    assert "and 44 more" in said


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ("goals:14,99", "the goal 99 is no state of FrozenLake-v1; allowed: 0 to 15"),
        ("goals:a", "allowed: goals:14,37,60"),
        ("goals:", "allowed: goals:14,37,60"),
        ("goals:3,3", "3 occurs twice among the goals"),
        ("goals:-1", "a goal is -1"),
        ("routes:1", "allowed: goals:14,37,60"),
        ("weights:1,0;0", "the weights are"),
        ("weights:1,0;0,1", "pays one number at a step"),
        ("weights:1,nan", "finite"),
    ],
)
def test_tasks_that_are_none_are_told_in_one_line(
    tasks: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "FrozenLake-v1", "--tasks", tasks]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_a_checkpoint_of_other_tasks_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "FrozenLake-v1", "--checkpoint", str(tmp_path), "--seed", "0", "--progress", "0"]
    assert main([*command, "--steps", "1e4", "--tasks", "goals:14,10"]) == 0
    assert main([*command, "--steps", "2e4", "--tasks", "goals:14,10"]) == 0
    capsys.readouterr()
    assert main([*command, "--steps", "3e4", "--tasks", "goals:14,11"]) == 2
    assert "tasks" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path), "--steps", "1e4", "--progress", "0"]) == 0
    again = cdq.QLearner.resume(tmp_path)
    assert again.steps == 30_000
    whole = cdq.QLearner("FrozenLake-v1", seed=0, tasks=cdq.Goals([14, 10]))
    for _ in range(3):
        whole.learn(1e4, verbose=0)
    assert again.table.digest() == whole.table.digest()


def test_launched_ranks_learn_what_threads_do(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import cdq\n"
        "agent = cdq.QLearner('FrozenLake-v1', tasks=cdq.Goals([14, 10, 3]), seed=3)\n"
        "agent.learn(20_000, verbose=0)\n"
        "if agent.rank == 0:\n"
        "    print(agent.settings.workers, agent.table.digest())\n"
    )
    path = os.pathsep.join(filter(None, [str(Path(cdq.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [*CDQ, "launch", "-n", "3", sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    threads = cdq.QLearner("FrozenLake-v1", tasks=cdq.Goals([14, 10, 3]), seed=3, workers=3)
    assert done.stdout.split() == ["3", threads.learn(20_000, verbose=0).table.digest()], done.stderr
