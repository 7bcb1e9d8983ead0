"""Benchmarks by name, for `cdq bench`; the figures of the documentation were measured with them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cdq.core.merge import merge as _core
from cdq.errors import ConfigError, unknown_name
from cdq.learner import QLearner
from cdq.mdp import MDP, pack_model, solve
from cdq.qfunctions import MergedTable
from cdq.schedules import RescaledLinear, build_law
from cdq.workers import Worker

NAMES: dict[str, str] = {
    "rollout": "the compiled loop alone: one worker, epsilon .1, default step size",
    "dram": "the loop on 10^7 states x 4 actions, a random successor each: the lanes asked for against one",
    "threads": "learning with as many workers as asked for against one, sync_every 100,000, in turn",
    "window": "learning with automatic windows against sync_every 100,000, in turn",
    "merge": "merging 2 and 8 tables of 10^6 x 8, everything touched, on one core",
    "solve": "value iteration: the environment at gamma .99, and a Garnet of 10^6 x 4 x 3 at gamma .95",
    "import": "import cdq, in a fresh interpreter",
}

_STEPS = 20_000_000
_GAMMA = 0.99


def run(name: str, *, env: str, dtype: str, num_envs: int, workers: int, repeats: int) -> dict[str, Any]:
    """Run the benchmark *name* and return its figures: each a median, minimum and maximum over *repeats* runs.

    Raises
    ------
    ConfigError
        If there is no such benchmark, or *repeats* is below 1.
    """
    if name not in NAMES:
        raise ConfigError(unknown_name("benchmark", name, NAMES))
    if repeats < 1 or workers < 1 or num_envs < 1:
        raise ConfigError(
            f"repeats {repeats}, workers {workers}, num_envs {num_envs}: each must be at least 1"
        )
    options = {"env": env, "dtype": dtype, "num_envs": num_envs, "workers": workers, "repeats": repeats}
    return {"name": name, **options, **_BENCHMARKS[name](options)}


def spread(figures: list[float]) -> dict[str, float]:
    """Return median, minimum and maximum.

    Examples
    --------
    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'min': 1.0, 'max': 3.0}
    """
    return {"median": statistics.median(figures), "min": min(figures), "max": max(figures)}


def _timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _in_turn(actions: list[Callable[[], float]], repeats: int) -> list[list[float]]:
    """Run each action once to warm up, then all in turn; return their figures."""
    for action in actions:
        action()
    rows = [[action() for action in actions] for _ in range(repeats)]
    return [list(column) for column in zip(*rows, strict=True)]


def _ratios(figures: list[list[float]]) -> dict[str, float]:
    """Return how the first action's figures compare with the second's, run by run."""
    return spread([first / second for first, second in zip(*figures, strict=True)])


def _loop(model: MDP, dtype: str, num_envs: int, sampler: Any = None) -> Callable[[], float]:
    """Return a function that runs the loop for a while and returns its steps per second."""
    worker = _worker(model, sampler or pack_model(model, dtype), dtype, num_envs, 0)
    law = build_law(RescaledLinear(_GAMMA), 0, 0.3, dtype)
    sweeps = _STEPS // num_envs
    return lambda: sweeps * num_envs / _timed(lambda: worker.run(law, sweeps, 0.1, 0.1))


def _worker(model: MDP, sampler: Any, dtype: str, num_envs: int, rank: int) -> Worker:
    return Worker(
        sampler,
        MergedTable(model.n_states, model.n_actions, dtype, 0.0),
        is_keeper=True,
        gamma=_GAMMA,
        seed=0,
        rank=rank,
        session=0,
        num_envs=num_envs,
        stop=np.zeros(1, np.int32),
    )


def _rollout(options: dict[str, Any]) -> dict[str, Any]:
    loop = _loop(MDP.from_gymnasium(options["env"]), options["dtype"], options["num_envs"])
    return {"steps_per_second": spread(_in_turn([loop], options["repeats"])[0])}


def random_jumps(n_states: int, n_actions: int, seed: int) -> MDP:
    """Return a model in which every pair has one successor, drawn uniformly, and a random reward."""
    rng = np.random.default_rng(seed)
    n_pairs = n_states * n_actions
    return MDP(
        n_states=n_states,
        n_actions=n_actions,
        offsets=np.arange(n_pairs + 1),
        next_state=rng.integers(0, n_states, n_pairs, dtype=np.int32),
        probability=np.ones(n_pairs),
        reward=rng.random(n_pairs),
        terminated=np.zeros(n_pairs, np.bool_),
        start=np.full(n_states, 1 / n_states),
        name=f"random jumps, {n_states} states",
    )


def _dram(options: dict[str, Any]) -> dict[str, Any]:
    model = random_jumps(10_000_000, 4, seed=0)
    sampler = pack_model(model, options["dtype"])
    loops = [_loop(model, options["dtype"], lanes, sampler) for lanes in (options["num_envs"], 1)]
    figures = _in_turn(loops, options["repeats"])
    return {
        "env": model.name,
        "steps_per_second": spread(figures[0]),
        "one_lane": spread(figures[1]),
        "ratio": _ratios(figures),
    }


def _learning(options: dict[str, Any], **settings: Any) -> Callable[[], float]:
    def learn() -> float:
        agent = QLearner(
            options["env"],
            dtype=options["dtype"],
            num_envs=options["num_envs"],
            gamma=_GAMMA,
            seed=0,
            **settings,
        )
        agent.learn(_STEPS * 5, verbose=0)
        return agent.steps / float(agent.history[-1].seconds)

    return learn


def _threads(options: dict[str, Any]) -> dict[str, Any]:
    several = _learning(options, workers=options["workers"], sync_every=100_000)
    figures = _in_turn([several, _learning(options, workers=1, sync_every=100_000)], options["repeats"])
    return {
        "steps_per_second": spread(figures[0]),
        "one_worker": spread(figures[1]),
        "ratio": _ratios(figures),
    }


def _window(options: dict[str, Any]) -> dict[str, Any]:
    automatic = _learning(options, workers=options["workers"], sync_every="auto")
    fixed = _learning(options, workers=options["workers"], sync_every=100_000)
    figures = _in_turn([automatic, fixed], options["repeats"])
    return {"steps_per_second": spread(figures[0]), "fixed": spread(figures[1]), "ratio": _ratios(figures)}


def _merge(options: dict[str, Any]) -> dict[str, Any]:
    """Bytes of values, visits and base read per second: what the rule needs, not what lies beside it."""
    n_states, n_actions = 1_000_000, 8
    law = build_law(RescaledLinear(_GAMMA), 0, 0.3, options["dtype"])
    itemsize = np.dtype(options["dtype"]).itemsize
    result: dict[str, Any] = {}
    for size in (2, 8):
        tables = [_touched_table(n_states, n_actions, options["dtype"], rank) for rank in range(size)]
        read = n_states * n_actions * (size * (itemsize + 4) + itemsize)
        out = [bytearray() for _ in range(size)]

        def merge(rule: str, tables: list[Worker] = tables, read: int = read, out: Any = out) -> float:
            rows = [table.rows for table in tables]
            started = time.perf_counter()
            for rank in range(len(rows)):
                _core.merge_tables(rows, rank, rule, law, False, out[rank])
            return read / (time.perf_counter() - started)

        for rule in ("mean", "pooled"):
            figures = _in_turn([lambda rule=rule: merge(rule)], options["repeats"])[0]  # type: ignore[misc]
            result[f"{rule}_{size}_bytes_per_second"] = spread(figures)
    return result


def _touched_table(n_states: int, n_actions: int, dtype: str, rank: int) -> Worker:
    """Return a worker whose every pair was visited in this window."""
    model = random_jumps(n_states, n_actions, rank)
    worker = _worker(model, pack_model(model, dtype), dtype, 64, rank)
    law = build_law(RescaledLinear(_GAMMA), 0, 0.3, dtype)
    while worker.rows.touched < 0.999 * n_states * n_actions:
        worker.run(law, 1_000_000, 1.0, 1.0)
    return worker


def _solve(options: dict[str, Any]) -> dict[str, Any]:
    small, large = MDP.from_gymnasium(options["env"]), MDP.garnet(1_000_000, 4, branching=3, seed=0)
    figures = _in_turn(
        [
            lambda: _timed(lambda: solve(small, 0.99, tolerance=1e-10)),
            lambda: _timed(lambda: solve(large, 0.95, tolerance=1e-6)),
        ],
        options["repeats"],
    )
    return {"seconds": spread(figures[0]), "garnet_seconds": spread(figures[1])}


def _import(options: dict[str, Any]) -> dict[str, Any]:
    def fresh(code: str) -> float:
        return _timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    figures = _in_turn([lambda: fresh("import cdq"), lambda: fresh("pass")], options["repeats"])
    extra = [with_cdq - without for with_cdq, without in zip(*figures, strict=True)]
    return {"seconds": spread(extra)}


_BENCHMARKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "rollout": _rollout,
    "dram": _dram,
    "threads": _threads,
    "window": _window,
    "merge": _merge,
    "solve": _solve,
    "import": _import,
}
