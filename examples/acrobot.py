"""Swing two links up by tile coding with two threads, say what 100 fresh episodes return, and draw the curve."""

from __future__ import annotations

import cdq

# Sine and cosine of both angles keep the space's bounds; angular speeds are seldom as high as these.
HIGH = (None, None, None, None, 7.0, 14.0)


def main() -> None:
    features = cdq.TileCoding(
        tilings=32,
        tiles=(2, 2, 2, 2, 4, 4),
        low=[bound and -bound for bound in HIGH],
        high=HIGH,
    )
    agent = cdq.QLearner("Acrobot-v1", features=features, workers=2, seed=0)
    agent.learn(500_000)

    result = agent.evaluate(episodes=100)
    print(f"mean return {result.mean_return:.1f} ± {result.standard_error:.1f}")
    print(f"after       {agent.steps:,} steps, {agent.history[-1].seconds:.2f} s")
    cdq.plot.learning_curve(agent).figure.savefig("acrobot.svg")


if __name__ == "__main__":
    main()
