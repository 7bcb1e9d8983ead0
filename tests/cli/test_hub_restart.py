"""cdq hub, started again on its directory: what may be another than before, and what is said of the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.cli import main
from cdq.cli.hub import _left
from cdq.job.hub import Hosting
from cdq.training.goals import Goal
from tests.cli.test_hub import BRIEF, Processes, end, processes, url, wait_for_rounds
from tests.job.jobs import Playing

__all__ = ["processes", "url"]  # fixtures
OPTIMAL, RETURN = cdq.OptimalWithin(0.01), cdq.MeanReturn(0.7)


class Agent:
    """A learner of a job that was to reach 900 steps and had 600 at its last checkpoint."""

    steps, steps_left, until = 600, 300, OPTIMAL


@pytest.mark.parametrize(
    ("last", "steps", "until", "left"),
    [
        (Goal(900, OPTIMAL), None, None, (None, None)),
        (Goal(900, OPTIMAL), 900.0, None, (None, None)),
        (Goal(900, OPTIMAL), 900.0, OPTIMAL, (None, None)),
        (Goal(900, OPTIMAL), None, OPTIMAL, (None, None)),
        (Goal(900), None, OPTIMAL, (300.0, OPTIMAL)),
        (Goal(900, OPTIMAL), None, RETURN, (300.0, RETURN)),
        (Goal(900, OPTIMAL), 1000.0, None, (400.0, OPTIMAL)),
        (Goal(900, OPTIMAL), 500.0, RETURN, (0.0, RETURN)),
        (Goal(700, OPTIMAL), 700.0, None, (None, None)),
        (Goal(700, None), 900.0, None, (300.0, None)),
        (None, None, None, (None, None)),
        (None, 1000.0, None, (400.0, OPTIMAL)),
    ],
)
def test_what_is_left(last: Goal | None, steps: float | None, until: Any, left: Any) -> None:
    agent: Any = Agent()
    assert _left(agent, last, steps, until) == left


def test_a_job_that_was_killed_takes_other_goals(
    processes: Processes,
    url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Hosting, "__init__", partialmethod(Hosting.__init__, grace=0.5))
    job = tmp_path / "job"
    command = ["hub", "--bind", url, "--checkpoint", str(job)]
    options = ["--env", "FrozenLake-v1", "--sync-every", "16000", "--seed", "0", "--checkpoint-every", "1e11"]
    hub = processes.start(*command, *options, "--steps", "1e12", "--workers", "2")
    workers = [processes.start("join", url) for _ in range(2)]
    wait_for_rounds(job, 20)
    for process in (hub, *workers):
        process.kill()
        end(process)
    # Fewer steps than there are: nothing is left to learn, and nothing that was acknowledged is lost.
    assert main([*command, "--steps", "1e5", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["steps"] >= 20 * 16_000
    assert report["workers"] == 2  # which was left out
    assert main(["replay", str(job), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == report["digest"]
    # More, until a condition holds, and applied as they come.
    hub = processes.start(
        *(
            *command,
            "--steps",
            "1e9",
            "--until-optimal",
            "0.01",
            "--mode",
            "async",
            "--checkpoint-every",
            "2e5",
        ),
        *("--json", "-"),
        program=BRIEF,
    )
    processes.start("join", url)
    ended, out, err = end(hub)
    assert ended == 0, err
    again = json.loads(out)
    assert again["until_reached"] is True
    assert report["steps"] < again["steps"] < 1e9
    # The same command once more: there is nothing to do, and no worker is waited for.
    assert (
        main([*command, "--steps", "1e9", "--until-optimal", "0.01", "--mode", "async", "--json", "-"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["digest"] == again["digest"]
    assert main(["replay", str(job)]) == 0
    for wrong, said in [
        (["--gamma", "0.9"], "--gamma: the job in the directory has something else (gamma 0.99)"),
        (["--env", "Taxi-v4"], "--env: the job in the directory has something else (FrozenLake-v1)"),
        (["--mode", "never"], "unknown mode 'never'"),
    ]:
        assert main([*command, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_a_directory_is_a_hubs_or_a_runs(
    processes: Processes, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hub may take over what a run left; a run would break the hub's journal."""
    job = tmp_path / "job"
    assert main(["train", "FrozenLake-v1", "--steps", "1e5", "--seed", "0", "--checkpoint", str(job)]) == 0
    command = ["hub", "--bind", url, "--checkpoint", str(job), "--steps", "3e5", "--json", "-"]
    hub = processes.start(*command)
    processes.start("join", url)
    ended, out, err = end(hub)
    assert ended == 0, err
    assert json.loads(out)["steps"] == 300_000
    capsys.readouterr()
    assert main(["replay", str(job), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == json.loads(out)["digest"]
    assert main(["train", "--resume", str(job), "--steps", "1e5"]) == 2
    assert "holds the job of a hub" in capsys.readouterr().err


def test_a_hub_that_is_started_again_makes_no_environment(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model is in the directory, and so is its grid; the name, whatever it says, is only a name."""
    job, folder = tmp_path / "job", tmp_path / "modules"
    folder.mkdir()
    (folder / "evilmod.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("cdq.job.hub.Hub", Playing)
    model = replace(cdq.MDP.from_gymnasium("FrozenLake-v1"), name="evilmod:Evil-v0\x1b[2J")
    agent = cdq.QLearner(model, comm="zmq", seed=0, checkpoint=job)
    agent.learn(20_000, hosting=Hosting(url))
    assert main(["hub", "--bind", url, "--checkpoint", str(job), "--steps", "40000"]) == 0
    out = capsys.readouterr().out
    assert "evilmod:Evil-v0?[2J" in out  # no terminal obeys a file
    assert "\x1b" not in out
    assert "G: ends with the best reward" in out
    for command in (["replay", str(job)], ["status", url, "--timeout", "0.1"]):
        main(command)
        assert "\x1b" not in "".join(capsys.readouterr())
    assert main(["train", "--resume", str(job)]) == 2
    assert "no module is imported because a file names it" in capsys.readouterr().err
