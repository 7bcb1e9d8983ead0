from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from cdq.envs.defaults import RECOMMENDED, recommended


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"])
def test_the_settings_fit_the_environment(env_id: str) -> None:
    """The bounds are around where episodes begin, and there are not so many tiles that they would be hashed."""
    settings = recommended(env_id)
    assert settings is not None
    with gymnasium.make(env_id) as env:
        observation, _ = env.reset(seed=0)
        space = env.observation_space
        features = settings.arguments["features"].bind(space.low, space.high)
        assert features.width == len(observation)
        assert features.n_features < 100_000
        for bound, sign in (
            (settings.arguments["features"].low, -1),
            (settings.arguments["features"].high, 1),
        ):
            for value, limit in zip(bound or (), observation, strict=bool(bound)):
                assert value is None or np.sign(value - limit) == sign


def test_ids_of_any_namespace_and_version() -> None:
    for name, settings in RECOMMENDED.items():
        for env_id in (f"{name}-v0", f"cdq/{name}-v0", f"module:{name}-v12", f"module:cdq/{name}-v1", name):
            assert recommended(env_id) is settings
    for other in ("FrozenLake-v1", "CartPole2-v0", "MyCartPole-v0", ""):
        assert recommended(other) is None


def test_the_recommended_settings_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        RECOMMENDED["CartPole"].arguments["gamma"] = 1  # type: ignore[index]
