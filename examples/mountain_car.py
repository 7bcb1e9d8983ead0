"""Learn MountainCar by tile coding, in a fraction of a second, and draw the value of every position and speed."""

from __future__ import annotations

import cdq


def main() -> None:
    features = cdq.TileCoding(tilings=8, tiles=8)  # between the bounds of the observation space
    agent = cdq.QLearner("MountainCar-v0", features=features, seed=0)
    agent.learn(2_000_000, until=cdq.MeanReturn(-110))

    result = agent.evaluate(episodes=100)
    print(f"mean return {result.mean_return:.1f} ± {result.standard_error:.1f}")
    print(f"after       {agent.steps:,} steps, {agent.history[-1].seconds:.2f} s")
    print(f"in the valley, at rest, push {('left', 'not', 'right')[agent.predict([-0.5, 0.0])]}")
    ax = cdq.plot.surface(agent)
    ax.set(xlabel="position", ylabel="speed")
    ax.figure.savefig("mountain_car.png")


if __name__ == "__main__":
    main()
