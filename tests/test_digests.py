"""Every kind of run gives the bits that it gave when `golden/digests.json` was written.

A change of the engine that keeps these digests changes no result. Where a change of results is meant, the file is
written again: ``python -m tests.test_digests`` prints it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import cdq
import cdq.envs

GOLDEN = Path(__file__).parent / "golden" / "digests.json"

Make = Callable[..., cdq.QLearner]
MERGES = ("affine", "importance", "max", "mean", "pooled", "sum", "visits")
STEP_SIZES: dict[str, Any] = {
    "constant": 0.1,
    "rescaled": cdq.RescaledLinear(0.9),
    "polynomial": cdq.Polynomial(0.77),
    "linear-decay": cdq.LinearDecay(0.5, 0.1, 30_000),
    "exponential-decay": cdq.ExponentialDecay(0.5, 0.1, 30_000),
}


def garnet(**settings: Any) -> cdq.QLearner:
    """Learn a random model in windows that follow from merged data."""
    model = cdq.MDP.garnet(50, 3, branching=3, seed=1)
    return cdq.QLearner(model, **{"workers": 3, "seed": 7, "exploration": 0.3, **settings}).learn(40_000)


def of_gymnasium(env: Any, steps: int, **settings: Any) -> cdq.QLearner:
    """Learn an environment of Gymnasium."""
    return cdq.QLearner(env, **{"seed": 7, **settings}).learn(steps)


def of_log(**settings: Any) -> cdq.QLearner:
    """Learn from a log of random transitions."""
    random = np.random.default_rng(0)
    states, next_states = random.integers(0, 16, (2, 3000))
    actions, rewards, ends = random.integers(0, 4, 3000), random.random(3000), random.random(3000) < 0.1
    agent = cdq.QLearner("FrozenLake-v1", **{"workers": 3, "seed": 7, **settings})
    return agent.learn_from(states, actions, rewards, next_states, ends, passes=2)


def vector_env() -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Make several environments that are stepped together."""
    return gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")


def by_other_rules() -> dict[str, tuple[Make, dict[str, Any]]]:
    """Return the kinds of run that differ in what an update rule does."""
    made: dict[str, tuple[Make, dict[str, Any]]] = {}
    stepped: dict[str, dict[str, Any]] = {
        "tiles": {"env": "cdq/CartPole-v0", "steps": 20_000, "workers": 3},
        "hashed": {"env": "cdq/GridWorld-v0", "steps": 20_000, "workers": 3, "table": "hash"},
        "blackjack": {"env": "Blackjack-v1", "steps": 3000},
        "vector": {"env": vector_env, "steps": 2000},
    }
    for rule in ("expected-sarsa", "sarsa", "double-q"):
        # By default Double Q has smaller steps.
        settings = {"rule": rule, "step_size": cdq.RescaledLinear(0.99)}
        made[f"model, {rule}"] = garnet, settings
        made |= {f"{name}, {rule}": (of_gymnasium, {**env, **settings}) for name, env in stepped.items()}
        if rule != "sarsa":
            made[f"log, {rule}"] = of_log, settings
    return made


def by_networks() -> dict[str, Callable[[], cdq.QLearner]]:
    """Return the kinds of run that learn a network: the same bits by the kernels of every processor."""
    kinds: dict[str, dict[str, Any]] = {
        "one worker": {"env": "cdq/CartPole-v0", "steps": 20_000},
        "gradient": {"env": "cdq/CartPole-v0", "steps": 20_000, "workers": 3},
        "mean": {"env": "cdq/Acrobot-v0", "steps": 20_000, "workers": 3, "merge": "mean"},
        "in Python": {"env": "MountainCar-v0", "steps": 3000, "stepping": "python"},
        "vector": {"env": vector_env, "steps": 3000},
    }
    network = cdq.Network((24, 16), rollout=8, minibatch=48)
    return {
        f"network, {name}": lambda kind=kind: of_gymnasium(**kind, network=network)
        for name, kind in kinds.items()
    }


def cases() -> dict[str, Callable[[], cdq.QLearner]]:
    """Return every kind of run, by name."""
    made: dict[str, Callable[[], cdq.QLearner]] = {}
    for dtype in ("float64", "float32"):
        both: dict[str, tuple[Make, dict[str, Any]]] = {
            **{f"model, {merge}": (garnet, {"merge": merge}) for merge in MERGES},
            **{f"model, {name}": (garnet, {"step_size": law}) for name, law in STEP_SIZES.items()},
            "model, one worker": (garnet, {"workers": 1}),
            "model, one lane": (garnet, {"num_envs": 1}),
            "model, overlap": (garnet, {"overlap": True, "sync_every": 500}),
            "lake": (of_gymnasium, {"env": "FrozenLake8x8-v1", "steps": 40_000, "workers": 3}),
            "lake, undiscounted": (
                of_gymnasium,
                {"env": "FrozenLake-v1", "steps": 40_000, "workers": 3, "gamma": 1.0, "initial_value": 0.5},
            ),
            "taxi": (of_gymnasium, {"env": "Taxi-v4", "steps": 40_000, "workers": 3}),
            "lake in Python": (
                of_gymnasium,
                {"env": "FrozenLake-v1", "steps": 3000, "stepping": "python"},
            ),
            "blackjack": (of_gymnasium, {"env": "Blackjack-v1", "steps": 3000}),
            "vector": (of_gymnasium, {"env": vector_env, "steps": 2000}),
            "tiles": (of_gymnasium, {"env": "cdq/CartPole-v0", "steps": 20_000, "workers": 3}),
            "fourier": (
                of_gymnasium,
                {"env": "cdq/MountainCar-v0", "steps": 20_000, "workers": 3, "features": cdq.FourierBasis(3)},
            ),
            "bins": (of_gymnasium, {"env": "cdq/CartPole-v0", "steps": 20_000, "workers": 3, "bins": 6}),
            "hashed": (
                of_gymnasium,
                {"env": "cdq/GridWorld-v0", "steps": 20_000, "workers": 3, "table": "hash"},
            ),
            "log": (of_log, {}),
            **by_other_rules(),
        }
        for name, (make, settings) in both.items():
            made[f"{name}, {dtype}"] = lambda make=make, settings=settings, dtype=dtype: make(
                **settings, dtype=dtype
            )
    made["model, hub's processes, float64"] = lambda: garnet(comm="zmq")
    return made | by_networks()


CASES = cases()


def digest_of(name: str) -> str:
    """Run a case; return the digest of its table or network, shortened."""
    agent = CASES[name]()
    try:
        found: str = agent.report(play=False)["digest"]
        return found[:32]
    finally:
        agent.close()


def test_every_case_has_its_digest() -> None:
    assert set(json.loads(GOLDEN.read_text())) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_digests_are_those_of_before(name: str) -> None:
    assert digest_of(name) == json.loads(GOLDEN.read_text())[name]


if __name__ == "__main__":
    print(json.dumps({name: digest_of(name) for name in CASES}, indent=1))
