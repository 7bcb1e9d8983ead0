"""Learners and Keras: networks out and in, and Keras models that are learnt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import keras
import numpy as np
import pytest

import cdq
from cdq.errors import ConfigError, LearningDiverged, TableError

L = keras.layers


def model() -> Any:
    """Two hidden layers, as those of the core, but for the convolution before them."""
    layers = [L.Reshape((4, 1)), L.Conv1D(8, 2), L.LayerNormalization(), L.ReLU(), L.Flatten(), L.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCar-v0"])  # as they are, and scaled
def test_a_network_goes_to_keras_and_back(env: str, tmp_path: Path) -> None:
    agent = cdq.QLearner(env, network=cdq.Network((64, 64), reward_scale=0.02), seed=1)
    begun = agent.report(play=False)["digest"]
    agent.to_keras().save(tmp_path / "begun.keras")
    back = cdq.Network.from_keras(keras.models.load_model(tmp_path / "begun.keras"))
    assert cdq.QLearner(env, network=back, seed=2).report(play=False)["digest"] == begun
    assert (back.hidden, back.reward_scale) == ((64, 64), 0.02)
    agent.learn(10_000)
    observations = np.random.default_rng(0).normal(size=(4096, agent.to_keras().input_shape[1]))
    own = np.array([agent.action_values(one) for one in observations])
    assert np.abs(np.asarray(agent.to_keras()(observations)) - own).max() < 1e-5 * np.abs(own).max()
    again = cdq.QLearner(env, network=cdq.Network.from_keras(agent.to_keras()), seed=3)
    assert [tensor.tobytes() for tensor in again.network.values()] == [
        tensor.tobytes() for tensor in agent.network.values()
    ]


def test_a_network_that_began_with_keras_is_saved_and_loaded(tmp_path: Path) -> None:
    started = cdq.QLearner("MountainCar-v0", network=cdq.Network((8,)), seed=1).to_keras()
    agent = cdq.QLearner("MountainCar-v0", network=cdq.Network.from_keras(started), seed=1)
    agent.learn(2048)
    agent.save(tmp_path / "agent.safetensors")
    loaded = cdq.QLearner.load(tmp_path / "agent.safetensors")
    assert loaded.report(play=False)["digest"] == agent.report(play=False)["digest"]
    np.testing.assert_array_equal(loaded.action_values([-0.5, 0.0]), agent.action_values([-0.5, 0.0]))


def test_models_of_another_size_are_refused() -> None:
    of_cartpole = cdq.Network.from_keras(cdq.QLearner("CartPole-v1", network=cdq.Network((8,))).to_keras())
    with pytest.raises(
        ConfigError, match="4 inputs and 2 outputs; the environment has 2 numbers .* 3 actions"
    ):
        cdq.QLearner("MountainCar-v0", network=of_cartpole)


def test_tables_have_no_keras_model() -> None:
    with pytest.raises(TableError, match="no network"):
        cdq.QLearner("FrozenLake-v1").to_keras()


def digest_of(agent: Any) -> Any:
    return agent.report(play=False)["digest"]


def test_a_keras_model_is_learnt_to_the_bit(tmp_path: Path) -> None:
    """The same bits each time, after a file, and as a Keras model with the same values."""
    agents = [cdq.QLearner("CartPole-v1", network=model, seed=1).learn(6144) for _ in range(2)]
    assert len({digest_of(agent) for agent in agents}) == 1
    agents[0].save(tmp_path / "agent.safetensors")
    with pytest.raises(ConfigError, match="no module is imported because a file names it"):
        cdq.QLearner.load(tmp_path / "agent.safetensors")
    loaded = cdq.QLearner.load(tmp_path / "agent.safetensors", network=model)
    assert digest_of(loaded) == digest_of(agents[0])
    observations = np.random.default_rng(0).normal(size=(16, 4))
    values = np.array([agents[0].action_values(one) for one in observations])
    assert np.abs(np.asarray(agents[0].to_keras()(observations)) - values).max() < 1e-5 * np.abs(values).max()
    assert agents[0].predict(observations).tolist() == values.argmax(axis=1).tolist()


def test_a_keras_model_that_is_resumed_is_the_one_that_was_not_interrupted(tmp_path: Path) -> None:
    straight = cdq.QLearner("CartPole-v1", network=model, seed=1).learn(8192)
    first = cdq.QLearner(
        "CartPole-v1", network=model, seed=1, checkpoint=tmp_path / "run", checkpoint_every=4096
    )
    first.learn(8192, callbacks=[lambda run: run.steps >= 4096])
    assert first.steps == 4096
    assert digest_of(cdq.QLearner.resume(tmp_path / "run", network=model).learn(4096)) == digest_of(straight)


def test_a_model_itself_is_no_network() -> None:
    with pytest.raises(
        ConfigError, match=r"network is a Keras model, Sequential; allowed: cdq.Network.from_keras"
    ):
        cdq.QLearner("CartPole-v1", network=model())


def dense(units: int = 32, activation: str = "relu") -> Any:
    return keras.Sequential([keras.Input((4,)), L.Dense(units, activation), L.Dense(2)])


def wider() -> Any:
    return dense(64)


def deeper() -> Any:
    return keras.Sequential([keras.Input((4,)), L.Dense(32, "relu"), L.Dense(32, "relu"), L.Dense(2)])


def bent() -> Any:
    return dense(activation="tanh")


@pytest.mark.parametrize(
    ("other", "differing"),
    [(wider, "layers"), (deeper, "layers"), (bent, "arguments of layers, reward_scale or")],
)
def test_another_model_than_that_of_a_file_is_said_to_be_one(
    other: Any, differing: str, tmp_path: Path
) -> None:
    """Of a learner's file, and of a checkpoint; the environment is not blamed."""
    agent = cdq.QLearner("CartPole-v1", network=dense, seed=0, checkpoint=tmp_path / "run").learn(2048)
    agent.save(tmp_path / "file")
    said = rf"file was learnt with the Keras model of '\S*:dense', whose {differing}.* differ from those of "
    said += rf"'\S*:{other.__name__}'"
    with pytest.raises(TableError, match=said):
        cdq.QLearner.load(tmp_path / "file", network=other)
    with pytest.raises(TableError, match=said.replace("file", r"\S*", 1)):
        cdq.QLearner.resume(tmp_path / "run", network=other)


def test_a_model_in_place_of_its_function_is_named_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "made", dense(), raising=False)
    monkeypatch.setattr(here, "kind", keras.Sequential, raising=False)
    allowed = r"allowed: cdq.Network.from_keras\(model\), or a function"
    for given in (dense(), keras.Model(agent_in := keras.Input((4,)), L.Dense(2)(agent_in))):
        for make in (lambda m: cdq.Network(model=m), lambda m: cdq.QLearner("CartPole-v1", network=m)):
            with pytest.raises(ConfigError, match=rf"(model|network) is a Keras model, \w+; {allowed}"):
                make(given)
    with pytest.raises(ConfigError, match=rf"model is the class Sequential of Keras; {allowed}"):
        cdq.Network(model=keras.Sequential)
    with pytest.raises(ConfigError, match=rf"network is the class Sequential of Keras; {allowed}"):
        cdq.QLearner("CartPole-v1", network=keras.Sequential)
    for name, said in (("made", "a Keras model"), ("kind", "the class Sequential")):
        with pytest.raises(ConfigError, match=rf"network '{__name__}:{name}' is {said}.*; {allowed}"):
            cdq.QLearner("CartPole-v1", network=f"{__name__}:{name}")
    with pytest.raises(ConfigError, match="layers is .*Sequential.*; allowed: what cdq.Network.from_keras"):
        cdq.Network(layers=dense())


def test_workers_in_threads_are_refused_for_tensorflows_sake() -> None:
    said = "cdq/CartPole-v0 is learnt with a Keras model, and TensorFlow has one set of threads for a whole process"
    with pytest.raises(ConfigError, match=f"^{said}: its workers are processes, and comm is 'inprocess'"):
        cdq.QLearner("CartPole-v1", network=dense, workers=2, comm="inprocess")
    with pytest.raises(ConfigError, match="CartPole-v0 is stepped in Python, where threads would take turns"):
        cdq.QLearner("CartPole-v0", network=dense, workers=2, comm="inprocess")


def test_surfaces_are_drawn() -> None:
    agent = cdq.QLearner("CartPole-v1", network=dense, seed=0)
    assert agent.input_bounds is not None
    assert [len(bound) for bound in agent.input_bounds] == [4, 4]


def test_a_learner_is_not_used_in_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = cdq.QLearner("CartPole-v1", network=model, seed=1)
    monkeypatch.setattr("os.getpid", lambda: 1)
    for asked in (lambda: agent.predict([0.0] * 4), lambda: agent.learn(2048), lambda: agent.evaluate(1)):
        with pytest.raises(ConfigError, match="TensorFlow ran before this process was forked"):
            asked()


def exploding() -> Any:
    return keras.Sequential([keras.Input((4,)), L.Dense(2), L.Rescaling(30.0), L.Activation("exponential")])


def test_divergence_is_told_and_not_kept() -> None:
    agent = cdq.QLearner("CartPole-v1", network=exploding, seed=1, step_size=1.0)
    with pytest.raises(LearningDiverged, match="CartPole-v0 diverges; use a smaller step_size"):
        agent.learn(100_000)
    assert all(np.isfinite(tensor).all() for tensor in agent.network.values())


def masked() -> Any:
    return keras.Sequential([keras.Input((9,)), L.Dense(8), L.ReLU(), L.Dense(9)])


class Board(gym.Env[Any, Any]):
    """A game whose info allows a cell at a time: any other is an error."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = gym.spaces.Box(0, 1, (3, 3)), gym.spaces.Discrete(9)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.turn = 0
        return self.see()

    def see(self) -> Any:
        cells = np.zeros(9, np.float32)
        cells[self.turn % 9] = 1
        return cells.reshape(3, 3), {"action_mask": (cells == 1).astype(np.int8)}

    def step(self, action: Any) -> Any:
        assert action == self.turn % 9
        self.turn += 1
        observation, info = self.see()
        return observation, 1.0, False, self.turn == 12, info


def test_masks_are_heeded() -> None:
    agent = cdq.QLearner(Board, network=masked, num_envs=4, seed=1).learn(512)
    assert agent.evaluate(3).mean_return == 12


def test_vector_environments_are_learnt() -> None:
    agent = cdq.QLearner(gym.make_vec("CartPole-v1", 8, "sync"), network=model, seed=1).learn(1024)
    assert agent.evaluate(4).mean_return > 5
