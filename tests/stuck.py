"""A program whose learning gets stuck: ``python tests/start.py tests.stuck WHERE RANK [NAME=VALUE ...]``.

It prints a line when a rank is about to be stuck, with its process, and one when KeyboardInterrupt has come. Where is
"init", "reset", "step" or "merge"; with "-stop" the process stops itself in place of sleeping.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import gymnasium

import cdq
from cdq.errors import ConfigError
from cdq.merges import MergeRule
from cdq.training import threads

AFTER = 1500  # steps


def stick(where: str) -> None:
    wanted, _, how = os.environ["STUCK"].partition("-")
    if where != wanted or os.environ.get("CDQ_RANK", "0") != os.environ["STUCK_RANK"]:
        return
    sys.stdout.write(f"stuck: {os.getpid()}\n")
    sys.stdout.flush()
    if how:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1000)


class Stuck(gymnasium.Env[int, int]):
    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.steps = 0
        stick("init")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, Any]:
        if self.steps > AFTER:
            stick("reset")
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps > AFTER:
            stick("step")
        return self.steps % 4, 0.0, self.steps % 3 == 0, False, {}


class Sticking(MergeRule):
    def combine(self, base: Any, values: Any, *others: Any) -> Any:
        stick("merge")
        return values.mean(axis=0)


def main() -> None:
    threads._GRACE = 0.5  # seconds that a step has to return
    os.environ["STUCK"], os.environ["STUCK_RANK"] = sys.argv[1:3]
    changes = {name: json.loads(value) for name, _, value in (word.partition("=") for word in sys.argv[3:])}
    env = changes.pop("env", Stuck)
    merge = Sticking() if sys.argv[1] == "merge" else "pooled"
    agent = cdq.QLearner(env, seed=0, merge=merge, **changes)
    try:
        agent.learn(1e6)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    try:
        agent.learn(10)
    except (ConfigError, KeyboardInterrupt) as error:
        print(error, flush=True)


if __name__ == "__main__":
    main()
