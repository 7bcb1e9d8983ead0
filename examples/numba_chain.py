"""An environment of your own in ten lines of Numba, learnt in compiled code at tens of millions of steps a second.

A chain of 64 states: action 1 goes right, action 0 left; the last state pays 1 and ends the episode.
Needs Numba and matplotlib: pip install numba matplotlib
"""

import time

from matplotlib import pyplot
from numba import carray, cfunc, from_dtype, types

import cdq
from cdq.envs import CompiledEnv, lane_dtype

LENGTH = 64
signature = types.void(types.CPointer(from_dtype(lane_dtype())))


@cfunc(signature)
def step(pointer):
    lane = carray(pointer, 1)[0]
    lane.integer[0] = max(lane.integer[0] + (1 if lane.action == 1 else -1), 0)
    lane.index = lane.integer[0]
    lane.terminated = lane.index == LENGTH - 1
    lane.reward = 1.0 if lane.terminated else 0.0


@cfunc(signature)
def reset(pointer):
    lane = carray(pointer, 1)[0]
    lane.integer[0] = lane.index = 0


chain = CompiledEnv(step, reset, n_actions=2, n_states=LENGTH, uniforms=0, time_limit=1000, name="chain")

if __name__ == "__main__":
    agent = cdq.QLearner(chain, seed=0, num_envs=64, dtype="float32")
    began = time.perf_counter()
    agent.learn(20_000_000)
    seconds = time.perf_counter() - began
    print(f"{agent.steps / seconds / 1e6:.0f} million steps/s; an episode takes", end=" ")
    print(f"{agent.evaluate(100).mean_length:.0f} steps, the shortest way {LENGTH - 1}")
    ax = pyplot.figure(layout="constrained").add_subplot(xlabel="state", ylabel="value")
    ax.plot(agent.table.values[: LENGTH - 1], label=["go left", "go right"])
    ax.legend()
    ax.figure.savefig("numba_chain.svg")
