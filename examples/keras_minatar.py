"""MinAtar's Breakout, ten by ten pixels in four channels, learnt with a convolution of Keras.

    pip install "cdq[keras]" minatar
    python examples/keras_minatar.py 1e6

The number is that of the steps. The model is a function of the script's own: cdq asks TensorFlow for values and
gradients, steps the environments, makes targets of what they return, and trains.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym

import cdq


def make_game() -> gym.Env[Any, Any]:
    from minatar.gym import BaseEnv

    return gym.wrappers.TimeLimit(BaseEnv("breakout", use_minimal_action_set=True), 5000)


def make_model() -> Any:
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((10, 10, 4)),
            layers.Conv2D(16, 3),
            layers.LayerNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(128),
            layers.LayerNormalization(),
            layers.ReLU(),
            layers.Dense(3),
        ]
    )


def main(steps: float) -> None:
    agent = cdq.QLearner(
        make_game,
        network=cdq.Network(model=make_model, minibatch=128, epochs=2, trace=0.65, reward_scale=1.0),
        num_envs=64,
        step_size=cdq.LinearDecay(5e-4, 2e-5, steps),
        exploration=cdq.LinearDecay(1.0, 0.02, steps / 5),
        seed=0,
    )
    agent.learn(steps)
    result = agent.evaluate(30)
    print(f"{agent.steps:,} steps: mean return {result.mean_return:.1f} +- {result.standard_error:.1f}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1e6)
