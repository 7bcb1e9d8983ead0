"""Record a video of the greedy policy by Gymnasium's RecordVideo, which needs moviepy: pip install moviepy."""

from __future__ import annotations

import gymnasium
from gymnasium.wrappers import RecordVideo

import cdq
import cdq.envs  # registers cdq/GridWorld-v0, whose pictures need no other package

MAZE = ["S..#....", ".#.#.##.", ".#...#..", ".####.#.", "......#G"]


def main() -> None:
    env = gymnasium.make("cdq/GridWorld-v0", walls=MAZE, slip=0.1, render_mode="rgb_array")
    agent = cdq.QLearner(env, seed=0).learn(200_000)
    print(agent.table.render())
    cdq.plot.values(agent).figure.savefig("record_video.svg")

    policy = agent.policy()
    video = RecordVideo(env, "videos", name_prefix="maze", disable_logger=True)
    observation, _ = video.reset(seed=0)
    steps, over = 0, False
    while not over:
        observation, _, terminated, truncated, _ = video.step(policy(observation))
        steps, over = steps + 1, terminated or truncated
    video.close()
    print(f"videos/maze-episode-0.mp4: {steps} steps to the goal")


if __name__ == "__main__":
    main()
