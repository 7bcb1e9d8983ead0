"""Environments that fail, in the process of one rank, after so many steps."""

from __future__ import annotations

import os
import signal
from typing import Any

import gymnasium

RANK = "1"
REPAIRED = "CDQ_TEST_REPAIRED"  # in the environment: nothing fails any more
AT = 5000


class Failing(gymnasium.Env[int, int]):
    """Counts its steps, modulo 4; episodes have ten."""

    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, how: str = "raise") -> None:
        self.steps, self.how = 0, how

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, Any]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == AT and os.environ.get("CDQ_RANK") == RANK and REPAIRED not in os.environ:
            self.fail()
        return self.steps % 4, float(action), self.steps % 10 == 0, False, {}

    def fail(self) -> None:
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            raise SystemExit(3)
        if self.how == "raise":
            raise RuntimeError("the sensor is lost")


class Killed(Failing):
    def __init__(self) -> None:
        super().__init__("kill")


class Exiting(Failing):
    def __init__(self) -> None:
        super().__init__("exit")


class Sound(Failing):
    def __init__(self) -> None:
        super().__init__("never")


gymnasium.register("Sound-v0", entry_point="tests.envs.failing:Sound")
