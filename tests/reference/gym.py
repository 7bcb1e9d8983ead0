"""A window of Q-learning over environments of Gymnasium, one call and one number at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.reference.qfunction import QFunction
from tests.reference.rng import Xoshiro
from tests.reference.schedules import Law


@dataclass
class Lane:
    env: Any  # with attributes state and mask, which the definition reads in place of observations
    stream: Xoshiro
    elapsed: int = 0
    episode_return: float = 0.0
    over: bool = False


class Learner:
    """Lanes that act on one Q-function; *dropping*: an episode begins by a step of its own (NEXT_STEP)."""

    def __init__(
        self,
        envs: Sequence[Any],
        seeds: Sequence[int],
        words: Any,
        q: QFunction,
        gamma: float,
        *,
        masked: bool,
        dropping: bool = False,
    ) -> None:
        self.q, self.gamma, self.masked, self.dropping = q, gamma, masked, dropping
        self.lanes = [Lane(env, Xoshiro(column)) for env, column in zip(envs, words.T, strict=True)]
        for env, seed in zip(envs, seeds, strict=True):
            env.reset(seed=seed)
        self.episodes, self.length_sum, self.return_sum = 0, 0, 0.0

    def run(self, law: Law, sweeps: int, explore_first: float, explore_last: float) -> tuple[int, int, float]:
        """Learn for *sweeps* steps of every lane; return the episodes, and the sums of lengths and returns."""
        self.episodes, self.length_sum, self.return_sum = 0, 0, 0.0
        first = int(explore_first * 2.0**63)
        change = int((explore_last - explore_first) * 2.0**63 / max(sweeps, 1))
        for t in range(sweeps):
            actions = [self._choose(lane, (first + t * change) >> 31) for lane in self.lanes]
            steps = [self._step(*pair) for pair in zip(self.lanes, actions, strict=True)]
            self.q.learn(law, self.gamma, steps)
            for lane, step in zip(self.lanes, steps, strict=True):
                self._book(lane, step)
        return self.episodes, self.length_sum, self.return_sum

    def _mask(self, lane: Lane) -> Any:
        return lane.env.mask.copy() if self.masked and not lane.over else None

    def _choose(self, lane: Lane, explore: int) -> int:
        return self.q.choose(lane.env.state, explore, lane.stream.next(), self._mask(lane))

    def _step(self, lane: Lane, action: int) -> Any:
        if lane.over:
            lane.env.reset()
            lane.over = False
            return None
        state = lane.env.state
        _, reward, terminated, truncated, _ = lane.env.step(action + int(lane.env.action_space.start))
        lane.over = bool(terminated or truncated)
        mask = lane.env.mask.copy() if self.masked else None
        return state, action, float(reward), lane.env.state, bool(terminated), mask

    def _book(self, lane: Lane, step: Any) -> None:
        if step is None:
            return
        lane.elapsed += 1
        lane.episode_return += step[2]
        if lane.over:
            self.episodes += 1
            self.length_sum += lane.elapsed
            self.return_sum += lane.episode_return
            lane.elapsed, lane.episode_return = 0, 0.0
            if not self.dropping:
                lane.env.reset()
                lane.over = False
