"""Several workers of an environment that is stepped in Python: processes beside this one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.envs.by_value import unpack
from cdq.errors import ConfigError, PeerLost
from cdq.learner.parcel import Parcel, make_parcel
from cdq.qfunctions.linear import Linear
from tests import running
from tests.envs import changed, failing

WORKERS = 3


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other processes import this one's test modules, as a user's would be."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def ranks_left() -> list[str]:
    """Return the commands of the ranks that this process started and that still run."""
    commands = map(running.command, running.descendants(os.getpid()))
    return [command for command in commands if "cdq.learner.rank" in command]


def learner(env: Any, **changes: Any) -> cdq.QLearner:
    return cdq.QLearner(env, **{"workers": WORKERS, "seed": 1, "sync_every": 500, **changes})


def test_workers_are_processes_and_learn_together() -> None:
    agent = learner("Sound-v0").learn(9000)
    report = agent.report()
    assert (report["stepping"], report["comm"], report["workers"]) == ("Python environment", "zmq", WORKERS)
    assert agent.steps == agent.table.visits.sum() == 9000
    assert ranks_left() == []


def test_two_runs_are_one_and_a_second_call_goes_on() -> None:
    first, second = learner(failing.Sound).learn(3000), learner(failing.Sound).learn(3000)
    assert first.table.digest() == second.table.digest()
    assert first.learn(3000).table.digest() == second.learn(3000).table.digest()
    assert first.steps == 6000


@pytest.mark.parametrize("representation", [{}, {"table": "hash"}], ids=["dense", "hash"])
def test_processes_come_to_the_bits_of_threads(representation: dict[str, Any]) -> None:
    def learnt(comm: str) -> list[str]:
        agent = cdq.QLearner("cdq/RiverSwim-v0", workers=WORKERS, comm=comm, seed=0, **representation)
        return [agent.learn(20_000).table.digest() for _ in range(2)]

    assert learnt("zmq") == learnt("inprocess")


def test_weights_come_to_the_bits_of_threads() -> None:
    digests = {
        cdq.QLearner(
            "MountainCar-v0",
            features=cdq.TileCoding(4, 4),
            workers=WORKERS,
            comm=comm,
            seed=0,
            dtype="float32",
        )
        .learn(30_000)
        .table.digest()
        for comm in ("inprocess", "zmq")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (failing.Failing, "worker 1, lane 0, step 10: step raised RuntimeError: the sensor is lost"),
        (failing.Killed, "rank 1: its process cannot be reached"),
        (failing.Exiting, "rank 1: SystemExit: 3"),
    ],
)
def test_a_worker_that_fails_ends_the_call_and_leaves_the_last_round(env: Any, said: str) -> None:
    agent = learner(env)
    with pytest.raises(PeerLost, match=said):
        agent.learn(30_000)
    # Rank 1 failed in the window that its step 5000 would have ended.
    assert agent.steps == agent.table.visits.sum() == WORKERS * (failing.AT - 500)
    assert ranks_left() == []
    with pytest.raises(PeerLost, match=said):  # the same again: processes begin anew
        agent.learn(30_000)
    assert agent.steps == 2 * WORKERS * (failing.AT - 500)


def test_a_failure_leaves_a_checkpoint_of_the_last_round(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = learner(failing.Failing, checkpoint=tmp_path, checkpoint_every=6000)
    with pytest.raises(PeerLost):
        agent.learn(30_000)
    monkeypatch.setenv(failing.REPAIRED, "1")
    again = cdq.QLearner.resume(tmp_path, failing.Failing)
    assert again.steps == agent.steps == WORKERS * (failing.AT - 500)
    assert again.table.digest() == agent.table.digest()
    assert again.learn().steps == 30_000


def test_what_another_process_cannot_make_is_refused_before_any_work() -> None:
    lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"cannot be sent to another process.*cdq launch"):
        learner(lambda: failing.Failing("never" if lock.locked() else "raise"))
    env = failing.Sound()
    env.lock = lock  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"this Sound would be another environment.*Give what makes it"):
        learner(env)


def test_what_fails_only_there_is_refused_before_any_step() -> None:
    class Here(failing.Sound):
        def __init__(self) -> None:
            super().__init__()
            if "CDQ_RANK" in os.environ:
                raise OSError("the device is taken")

    agent = learner(Here)
    with pytest.raises(
        ConfigError, match=r"worker \d, a process, cannot begin: OSError: the device is taken"
    ):
        agent.learn(3000)
    assert agent.steps == 0
    assert ranks_left() == []


def test_what_makes_another_environment_there_is_refused_before_any_step() -> None:
    def make() -> gymnasium.Env[Any, Any]:
        return changed.Shop() if "CDQ_RANK" in os.environ else failing.Sound()

    wrapped = gymnasium.wrappers.TransformReward(failing.Sound(), lambda reward: 9 * reward)
    one_after_another = partial(next, iter([*(failing.Sound() for _ in range(3)), wrapped, wrapped]))
    for env in (make, one_after_another):
        agent = learner(env)
        with pytest.raises(ConfigError, match=r"another environment"):
            agent.learn(3000)
        assert agent.steps == 0


def test_classes_within_functions_are_learnt() -> None:
    class Inner(changed.Shop):
        factor = 3.0

    assert learner(lambda: Inner(), step_size=1.0).learn(3000).table.values[2].tolist() == [3.0, 3.0]  # noqa: PLW0108
    assert learner(Inner).learn(3000).steps == 3000


def test_an_environment_that_was_changed_is_learnt_as_it_is() -> None:
    env = gymnasium.make("Shop-v0")
    env.unwrapped.bonus = 6.0  # type: ignore[attr-defined]
    env.unwrapped.factor = 1.0  # type: ignore[attr-defined]
    for changed_env, worth in (
        (env, 7.0),
        (gymnasium.wrappers.TransformReward(env, lambda reward: 2 * reward), 14.0),
        (partial(changed.Shop, 4.0), 5.0),
        (lambda: gymnasium.make("Shop-v0", bonus=2.0), 3.0),
    ):
        agent = learner(changed_env, step_size=1.0, gamma=0.5).learn(3000)
        assert agent.table.values[2].tolist() == [worth, worth]


def test_vector_environments_have_several_workers() -> None:
    for envs in (gymnasium.make_vec("Shop-v0", 2, "sync"), partial(gymnasium.make_vec, "Shop-v0", 2, "sync")):
        agent = learner(envs).learn(3000)
        assert agent.steps >= 3000


def test_what_was_changed_in_a_module_is_refused_before_any_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed, "PRICE", 7.0)
    agent = learner("Shop-v0")
    with pytest.raises(
        ConfigError, match=r"worker \d plays another environment.*step 3.* 1.0 in place of 7.0"
    ):
        agent.learn(3000)
    assert agent.steps == 0


def test_a_merge_rule_of_one_s_own() -> None:
    class Mean(cdq.MergeRule):
        def combine(self, base: Any, values: Any, *others: Any) -> Any:
            return values.mean(axis=0)

    own = learner(failing.Sound, merge=Mean()).learn(3000)
    assert np.isfinite(own.table.values).all()
    assert own.steps == 3000


def test_children_work_where_their_parent_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment may read files of the working directory, and import what is in it."""
    (tmp_path / "bonus.txt").write_text("4")
    (tmp_path / "beside_it.py").write_text("FACTOR = 2")

    def make() -> changed.Shop:
        import beside_it  # type: ignore[import-not-found]

        return changed.Shop(beside_it.FACTOR * float(Path("bonus.txt").read_text()))

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    agent = learner(make, step_size=1.0).learn(3000)
    assert agent.table.values[2].tolist() == [9.0, 9.0]


def test_a_q_function_that_wants_processes_leaves_how_the_environment_is_stepped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def parcel(env: Any) -> tuple[bool, bool]:
        agent = cdq.QLearner(env, stepping="auto", features=cdq.TileCoding(8, 8))
        packed: Parcel = unpack(make_parcel(agent._task, agent.settings))
        return agent._task.threads, packed.steps

    assert parcel("CartPole-v1") == (True, False)
    assert parcel(gymnasium.make("CartPole-v1", sutton_barto_reward=True)) == (False, True)
    monkeypatch.setattr(Linear, "threads", False)
    assert parcel("CartPole-v1") == (False, False)


def test_threads_that_would_take_turns_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"threads would take turns.*'zmq', 'mpi'"):
        learner("Sound-v0", comm="inprocess")


def test_an_id_that_only_this_process_knows() -> None:
    gymnasium.register("Lambda-v0", entry_point=lambda: failing.Failing("never"))
    try:
        for env in ("Lambda-v0", lambda: gymnasium.make("Lambda-v0")):
            assert learner(env).learn(3000).steps == 3000
    finally:
        del gymnasium.registry["Lambda-v0"]
    assert ranks_left() == []


SCRIPT = """
import sys
import gymnasium
import cdq

class Shop(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(4), gymnasium.spaces.Discrete(2)
    price = PRICE = 7.0

    def reset(self, *, seed=None, options=None):
        self.n = 0
        return 0, {}

    def step(self, action):
        self.n += 1
        return self.n % 4, self.price if self.n == 3 else 0.0, self.n == 3, False, {}

class Last(cdq.MergeRule):
    def combine(self, base, values, *others):
        return values[-1]

gymnasium.register("Mine-v0", entry_point=Shop)
for env in (Shop, "Mine-v0", gymnasium.make("Mine-v0")):
    agent = cdq.QLearner(env, workers=2, seed=0, step_size=1.0, merge=Last()).learn(2000)
    print(agent.table.values[2].tolist())
"""


@pytest.mark.parametrize("way", ["script", "stdin", "argument", "exec"])
def test_what_a_script_defines_is_learnt_by_several_workers(way: str, tmp_path: Path) -> None:
    """No guard for `__main__` is needed: nothing runs the script again."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    arguments = {
        "script": [str(path)],
        "stdin": ["-"],
        "argument": ["-c", SCRIPT],
        "exec": ["-c", f"exec(open({str(path)!r}).read(), {{}})"],
    }[way]
    done = subprocess.run(
        [sys.executable, *arguments],
        input=SCRIPT if way == "stdin" else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout.split("\n")[:3] == ["[7.0, 7.0]"] * 3, done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_a_module_beside_the_script_is_found(tmp_path: Path) -> None:
    module = SCRIPT.partition("gymnasium.register")[0] + "gymnasium.register('Shop-v1', 'shop:Shop')"
    (tmp_path / "shop.py").write_text(module)
    (tmp_path / "script.py").write_text(
        "import cdq\nagent = cdq.QLearner('shop:Shop-v1', workers=2, step_size=1.0).learn(2000)\n"
        "print(agent.table.values[2].tolist())"
    )
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("[7.0, 7.0]\n", "")


def test_a_process_that_does_not_start_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from cdq.learner import ranks

    monkeypatch.setattr(ranks, "RANK", ("-c", "import sys; sys.exit(7)"))
    with pytest.raises(PeerLost, match="with status 7"):
        learner("Sound-v0").learn(1000)
