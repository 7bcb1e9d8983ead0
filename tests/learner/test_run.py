"""A call of learn with checkpoints: who may write them, disks that fail, signals."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cdq
from cdq.errors import ConfigError, FileError
from cdq.workers.rounds import Round
from tests import runs

ENDLESS = 10**12


def learner(directory: Path | str, **changes: Any) -> cdq.QLearner:
    arguments = {
        "workers": 2,
        "num_envs": 3,
        "seed": 5,
        "sync_every": 100,
        "checkpoint": directory,
        **changes,
    }
    return cdq.QLearner(runs.MODEL, **arguments)


def steps_kept(directory: Path) -> list[int]:
    return sorted(int(path.stem.partition("-")[2]) for path in directory.glob("checkpoint-*"))


# ---- when they are written


def test_there_is_one_after_each_twentieth_and_at_the_end(tmp_path: Path) -> None:
    with runs.copied(tmp_path / "copies") as copies:
        agent = learner(tmp_path / "run").learn(100_000)
    steps = [int(copy.name.partition("-")[2]) for copy in copies]
    assert len(steps) == 20
    assert all(0 <= at - number * 5000 < 204 for number, at in enumerate(steps, 1))
    assert steps[-1] == agent.steps
    assert steps_kept(tmp_path / "run") == steps[-3:]


@pytest.mark.parametrize("every", [1, 6, 1000, 1e9])
def test_how_often_makes_no_difference_to_the_table(every: float, tmp_path: Path) -> None:
    agent = learner(tmp_path / "run", checkpoint_every=every).learn(3000)
    assert agent.table.digest() == learner(tmp_path / "other", checkpoint=None).learn(3000).table.digest()
    assert steps_kept(tmp_path / "run")[-1] == agent.steps
    assert len(steps_kept(tmp_path / "run")) == (1 if every == 1e9 else 3)


def test_no_step_is_no_checkpoint(tmp_path: Path) -> None:
    agent = learner(tmp_path / "run").learn(0)
    assert steps_kept(tmp_path / "run") == []
    agent.learn(600).learn(0).learn(600)
    assert steps_kept(tmp_path / "run")[-1] == agent.steps == 1200


@pytest.mark.parametrize("every", [0, -1, 1.5, float("nan"), "often"])
def test_how_often_is_a_whole_number(every: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="checkpoint_every is"):
        learner(tmp_path / "run", checkpoint_every=every)
    with pytest.raises(ConfigError, match="there is no checkpoint directory; name one"):
        learner(tmp_path, checkpoint=None, checkpoint_every=5)


def test_a_learner_without_a_call_has_none_to_finish(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="steps is None; allowed: a whole number"):
        learner(tmp_path / "run").learn()
    assert list(tmp_path.iterdir()) == []


# ---- where they are written


def test_the_directory_stays_where_it_was_when_the_program_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    agent = learner("run").learn(600)
    monkeypatch.chdir(tmp_path / "elsewhere")
    agent.learn(600)
    assert steps_kept(tmp_path / "run")[-1] == 1200
    monkeypatch.chdir(tmp_path)
    resumed = runs.resume(Path("run"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resumed.learn(600).steps == 1800
    assert steps_kept(tmp_path / "run")[-1] == 1800
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_directory_that_is_removed_meanwhile_is_an_error_and_made_again_by_the_next_call(
    tmp_path: Path,
) -> None:
    agent = learner(tmp_path / "run", checkpoint_every=600)
    message = f"cannot write {tmp_path / 'run'}/checkpoint-.*: No such file"
    remove = partial(shutil.rmtree, tmp_path / "run")
    with after_rounds(agent, 7, remove), pytest.raises(FileError, match=message):
        agent.learn(6000)
    agent.learn()
    assert steps_kept(tmp_path / "run")[-1] == agent.steps == 6000
    assert agent.table.digest() == learner(tmp_path, checkpoint=None).learn(6000).table.digest()


def test_a_directory_without_a_parent_is_an_error_before_anything_is_learnt(tmp_path: Path) -> None:
    agent = learner(tmp_path / "no" / "run")
    with pytest.raises(FileError, match="cannot make the checkpoint directory"):
        agent.learn(600)
    assert agent.steps == 0


@contextmanager
def after_rounds(agent: cdq.QLearner, rounds: int, what: Callable[[], Any]) -> Iterator[None]:
    """Do something in rank 0's thread after so many rounds."""
    original, left = cdq.training.monitor.Monitor.__call__, [rounds]

    def watch(monitor: Any, steps: int, played: Round) -> bool:
        left[0] -= 1
        if left[0] == 0:
            what()
        return original(monitor, steps, played)

    kind, onlooker = cdq.training.LearnCall, cdq.training.LearnCall.onlooker
    cdq.training.monitor.Monitor.__call__ = watch  # type: ignore[method-assign]
    kind.onlooker = None  # type: ignore[assignment,method-assign]  # each round is watched
    try:
        yield
    finally:
        kind.onlooker = onlooker  # type: ignore[method-assign]
        cdq.training.monitor.Monitor.__call__ = original  # type: ignore[method-assign]


# ---- one run to a directory


def test_a_second_run_is_refused_while_the_first_learns(tmp_path: Path) -> None:
    first = learner(tmp_path / "run")
    refused: list[BaseException] = []

    def second() -> None:
        with pytest.raises(FileError, match=f"is in use by process {os.getpid()} on host") as error:
            learner(tmp_path / "run").learn(600)
        refused.append(error.value)

    with after_rounds(first, 3, second):
        first.learn(6000)
    assert len(refused) == 1
    assert first.steps == 6000


def test_a_second_run_is_refused_after_the_first_has_ended(tmp_path: Path) -> None:
    first, second = learner(tmp_path / "run"), learner(tmp_path / "run")
    first.learn(600)
    with pytest.raises(FileError, match="holds checkpoints of another run: go on with that run"):
        second.learn(1200)
    assert second.steps == 0
    assert steps_kept(tmp_path / "run")[-1] == 600
    first.learn(600)


def test_of_two_that_resume_one_run_the_second_is_refused(tmp_path: Path) -> None:
    with runs.copied(tmp_path / "copies") as copies:
        runs.begin(tmp_path / "run", "alone")
    first, second = runs.resume(copies[3]), runs.resume(copies[3])
    refused = []

    def other() -> None:
        with pytest.raises(FileError, match="is in use by") as error:
            second.learn()
        refused.append(error)

    with after_rounds(first, 3, other):
        first.learn()
    assert refused
    with pytest.raises(FileError, match="holds checkpoints of another run"):
        second.learn()
    assert runs.differing(tmp_path / "run", copies[3]) == []


# ---- disks that fail


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(os, "fsync", 1), (os, "fsync", 7), (os, "replace", 3), (os, "fsync", 9), (Path, "unlink", 4)],
)
def test_a_full_disk_leaves_the_last_checkpoint_and_a_learner_that_goes_on(
    owner: Any, name: str, call: int, overlap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, other = tmp_path / "whole", tmp_path / "other"
    changes: dict[str, Any] = {"checkpoint_every": 600, "overlap": overlap}
    learner(whole, **changes).learn(6000)
    agent = learner(other, **changes)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name), call))
        with pytest.raises(FileError, match="cannot (write|delete) .*No space left on device"):
            agent.learn(6000)
    assert 0 < agent.steps < 6000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("cdq-")]
    if steps_kept(other):
        shutil.copytree(other, tmp_path / "resumed")
        runs.resume(tmp_path / "resumed").learn()
        assert runs.differing(whole, tmp_path / "resumed") == []
    agent.learn()
    assert agent.steps == 6000
    if not overlap:  # else the checkpoint that failed is where no merge travelled
        assert runs.differing(whole, other, "history.bytes") == []


def failing(original: Callable[..., Any], call: int) -> Callable[..., Any]:
    """Return a function that fails for want of room from its *call*-th call on."""
    left = [call]

    def function(*arguments: Any, **keywords: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments, **keywords)

    return function


# ---- signals


@pytest.fixture(autouse=True)
def usual_sigterm() -> Iterator[None]:
    """Undo what a run leaves that SIGTERM has ended."""
    yield
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def send(number: int, heard: Callable[[], Any]) -> Callable[[], None]:
    """Return a function that sends the main thread a signal, and waits until it is heard, also on a busy machine."""
    main = threading.main_thread().ident
    assert main is not None

    def sending() -> None:
        signal.pthread_kill(main, number)
        deadline = time.monotonic() + 10.0
        while not heard() and time.monotonic() < deadline:
            time.sleep(0.001)

    return sending


def asked(agent: cdq.QLearner) -> Callable[[], bool]:
    """Return a function that tells whether a learner was asked to end."""
    return lambda: bool(agent._requests.finish[0])


@pytest.mark.parametrize("way", ["alone", "schedules", "automatic windows"])
def test_sigterm_ends_with_a_checkpoint_and_tells_how_to_go_on(
    way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, other = tmp_path / "whole", tmp_path / "with space"
    runs.begin(whole, way)
    capsys.readouterr()  # progress, where the machine is slow
    agent = cdq.QLearner(runs.MODEL, **runs.arguments_of(way), checkpoint=other)
    with after_rounds(agent, 20, send(signal.SIGTERM, asked(agent))), pytest.raises(SystemExit) as ended:
        agent.learn(runs.STEPS, verbose=0)
    assert ended.value.code == 0
    assert 0 < agent.steps < runs.STEPS
    assert steps_kept(other)[-1] == agent.steps
    assert capsys.readouterr().err == (
        f"cdq: ended early after {agent.steps:,} steps; go on with: "
        f"cdq train --resume '{other}', or cdq.QLearner.resume('{other}').learn()\n"
    )
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN  # also what comes late does no harm
    runs.resume(other).learn()
    assert runs.differing(whole, other) == []


def test_sigterm_in_an_overlapped_run_can_be_gone_on_from(tmp_path: Path) -> None:
    agent = learner(tmp_path / "run", overlap=True)
    with after_rounds(agent, 5, send(signal.SIGTERM, asked(agent))), pytest.raises(SystemExit):
        agent.learn(6000)
    assert steps_kept(tmp_path / "run")[-1] == agent.steps
    resumed = runs.resume(tmp_path / "run").learn()
    assert resumed.steps == resumed.table.visits.sum() == 6000


def test_sigterm_that_comes_in_the_last_window_is_not_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = learner(tmp_path / "run")
    with (
        after_rounds(agent, 6000 // 204 + 1, send(signal.SIGTERM, asked(agent))),
        pytest.raises(SystemExit) as ended,
    ):
        agent.learn(6000)
    assert (ended.value.code, agent.steps, agent.steps_left) == (0, 6000, 0)
    assert capsys.readouterr().err.startswith("cdq: ended early after 6,000 steps; ")


def test_sigterm_keeps_a_handler_of_the_user_s(tmp_path: Path) -> None:
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        agent = learner(tmp_path / "run")
        with after_rounds(agent, 3, send(signal.SIGTERM, received.copy)):
            agent.learn(6000)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert received == [signal.SIGTERM]
    assert agent.steps == 6000


@pytest.mark.parametrize("overlap", [False, True])
def test_ctrl_c_ends_after_the_round_with_a_checkpoint(overlap: bool, tmp_path: Path) -> None:
    agent = learner(tmp_path / "run", overlap=overlap)
    with after_rounds(agent, 5, send(signal.SIGINT, asked(agent))), pytest.raises(KeyboardInterrupt):
        agent.learn(6000)
    assert steps_kept(tmp_path / "run")[-1] == agent.steps
    assert 1000 < agent.steps < 6000
    assert agent.learn().steps == 6000
    if not overlap:
        whole = learner(tmp_path, checkpoint=None).learn(6000)
        assert agent.table.digest() == whole.table.digest()


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    agent = learner(tmp_path / "run", sync_every=2**24, num_envs=64)  # windows of a tenth of a second or more
    main = threading.main_thread().ident
    assert main is not None
    again = threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT))

    def press_twice() -> None:
        send(signal.SIGINT, asked(agent))()
        again.start()

    with after_rounds(agent, 1, press_twice), pytest.raises(KeyboardInterrupt):
        agent.learn(ENDLESS)
    again.join()
    assert (agent.steps, steps_kept(tmp_path / "run")) == (2 * 2**24, [])


def test_ctrl_c_that_the_user_handles_only_ends_the_call(tmp_path: Path) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        agent = learner(tmp_path / "run")
        with after_rounds(agent, 5, send(signal.SIGINT, asked(agent))):
            agent.learn(6000)
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]
    assert 1000 < agent.steps < 6000
    assert agent.steps_left == 6000 - agent.steps
    assert steps_kept(tmp_path / "run")[-1] == agent.steps


def test_from_another_thread_there_are_no_handlers(tmp_path: Path) -> None:
    seen: list[Any] = []
    agent = learner(tmp_path / "run")

    def look() -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    with after_rounds(agent, 3, look), ThreadPoolExecutor(1) as pool:
        pool.submit(agent.learn, 6000).result()
    assert seen == [signal.SIG_DFL]
    assert steps_kept(tmp_path / "run")[-1] == 6000


def test_without_checkpoints_sigterm_keeps_its_meaning() -> None:
    seen: list[Any] = []
    agent = learner("", checkpoint=None)
    with after_rounds(agent, 3, lambda: seen.append(signal.getsignal(signal.SIGTERM))):
        agent.learn(6000)
    assert seen == [signal.SIG_DFL]
