"""The strongest Numba loop we could write, with the book-keeping of the compiled one, against it in one run.

    pip install ".[benchmark]"
    python -m tests.benchmarks.numba_loop [--env FrozenLake8x8-v1] [--lanes 64 8] [--repeats 7]

One shared float32 table, epsilon .1, uniform ties, visits, first-touch log, step size 1 / (1 + (1 - gamma) n), time
limit, episode statistics. Two forms: each lane steps and updates in turn, or phases over all lanes as in
cdq/core/window.h; the better one counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from cdq.cli.benchmarks import _loop
from cdq.mdp.model import MDP
from tests.benchmarks.tables import begin, row, spread

GAMMA, EPSILON = np.float32(0.99), np.uint32(0.1 * 2**32)
TOUCHED = np.uint32(1 << 31)
# Numba compiles globals in as constants, which unrolls the loops over a row: main() sets them before the first call.
N_ACTIONS, WIDTH = 0, 0


def packed(model: MDP) -> tuple[Any, ...]:
    """Return thresholds, successors, rewards and terminations, padded to the widest pair: (pairs, width) each."""
    width = model.max_outcomes
    shape = (model.n_pairs, width)
    threshold = np.full(shape, 2**32 - 1, np.uint32)
    successor, reward, ends = (
        np.zeros(shape, np.int32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.bool_),
    )
    for pair in range(model.n_pairs):
        first, last = model.offsets[pair : pair + 2]
        places = np.minimum(np.arange(width) + first, last - 1)
        cumulative = np.cumsum(model.probability[first:last])
        threshold[pair, : last - first - 1] = (cumulative[:-1] * 2**32).astype(np.uint32)
        successor[pair], reward[pair] = model.next_state[places], model.reward[places]
        ends[pair] = model.terminated[places]
    return threshold, successor, reward, ends


@numba.njit(inline="always")
def draw(words, lane):
    """Xoshiro256++, one stream per lane."""
    a, b, c, d = words[0, lane], words[1, lane], words[2, lane], words[3, lane]
    s = a + d
    result = ((s << np.uint64(23)) | (s >> np.uint64(41))) + a
    c ^= a
    d ^= b
    words[1, lane] = b ^ c
    words[0, lane] = a ^ d
    words[2, lane] = c ^ (b << np.uint64(17))
    words[3, lane] = (d << np.uint64(45)) | (d >> np.uint64(19))
    return result


@numba.njit(inline="always")
def choose(values, state, bits):
    """An epsilon-greedy action with uniform ties, without a branch on the coin."""
    n_actions = N_ACTIONS
    best = values[state, 0]
    for action in range(1, n_actions):
        best = max(best, values[state, action])
    ties = 0
    for action in range(n_actions):
        ties += values[state, action] == best
    low = bits & np.uint64(0xFFFFFFFF)
    left = np.int64((low * np.uint64(ties)) >> np.uint64(32))
    greedy = 0
    for action in range(n_actions):
        equal = values[state, action] == best
        greedy = action if equal and left == 0 else greedy
        left -= equal
    uniform = np.int64((low * np.uint64(n_actions)) >> np.uint64(32))
    return uniform if (bits >> np.uint64(32)) < EPSILON else greedy


@numba.njit(inline="always")
def outcome(threshold, pair, bits):
    """Which outcome a draw selects."""
    high = np.uint32(bits >> np.uint64(32))
    k = 0
    for j in range(WIDTH - 1):
        k += high >= threshold[pair, j]
    return k


@numba.njit(inline="always")
def update(values, counts, log, n_log, state, action, target):
    """One update; returns the length of the log."""
    before = counts[state, action]
    log[n_log] = state * N_ACTIONS + action
    n_log += (before & TOUCHED) == 0
    after = (before & ~TOUCHED) + np.uint32(1)
    counts[state, action] = after | TOUCHED
    alpha = np.float32(1.0) / (np.float32(1.0) + (np.float32(1.0) - GAMMA) * np.float32(after))
    values[state, action] += alpha * (target - values[state, action])
    return n_log


@numba.njit
def in_turn(values, counts, log, model, lanes, sweeps, limit, start):
    """Each lane acts, steps and updates before the next one does."""
    threshold, successor, reward, ends = model
    words, states, elapsed, returns = lanes
    n_actions = N_ACTIONS
    n_log, episodes, return_sum = 0, 0, 0.0
    for _ in range(sweeps):
        for lane in range(states.shape[0]):
            state = states[lane]
            action = choose(values, state, draw(words, lane))
            pair = state * n_actions + action
            k = outcome(threshold, pair, draw(words, lane))
            after = successor[pair, k]
            best = values[after, 0]
            for other in range(1, n_actions):
                best = max(best, values[after, other])
            target = reward[pair, k] + (np.float32(0.0) if ends[pair, k] else GAMMA * best)
            n_log = update(values, counts, log, n_log, state, action, target)
            returns[lane] += reward[pair, k]
            elapsed[lane] += 1
            states[lane] = after
            if ends[pair, k] or elapsed[lane] == limit:
                episodes += 1
                return_sum += returns[lane]
                returns[lane], elapsed[lane], states[lane] = 0.0, 0, start
    return n_log, episodes, return_sum


@numba.njit
def in_phases(values, counts, log, model, lanes, sweeps, limit, start):
    """Phases over all lanes: act, sample, target, update, book-keep."""
    threshold, successor, reward, ends = model
    words, states, elapsed, returns = lanes
    n, n_actions = states.shape[0], N_ACTIONS
    action, outcomes, targets = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.float32)
    bits = np.zeros(n, np.uint64)
    n_log, episodes, return_sum = 0, 0, 0.0
    for _ in range(sweeps):
        for lane in range(n):
            bits[lane] = draw(words, lane)
        for lane in range(n):
            action[lane] = choose(values, states[lane], bits[lane])
        for lane in range(n):
            bits[lane] = draw(words, lane)
        for lane in range(n):
            outcomes[lane] = outcome(threshold, states[lane] * n_actions + action[lane], bits[lane])
        for lane in range(n):
            pair, k = states[lane] * n_actions + action[lane], outcomes[lane]
            after = successor[pair, k]
            best = values[after, 0]
            for other in range(1, n_actions):
                best = max(best, values[after, other])
            targets[lane] = reward[pair, k] + (np.float32(0.0) if ends[pair, k] else GAMMA * best)
        for lane in range(n):
            n_log = update(values, counts, log, n_log, states[lane], action[lane], targets[lane])
        for lane in range(n):
            pair, k = states[lane] * n_actions + action[lane], outcomes[lane]
            returns[lane] += reward[pair, k]
            elapsed[lane] += 1
            states[lane] = successor[pair, k]
            if ends[pair, k] or elapsed[lane] == limit:
                episodes += 1
                return_sum += returns[lane]
                returns[lane], elapsed[lane], states[lane] = 0.0, 0, start
    return n_log, episodes, return_sum


def numba_loop(kernel: Callable[..., Any], model: MDP, lanes: int, steps: int) -> Callable[[], float]:
    """Return a function that runs *kernel* for *steps* and returns its steps per second."""
    values = np.zeros((model.n_states, model.n_actions), np.float32)
    counts = np.zeros(values.shape, np.uint32)
    log = np.zeros(model.n_pairs + 1, np.int64)
    start = int(np.flatnonzero(model.start)[0])
    words = np.random.default_rng(0).integers(0, 2**63, (4, lanes)).astype(np.uint64)
    state = (words, np.full(lanes, start, np.int64), np.zeros(lanes, np.int64), np.zeros(lanes))
    arrays = packed(model)

    def run() -> float:
        counts.__iand__(~TOUCHED)  # a new window: its log starts empty
        started = time.perf_counter()
        kernel(values, counts, log, arrays, state, steps // lanes, model.time_limit or -1, start)
        return steps // lanes * lanes / (time.perf_counter() - started)

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="FrozenLake8x8-v1")
    parser.add_argument("--lanes", type=int, nargs="*", default=(64, 8))
    parser.add_argument("--steps", type=float, default=2e7)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    model = MDP.from_gymnasium(options.env)
    globals().update(N_ACTIONS=model.n_actions, WIDTH=model.max_outcomes)
    begin(
        f"{options.env} against a Numba loop with the same book-keeping, million steps/s",
        *("lanes", "cdq", "Numba, lanes in turn", "Numba, phases", "part of the better of them", "goal"),
    )
    for lanes in options.lanes:
        show(model, lanes, int(options.steps), options.repeats)


def show(model: MDP, lanes: int, steps: int, repeats: int) -> None:
    """Print the figures of both forms, and cdq's over the better Numba form, run by run."""
    loops = [
        _loop(model, "float32", lanes),
        numba_loop(in_turn, model, lanes, steps),
        numba_loop(in_phases, model, lanes, steps),
    ]
    for loop in loops:
        loop()
    ours, *theirs = zip(*([loop() for loop in loops] for _ in range(repeats)), strict=True)
    best = max(theirs, key=statistics.median)
    ratios = [one / other for one, other in zip(ours, best, strict=True)]
    millions = [spread((rate / 1e6 for rate in rates), ".1f") for rates in (ours, *theirs)]
    row(str(lanes), *millions, spread(ratios, goal=1.0), "1.0")


if __name__ == "__main__":
    main()
