"""Balance a pole by tile coding until 475 of 500 steps are reached, and draw how that came about."""

from __future__ import annotations

import cdq

# Position, speed, angle, angular speed. The space bounds neither speed; beyond these a pole is lost.
HIGH = (2.4, 3.0, 0.21, 3.5)


def main() -> None:
    features = cdq.TileCoding(tilings=32, tiles=(2, 3, 6, 6), low=[-bound for bound in HIGH], high=HIGH)
    agent = cdq.QLearner("CartPole-v1", features=features, seed=0)
    agent.learn(500_000, until=cdq.MeanReturn(475))

    result = agent.evaluate(episodes=100)
    print(f"mean return {result.mean_return:.1f} ± {result.standard_error:.1f}")
    print(f"after       {agent.steps:,} steps, {agent.history[-1].seconds:.2f} s")
    cdq.plot.learning_curve(agent).figure.savefig("cartpole.svg")


if __name__ == "__main__":
    main()
