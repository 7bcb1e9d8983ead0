"""Learners of networks: training, files, copies, callbacks, and what is refused."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
from cdq.envs.classic import CartPole
from cdq.errors import ConfigError, EnvironmentFailure, FileError, LearningDiverged, TableError
from cdq.storage import read_tensors, write_tensors
from cdq.training import Checkpoints
from tests.mpi import pool
from tests.runs import copied, differing

SMALL = cdq.Network((16, 8), rollout=8, epochs=2, minibatch=48)
STEPS = 6000


def learner(**arguments: Any) -> cdq.QLearner:
    return cdq.QLearner("CartPole-v1", **{"network": SMALL, "seed": 3, "num_envs": 8, **arguments})


def digest(agent: cdq.QLearner) -> str:
    found: str = agent.report(play=False)["digest"]
    return found


@pytest.fixture(scope="module")
def agent() -> cdq.QLearner:
    return learner().learn(STEPS)


class Corridor(gymnasium.Env[Any, int]):
    """Numbers that may be anything, and a mask that allows all actions but one."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float64)
    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, number: float = 0.5, reward: float = 1.0, masked: bool = False) -> None:
        self.number, self.reward, self.masked, self.taken = number, reward, masked, set[int]()

    @property
    def info(self) -> dict[str, Any]:
        return {"action_mask": np.array([1, 0, 1], np.int8)} if self.masked else {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(3), self.info

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.add(int(action))
        return self.np_random.uniform(-1, 1, 3) * 0 + self.number, self.reward, False, False, self.info


# ---- learning


def test_two_calls_of_learn_are_one(agent: cdq.QLearner) -> None:
    other = learner()
    for part in (2048, STEPS - 2048):
        other.learn(part)
    assert digest(other) == digest(agent)


def test_another_seed_is_another_network(agent: cdq.QLearner) -> None:
    first, other = learner().network, learner(seed=4).network
    assert (first["layer.0.kernel"] != other["layer.0.kernel"]).all()
    assert (first["layer.0.kernel"] != agent.network["layer.0.kernel"]).any()


def test_first_parameters_are_within_the_bounds_of_their_layers() -> None:
    tensors = learner(network=cdq.Network((64, 32))).network
    for name, most in (("layer.0", 6 / 4), ("layer.1", 6 / 64), ("layer.2", 3 / 32)):
        kernel = tensors[f"{name}.kernel"]
        assert np.abs(kernel).max() <= np.sqrt(most) < 1.1 * np.abs(kernel).max()
        assert abs(kernel.mean()) < 0.3 * np.sqrt(most)
        assert not tensors[f"{name}.bias"].any()
    assert (tensors["norm.1.gain"] == 1).all()
    assert not tensors["norm.1.bias"].any()


def test_lanes_and_windows_follow_from_the_workers() -> None:
    for workers, lanes in ((1, 64), (3, 21), (8, 8)):
        settings = cdq.QLearner("CartPole-v1", network=cdq.Network(), workers=workers).settings
        assert (settings.num_envs, settings.sync_every.floor) == (lanes, 32 * lanes)
        assert settings.step_size == cdq.LinearDecay(1e-3, 2e-5, 300_000)


@pytest.mark.parametrize("sync_every", [64, 192, 1024])
def test_windows_of_several_rollouts_count_their_episodes(sync_every: int) -> None:
    history = learner(sync_every=sync_every).learn(4000).history
    assert history.column("steps")[-1] == 4000
    assert 50 < history.column("episodes")[-1] < 400


@pytest.mark.parametrize("stepping", ["auto", "python"])
def test_python_and_compiled_environments_are_learnt(stepping: str) -> None:
    found = learner(stepping=stepping, network=cdq.Network((32, 32)), num_envs=64).learn(60_000)
    assert found.evaluate(20, seed=1).mean_return > 100


@pytest.mark.parametrize(("workers", "merge"), [(1, None), (1, "mean"), (2, None), (2, "mean")])
@pytest.mark.parametrize("laws", [{}, {"step_size": 1e-3, "exploration": 0.1}])
def test_what_is_learnt_is_the_same_whoever_looks(
    workers: int, merge: str | None, laws: dict[str, float]
) -> None:
    """Rounds of tables take no Python where laws stay the same and nobody looks; those of networks always do."""

    class Looks(cdq.Callback):
        def on_round(self, run: cdq.RunView) -> None:
            rounds.append(run.steps)

    rounds: list[int] = []
    unseen, seen = (learner(workers=workers, merge=merge, **laws) for _ in range(2))
    unseen.learn(5000, verbose=0)
    seen.learn(5000, verbose=0, callbacks=[Looks()])
    assert digest(unseen) == digest(seen)
    assert unseen.history.column("steps").tolist() == seen.history.column("steps").tolist()
    assert len(rounds) > 1


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_vector_environments_are_learnt(mode: str) -> None:
    modes = gymnasium.vector.AutoresetMode
    envs = gymnasium.make_vec(
        "CartPole-v1",
        num_envs=16,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": getattr(modes, "NEXT_STEP" if mode == "NextStep" else "SAME_STEP")},
    )
    found = cdq.QLearner(envs, network=cdq.Network((32, 32)), seed=0).learn(30_000)
    assert (found.settings.num_envs, found.settings.sync_every.floor) == (16, 512)
    assert found.evaluate(20, seed=1).mean_return > 100
    envs.close()


def test_masked_actions_are_never_taken() -> None:
    env = Corridor(masked=True)
    found = cdq.QLearner(env, network=SMALL, seed=0, masks=True).learn(2000)
    assert env.taken == {0, 2}
    assert found.predict(np.zeros(3), action_mask=[0, 1, 0]) == 1


def test_until_ends_early() -> None:
    found = cdq.QLearner("CartPole-v1", network=cdq.Network(), seed=1)
    found.learn(300_000, until=cdq.MeanReturn(400))
    assert found.steps < 200_000
    assert found.evaluate(50).mean_return > 300


# ---- what a network says of itself


def test_a_network_has_tensors_and_no_table(agent: cdq.QLearner) -> None:
    assert {name: tensor.shape for name, tensor in agent.network.items()} == {
        "layer.0.kernel": (4, 16), "layer.0.bias": (16,), "norm.0.gain": (16,), "norm.0.bias": (16,),
        "layer.1.kernel": (16, 8), "layer.1.bias": (8,), "norm.1.gain": (8,), "norm.1.bias": (8,),
        "layer.2.kernel": (8, 2), "layer.2.bias": (2,),
    }  # fmt: skip
    with pytest.raises(ValueError, match="read-only"):
        agent.network["layer.0.bias"][0] = 1
    with pytest.raises(TypeError):
        agent.network["layer.0.bias"] = 0  # type: ignore[index]
    with pytest.raises(TableError, match="a network has no table"):
        _ = agent.table
    with pytest.raises(TableError, match="a network has no table"):
        _ = agent.tables
    with pytest.raises(TableError, match="use `table`"):
        _ = cdq.QLearner("FrozenLake-v1").network


def test_values_are_those_of_the_tensors(agent: cdq.QLearner) -> None:
    observations = np.random.default_rng(0).normal(size=(5, 4))
    x, tensors = observations.astype(np.float32), agent.network
    for layer in range(2):
        x = x @ tensors[f"layer.{layer}.kernel"] + tensors[f"layer.{layer}.bias"]
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
        x = np.maximum(x * tensors[f"norm.{layer}.gain"] + tensors[f"norm.{layer}.bias"], 0)
    expected = (x @ tensors["layer.2.kernel"] + tensors["layer.2.bias"]) / SMALL.reward_scale
    values = agent.action_values(observations)
    assert np.allclose(values, expected, rtol=1e-4, atol=1e-4)
    assert agent.predict(observations).tolist() == values.argmax(axis=1).tolist()
    assert agent.policy()(observations[0]) == values[0].argmax()


@pytest.mark.parametrize("wrong", [[0.0] * 3, [0.0, 0.0, np.nan, 0.0], [np.inf] * 4])
def test_observations_that_are_none_are_refused(agent: cdq.QLearner, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="the observation"):
        agent.predict(np.array(wrong))


def test_report_and_text(agent: cdq.QLearner) -> None:
    report = agent.report()
    assert report["representation"] == "network, hidden layers of 16, 8 units: 282 parameters"
    assert (report["merge"], report["gap"], report["pairs_unvisited"]) == ("gradient", None, None)
    assert "QLearner" in agent._repr_html_()


def test_a_policy_stays_what_it_was() -> None:
    found = learner()
    before = found.policy()
    observation, values = np.full(4, 0.3), found.action_values(np.full(4, 0.3))
    found.learn(STEPS)
    assert before(observation) == values.argmax()
    assert (found.action_values(observation) != values).all()


def test_callbacks_see_tensors_and_change_nothing(agent: cdq.QLearner) -> None:
    seen: list[Any] = []
    best = cdq.EvalCallback(2000, episodes=5)
    other = learner().learn(STEPS, callbacks=[lambda run: seen.append(run.network["layer.2.bias"]), best])
    assert digest(other) == digest(agent)
    assert (seen[-1] == agent.network["layer.2.bias"]).all()
    assert best.best_table is None
    assert best.best_network is not None
    assert best.best_network["layer.0.kernel"].shape == (4, 16)


# ---- files


def test_files_name_tensors_as_readers_expect(agent: cdq.QLearner, tmp_path: Path) -> None:
    agent.save(tmp_path / "a.safetensors")
    tensors, _ = read_tensors(tmp_path / "a.safetensors")
    assert set(agent.network) < set(tensors)
    assert all((tensors[name] == tensor).all() for name, tensor in agent.network.items())
    again = cdq.QLearner.load(tmp_path / "a.safetensors")
    assert (again.settings.network, digest(again)) == (SMALL, digest(agent))
    assert digest(again.learn(1000)) != digest(agent)


def test_copies_hold_the_same(agent: cdq.QLearner) -> None:
    assert digest(copy.deepcopy(agent)) == digest(agent)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("layer.0.kernel", lambda tensor: tensor.T.copy()),
        ("layer.0.bias", lambda tensor: tensor.astype(np.float64)),
        ("norm.0.gain", lambda tensor: tensor * np.float32(np.nan)),
        ("second.layer.0.kernel", lambda tensor: -np.abs(tensor) - 1),
        ("updates", lambda tensor: -tensor - 1),
    ],
)
def test_a_file_of_other_tensors_is_refused(
    agent: cdq.QLearner, tmp_path: Path, name: str, change: Any
) -> None:
    path = tmp_path / "a.safetensors"
    agent.save(path)
    tensors, header = read_tensors(path)
    write_tensors(path, {**tensors, name: change(tensors[name])}, header)
    with pytest.raises(TableError, match=r"the file's .*(updates|moments|layer|norm)"):
        cdq.QLearner.load(path)
    del tensors[name]
    write_tensors(path, tensors, header)
    with pytest.raises(FileError, match=name):
        cdq.QLearner.load(path)


def test_a_file_of_another_network_is_refused(agent: cdq.QLearner, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    agent.save(path)
    with pytest.raises(TableError, match="observations|spaces"):
        cdq.QLearner.load(path, "Acrobot-v1")


@pytest.mark.parametrize("merge", ["gradient", "mean"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_that_is_resumed_is_the_run_that_was_not_interrupted(
    tmp_path: Path, merge: str, workers: int
) -> None:
    whole = {"checkpoint": tmp_path / "whole", "checkpoint_every": 1500, "workers": workers, "merge": merge}
    with copied(tmp_path) as copies:
        learner(**whole).learn(STEPS)
    assert len(copies) > 2
    for directory in copies[:-1]:
        cdq.QLearner.resume(directory).learn()
        # The words for how it is stepped are of the name by which it is made again.
        assert differing(tmp_path / "whole", directory, "stepping_reason") == []


# ---- several workers


def test_workers_are_threads_processes_and_ranks_with_one_result() -> None:
    expected = learn_as("inprocess", "gradient")
    assert learn_as("zmq", "gradient") == expected
    assert pool.run(3, partial(learn_on, "gradient")) == [expected] * 3


def test_means_of_windows_are_one_result_too() -> None:
    expected = learn_as("inprocess", "mean")
    assert expected != learn_as("inprocess", "gradient")
    assert learn_as("zmq", "mean") == expected
    assert pool.run(3, partial(learn_on, "mean")) == [expected] * 3


def learn_as(comm: Any, merge: str) -> str:
    return digest(learner(workers=3, comm=comm, merge=merge).learn(STEPS, verbose=0))


def learn_on(merge: str, comm: Any) -> str:
    return digest(learner(comm=comm, merge=merge).learn(STEPS, verbose=0))


def test_ranks_of_other_networks_are_told_apart() -> None:
    with pytest.raises(ConfigError, match="samples .*300 workers"):
        learner(workers=300)


# ---- what cannot be learnt


@pytest.mark.parametrize("env", ["FrozenLake-v1", "Blackjack-v1", "cdq/GridWorld-v0"])
def test_numbered_states_are_for_tables(env: str) -> None:
    with pytest.raises(ConfigError, match=r"numbered states.*leave network out.*FlattenObservation"):
        cdq.QLearner(env, network=SMALL)


def test_states_as_vectors_of_0_and_1_are_learnt() -> None:
    lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
    found = cdq.QLearner(gymnasium.wrappers.FlattenObservation(lake), network=SMALL, seed=0)
    assert found.learn(1000).network["layer.0.kernel"].shape == (16, 16)


@pytest.mark.parametrize(
    "env", [cdq.MDP.garnet(5, 2, branching=2, seed=0), "cdq/Signals-v0", ["CartPole-v1"] * 2]
)
def test_models_lists_and_several_agents_are_for_tables(env: Any) -> None:
    with pytest.raises(ConfigError, match="network"):
        cdq.QLearner(env, network=SMALL)


def test_continuous_actions_are_refused() -> None:
    with pytest.raises(cdq.errors.UnsupportedEnvironment, match="continuous actions"):
        cdq.QLearner("Pendulum-v1", network=SMALL)


def test_logs_and_initial_tables_are_refused(agent: cdq.QLearner) -> None:
    zeros = np.zeros((1, 4))
    with pytest.raises(ConfigError, match="learnt with a network"):
        agent.learn_from(zeros, [0], [0.0], zeros, [False])
    with pytest.raises(ConfigError, match="initial_table"):
        learner(initial_table=agent)
    with pytest.raises(ConfigError, match="leave out"):
        cdq.QLearner.from_log(["a"], ["b"], [0.0], ["a"], [False], network=SMALL)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_observations_that_are_not_finite_are_told_with_their_step(number: float) -> None:
    found = cdq.QLearner(Corridor(number), network=SMALL, seed=0)
    with pytest.raises(EnvironmentFailure, match=r"step 1: the observation .*not finite"):
        found.learn(1000)
    assert found.steps == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_divergence_is_told_and_never_kept(tmp_path: Path, workers: int) -> None:
    network = cdq.Network((8,), rollout=8, reward_scale=1e9)
    found = cdq.QLearner(
        partial(Corridor, reward=1e35), network=network, seed=0, workers=workers, checkpoint=tmp_path / "kept"
    )
    before = digest(found)
    with pytest.raises(LearningDiverged, match=r"diverges; .*reward_scale"):
        found.learn(1000)
    assert digest(found) == before
    assert found.steps == 0
    with pytest.raises(FileError):
        Checkpoints(str(tmp_path / "kept"), None).newest(None)


def test_another_environment_with_the_same_numbers_is_played(agent: cdq.QLearner) -> None:
    assert agent.evaluate(5, seed=1, env=CartPole()) == agent.evaluate(5, seed=1)
