"""--rule on the command line: passed on, kept by a job, refused where it is none or another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cdq
from cdq.cli import main
from tests.cli.test_hub import Processes, end, processes, url

__all__ = ["processes", "url"]  # fixtures


@pytest.mark.parametrize("rule", ["q-learning", "expected-sarsa", "sarsa", "double-q"])
def test_train_learns_by_the_rule(rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--steps", "2e4", "--seed", "0", "--workers", "3", "--save", str(tmp_path / "learner")]
    assert main(["train", "FrozenLake-v1", *options, "--rule", rule, "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    learnt = cdq.QLearner("FrozenLake-v1", workers=3, seed=0, rule=rule).learn(2e4)
    assert (report["rule"], report["digest"]) == (rule, learnt.table.digest())
    assert main(["evaluate", str(tmp_path / "learner")]) == 0


def test_an_unknown_rule_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "FrozenLake-v1", "--rule", "dyna"]) == 2
    said = capsys.readouterr().err
    assert "rule is 'dyna'; allowed: 'q-learning', 'expected-sarsa', 'sarsa', 'double-q'" in said
    assert "Traceback" not in said


def test_a_hub_s_job_keeps_its_rule(
    processes: Processes, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job"
    command = ["hub", "--bind", url, "--env", "FrozenLake-v1", "--checkpoint", str(job)]
    options = [
        "--sync-every",
        "16000",
        "--seed",
        "0",
        "--steps",
        "1.2e6",
        "--workers",
        "3",
        "--rule",
        "double-q",
    ]
    hub = processes.start(*command, *options, "--json", "-")
    workers = [processes.start("join", url) for _ in range(3)]
    ended, out, err = end(hub)
    assert ended == 0, err
    assert [end(worker)[0] for worker in workers] == [0, 0, 0]
    threads = cdq.QLearner("FrozenLake-v1", rule="double-q", workers=3, sync_every=16_000, seed=0).learn(
        1.2e6
    )
    assert json.loads(out)["digest"] == threads.table.digest()
    assert main(["replay", str(job), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == threads.table.digest()
    for other in ("q-learning", "sarsa"):
        assert main([*command, "--rule", other]) == 2
        assert (
            '--rule: the job in the directory has something else (rule "double-q")' in capsys.readouterr().err
        )
