"""Drive on a busy highway: at each decision, plan on a small model of the traffic as it stands.

highway-env predicts for every lane and every speed of the car in how many seconds it would run into somebody. That
makes a model of 3 speeds x 3 lanes x 10 seconds and 5 actions, which `cdq.solve` solves anew in each second.

python examples/highway.py  # needs pip install highway-env
"""

import gymnasium
import highway_env  # noqa: F401  # registers the environments
import numpy as np
from highway_env.envs.common.finite_mdp import compute_ttc_grid, transition_model
from matplotlib import pyplot

import cdq

ROADS, SECONDS, GAMMA = 20, 10, 0.7
KEEP, SLOWER = 1, 4


def model(road) -> tuple[cdq.MDP, int]:
    """Return the traffic ahead as a model, and the state that the car is in: its speed, its lane, and second 0.

    `road.to_finite_mdp()` makes the same arrays for the package finite-mdp.
    """
    paid = road.config
    grid = compute_ttc_grid(road, 1 / paid["policy_frequency"], SECONDS)  # 1 where the car would collide
    speed, lane, second = np.indices(grid.shape)
    reward = (
        paid["collision_reward"] * grid
        + paid["right_lane_reward"] * lane / (grid.shape[1] - 1)
        + paid["high_speed_reward"] * speed / (grid.shape[0] - 1)
    ).ravel()
    ends = ((grid == 1) | (second == SECONDS - 1)).ravel()
    pairs = (*grid.shape, 5)
    following = np.fromfunction(lambda *pair: transition_model(*pair, grid=grid), pairs, dtype=int).ravel()
    state, action = np.divmod(np.arange(following.size), 5)
    mdp = cdq.MDP.from_outcomes(state, action, following, np.ones(state.size), reward[state], ends[state])
    now = np.ravel_multi_index((road.vehicle.speed_index, road.vehicle.lane_index[2], 0), grid.shape)
    return mdp, int(now)


def plan(road) -> int:
    """Return the best action for the traffic as it stands."""
    mdp, now = model(road)
    return int(cdq.solve(mdp, GAMMA).policy[now])


def drive(env: gymnasium.Env, act) -> tuple[int, float, float]:
    """Return collisions, mean speed in m/s, and mean return of drives of at most 30 seconds."""
    collisions, returns, speeds = 0, [], []
    for seed in range(ROADS):
        env.reset(seed=seed)
        over, total = False, 0.0
        while not over:
            _, reward, terminated, truncated, info = env.step(act(env.unwrapped))
            over, total = terminated or truncated, total + reward
            speeds.append(info["speed"])
        collisions += info["crashed"]
        returns.append(total)
    return collisions, float(np.mean(speeds)), float(np.mean(returns))


if __name__ == "__main__":
    road, random = gymnasium.make("highway-fast-v0"), np.random.default_rng(0)
    drivers = {
        "acts at random": lambda road: int(random.integers(5)),
        "keeps lane and speed": lambda road: KEEP,
    }
    drivers |= {"slows down": lambda road: SLOWER, "plans": plan}
    ax = pyplot.figure(figsize=(6, 3), layout="constrained").add_subplot()
    for name, act in drivers.items():
        collisions, speed, gained = drive(road, act)
        print(f"{name:20} {collisions:2} collisions on {ROADS} roads, {speed:.1f} m/s, return {gained:4.1f}")
        ax.scatter(speed, collisions, s=70)
        ax.annotate(name, (speed, collisions), xytext=(7, -3), textcoords="offset points")
    ax.set(xlabel="mean speed, m/s", ylabel=f"collisions on {ROADS} roads", xlim=(19, 31))
    ax.figure.savefig("highway.svg")
