"""Land a spacecraft by a network, say what 30 fresh landings return, and draw how that came about.

Run: python lunar_lander.py [STEPS]. It needs `pip install "gymnasium[box2d]"`; 400,000 steps take half a minute.
"""

from __future__ import annotations

import sys

import cdq

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000


def main() -> None:
    agent = cdq.QLearner(
        "LunarLander-v3",
        network=cdq.Network(hidden=(128, 128), rollout=64, reward_scale=0.02),  # returns are some hundreds
        num_envs=16,
        step_size=cdq.LinearDecay(1e-3, 2e-5, STEPS),
        exploration=cdq.LinearDecay(1.0, 0.05, STEPS // 4),
        seed=1,
    )
    agent.learn(STEPS)

    result = agent.evaluate(episodes=30)
    print(f"mean return {result.mean_return:.1f} ± {result.standard_error:.1f}")
    print(f"after       {agent.steps:,} steps, {agent.history[-1].seconds:.2f} s")
    axes = cdq.plot.learning_curve(agent)
    axes.axhline(200, linestyle=":", color="gray")
    axes.figure.savefig("lunar_lander.svg")


if __name__ == "__main__":
    main()
