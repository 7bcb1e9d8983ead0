"""Names of arguments that a call does not have, and the block that closes a learner."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

import cdq
from cdq.errors import ConfigError, UnknownArgument

LAKE = "FrozenLake-v1"
LOG: Any = (["a"], ["b"], [1.0], [None], [True])


def learner(**arguments: Any) -> cdq.QLearner:
    return cdq.QLearner(LAKE, **arguments)


@pytest.mark.parametrize(
    ("call", "wrong", "meant"),
    [
        (learner, "learning_rate", "step_size"),
        (learner, "alpha", "step_size"),
        (learner, "n_envs", "num_envs"),
        (learner, "epsilon", "exploration"),
        (learner, "exploration_fraction", "exploration"),
        (learner, "n_workers", "workers"),
        (learner, "discount", "gamma"),
        (learner, "random_state", "seed"),
        (learner, "gama", "gamma"),
        (learner, "env_kwarg", "env_kwargs"),
        (lambda **wrong: learner().learn(**wrong), "total_timesteps", "steps"),
        (lambda **wrong: learner().learn(1000, **wrong), "untl", "until"),
        (lambda **wrong: learner().evaluate(**wrong), "n_eval_episodes", "episodes"),
        (lambda **wrong: learner().learn_from([0], **wrong), "reward", "rewards"),
        (lambda **wrong: cdq.solve(LAKE, **wrong), "discount", "gamma"),
        (lambda **wrong: cdq.bounds(LAKE, [[0.0]], **wrong), "discount", "gamma"),
        (lambda **wrong: cdq.optimality_gap(LAKE, [[0.0]], **wrong), "discount", "gamma"),
        (lambda **wrong: cdq.evaluate_policy(LAKE, [0], **wrong), "discount", "gamma"),
        (lambda **wrong: cdq.QLearner.load("nowhere", **wrong), "environment", "env"),
        (lambda **wrong: cdq.QLearner.resume("nowhere", **wrong), "num_workers", "workers"),
        (
            lambda **wrong: cdq.QLearner.from_log(["a"], ["b"], [1.0], [None], [True], **wrong),
            "learning_rate",
            "step_size",
        ),
    ],
)
def test_a_name_of_another_library_is_told_ours(call: Callable[..., Any], wrong: str, meant: str) -> None:
    with pytest.raises(
        UnknownArgument, match=f"unknown argument of .* '{wrong}'; known: .*Did you mean '{meant}'"
    ) as told:
        call(**{wrong: 3})
    assert isinstance(told.value, ConfigError)
    assert isinstance(told.value, TypeError)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (cdq.EvalCallback, "EvalCallback needs the argument 'every', as in EvalCallback(every=...)"),
        (cdq.StopOnReturn, "StopOnReturn needs the argument 'at_least'"),
        (cdq.StopOnTime, "StopOnTime needs the argument 'seconds'"),
        (cdq.CSVLogger, "CSVLogger needs the argument 'path'"),
        (cdq.JSONLogger, "JSONLogger needs the argument 'path'"),
        (cdq.TensorBoardLogger, "TensorBoardLogger needs the argument 'directory'"),
        (cdq.QLearner, "QLearner needs the argument 'env'"),
        (cdq.compare, "compare needs the argument 'settings'"),
        (lambda: cdq.EvalCallback(eval_freq=100), "Did you mean 'every'?"),
        (lambda: cdq.EvalCallback(100, n_eval_episodes=1), "Did you mean 'episodes'?"),
        (lambda: cdq.StopOnReturn(threshold=1.0), "Did you mean 'at_least'?"),
        (lambda: cdq.TensorBoardLogger(log_dir="runs"), "Did you mean 'directory'?"),
        (lambda: learner(seeds=3), 'A learner has one seed; several are run by cdq.compare({"a name": ...}, env'),
        (lambda: learner(steps=3), "It belongs to learn, as in QLearner(...).learn(steps=...)"),
        (lambda: learner(callbacks=[]), "It belongs to learn, as in QLearner(...).learn(callbacks=...)"),
        (lambda: learner().learn(10, seed=3), "It belongs to QLearner, as in QLearner(..., seed=...)"),
        (lambda: learner(tensorboard_log="runs"), "Give learn a callback, as in learn(1e6, callbacks=[cdq.Tensor"),
        (lambda: learner().learn(episodes=3), "Learning is counted in steps"),
        (lambda: learner().report(episodes=3), "It belongs to evaluate, whose figures report shows: call evaluate"),
    ],
)  # fmt: skip
def test_the_right_form_is_shown(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigError) as told:
        call()
    assert said in str(told.value)
    assert isinstance(told.value, TypeError)


def test_a_name_like_no_other_is_told_all_there_are() -> None:
    with pytest.raises(
        UnknownArgument,
        match=r"unknown argument of learn 'zzz'; known: callbacks, hosting, steps, until, verbose\.$",
    ):
        learner().learn(10, zzz=1)  # type: ignore[call-arg]


def test_signatures_are_still_those_of_the_methods() -> None:
    assert list(inspect.signature(cdq.QLearner).parameters)[:3] == ["env", "env_kwargs", "gamma"]
    assert list(inspect.signature(cdq.QLearner.learn).parameters) == [
        "self",
        "steps",
        "until",
        "callbacks",
        "verbose",
        "hosting",
    ]
    assert inspect.getdoc(cdq.QLearner.learn).startswith("Learn for")  # type: ignore[union-attr]


class Closed(gymnasium.Env[int, int]):
    """An environment that knows how often it was closed."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)
    open = 0

    def __init__(self) -> None:
        type(self).open += 1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 1, 1.0, True, False, {}

    def close(self) -> None:
        type(self).open -= 1


def test_a_block_closes_what_the_learner_made() -> None:
    Closed.open = 0
    with cdq.QLearner(Closed, seed=0) as agent:
        agent.learn(100)
        assert Closed.open == 1
    assert Closed.open == 0
    assert agent.steps == 100
    assert agent.predict(0) in {0, 1}


def test_a_block_that_fails_closes_too_and_says_what_failed() -> None:
    Closed.open = 0
    with pytest.raises(ZeroDivisionError), cdq.QLearner(Closed, seed=0) as agent:
        agent.learn(100 // 0)
    assert Closed.open == 0


def test_what_was_given_stays_open() -> None:
    Closed.open = 0
    env = Closed()
    with cdq.QLearner(env, seed=0) as agent:
        agent.learn(100)
    assert Closed.open == 1
