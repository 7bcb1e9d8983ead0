"""Rates of logs and of hashed tables.

    pip install ".[benchmark]"
    python -m tests.benchmarks.data [--log-only] [--transitions N] [--states N] [--steps N] [--repeats 9]

A log: 10^6 transitions of a random walk in order, learnt again and again by the kernel and by a plain Numba loop,
without step-size law, visits or log, in turn; then by `learn_from`, conversion included. A hashed table: 64 lanes of an
environment that Numba compiles, of 10^12 states, of which so many are met, each step leading anywhere among them; bytes
a pair are those of the process beyond what it took before, for 4 actions.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

import cdq
from cdq.core.loops.offline import learn_log
from cdq.envs.compiled import CompiledEnv, lane_dtype
from cdq.qfunctions.sole import SoleTable
from cdq.schedules import RescaledLinear, build_law
from tests.benchmarks.tables import begin, row, spread

SPREAD = 99_991  # between the indices of states that are met


def random_walk(model: cdq.MDP, n: int, seed: int) -> tuple[Any, ...]:
    """Return states, actions, rewards, next states and terminations of a walk by random actions."""
    random = np.random.default_rng(seed)
    actions, draws = random.integers(0, model.n_actions, n), random.random(n)
    cumulative = np.cumsum(model.probability)
    outcomes = np.empty(n, np.int64)
    starts, state = np.flatnonzero(model.start), 0
    for i in range(n):
        pair = state * model.n_actions + actions[i]
        first, last = model.offsets[pair], model.offsets[pair + 1]
        before = cumulative[first - 1] if first else 0.0
        outcomes[i] = min(first + np.searchsorted(cumulative[first:last], before + draws[i]), last - 1)
        state = int(starts[0]) if model.terminated[outcomes[i]] else int(model.next_state[outcomes[i]])
    pairs = np.searchsorted(model.offsets, outcomes, side="right") - 1
    ends = model.terminated[outcomes]
    return pairs // model.n_actions, actions, model.reward[outcomes], model.next_state[outcomes], ends


@numba.njit
def numba_loop(
    values: Any, states: Any, actions: Any, rewards: Any, next_states: Any, ends: Any, alpha: Any, gamma: Any
) -> None:
    for i in range(len(states)):
        row = values[next_states[i]]
        best = row[0]
        for action in range(1, len(row)):
            best = max(best, row[action])
        target = rewards[i] + (np.float32(0) if ends[i] else gamma * best)
        values[states[i], actions[i]] += alpha * (target - values[states[i], actions[i]])


def rate(task: Callable[[], Any], updates: int) -> float:
    begin = time.perf_counter()
    task()
    return updates / (time.perf_counter() - begin) / 1e6


def measure_log(name: str, n: int, repeats: int) -> None:
    model = cdq.MDP.from_gymnasium(name)
    states, actions, rewards, next_states, ends = random_walk(model, n, 0)
    columns = (
        states.astype(np.uint32),
        actions.astype(np.uint32),
        rewards.astype(np.float32),
        next_states.astype(np.uint32),
        ends.astype(np.uint8),
    )
    table = SoleTable(model.n_states, model.n_actions, "float32", 0.0)
    rows, law = table.new_rows(), build_law(RescaledLinear(0.99), 0, 0.3, "float32")
    stop, values = np.zeros(1, np.int32), np.zeros((model.n_states, model.n_actions), np.float32)

    def kernel() -> None:
        learn_log(rows, law, 0.99, *columns, 0, n, stop)
        table.close_window(rows)

    def loop() -> None:
        numba_loop(values, *columns, np.float32(0.1), np.float32(0.99))

    loop()
    agent, passes = cdq.QLearner(name, dtype="float32", seed=0), 50
    kernels, loops, calls = [], [], []
    for _ in range(repeats):
        kernels.append(rate(kernel, n))
        loops.append(rate(loop, n))
        calls.append(
            rate(
                lambda: agent.learn_from(states, actions, rewards, next_states, ends, passes=passes),
                passes * n,
            )
        )
    row(name, spread(kernels, ".0f", goal=200), spread(calls, ".0f", goal=200), spread(loops, ".0f"), "200")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def jumping(n_states: int) -> CompiledEnv:
    """Return an environment of 10^12 states each of whose steps leads to any of *n_states*."""
    signature = numba.types.void(numba.types.CPointer(numba.from_dtype(lane_dtype())))

    @numba.cfunc(signature)
    def jump(pointer: Any) -> None:
        lane = numba.carray(pointer, 1)[0]
        lane.index = np.int64(lane.uniform[0] * n_states) * SPREAD
        lane.reward = lane.uniform[0]

    return CompiledEnv(jump, jump, n_actions=4, n_states=10**12, uniforms=1, time_limit=1000, name="jumping")


def measure_hash(n_states: int, steps: int, repeats: int) -> None:
    agent = cdq.QLearner(
        jumping(n_states), table="hash", dtype="float32", seed=0, num_envs=64, sync_every=2**22, workers=1
    )
    before = resident()
    filling = rate(lambda: agent.learn(steps, verbose=0), steps)
    met = len(agent._state.merged.values)
    size = (resident() - before) / (4 * met)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / (4 * met)
    rates = [rate(lambda: agent.learn(2**22, verbose=0), 2**22) for _ in range(repeats)]
    begin(
        "A hashed table, 4 actions, states of 10^12, merging included",
        *(
            "states met",
            "while they are met, million steps/s",
            "then, million steps/s",
            "bytes a pair",
            "at most, bytes",
        ),
    )
    row(f"{met:,}", f"{filling:.1f}", spread(rates, ".1f", goal=10), f"{size:.1f}", f"{peak:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--log-only", action="store_true")
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--states", type=int, default=10_000_000)
    parser.add_argument("--steps", type=int, default=80_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    begin(
        f"A log of {arguments.transitions:,} transitions in order, float32, million updates/s",
        *("log", "kernel", "`learn_from`, 50 passes", "Numba, values alone", "goal"),
    )
    for name in ("FrozenLake8x8-v1", "Taxi-v4"):
        measure_log(name, arguments.transitions, arguments.repeats)
    if not arguments.log_only:
        measure_hash(arguments.states, arguments.steps, arguments.repeats)


if __name__ == "__main__":
    main()
