"""A call of `learn`: everything that its workers take part in, wherever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from cdq.mdp import MDP
from cdq.schedules import POLICY
from cdq.settings import Settings
from cdq.training.callbacks import CallbackList
from cdq.training.checkpoints import Checkpoints
from cdq.training.cohort import Cohort
from cdq.training.course import Ended, Plan
from cdq.training.goals import Goal
from cdq.training.interrupts import Requests
from cdq.training.kinds import EnvironmentTask
from cdq.training.monitor import Monitor
from cdq.training.state import State, lanes_of
from cdq.training.stopping import conditions
from cdq.training.task import ModelTask
from cdq.training.team import Team
from cdq.workers import Look, Round, Rule, Stretch

# Seconds after which rounds are written down, though nobody need look: progress is shown every fifth of a second.
_QUIET = 0.05


@dataclass(frozen=True)
class LearnCall:
    """A call of `learn`, or of `learn_from`.

    Attributes
    ----------
    task : EnvironmentTask
        The environment and the Q-function.
    settings : Settings
        Settings of the learner.
    rule : str or callable
        Rule by which tables become one (`cdq.merges.resolve`).
    state : State
        State of the learner; changed by whole rounds.
    team : Team
        The workers of this process.
    checkpoints : Checkpoints
        Checkpoints in which the state is kept.
    requests : Requests
        Requests that end the call early.
    monitor : Monitor, optional
        Writes the history and measures, on rank 0.
    callbacks : CallbackList
        Callbacks, the condition of the goal first; called on rank 0.
    origin : dict
        Origin of the environment, for files, besides its name.
    """

    task: EnvironmentTask
    settings: Settings
    rule: Rule
    state: State
    team: Team
    checkpoints: Checkpoints
    requests: Requests
    monitor: Monitor | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    callbacks: CallbackList = field(default_factory=CallbackList)

    def __post_init__(self) -> None:
        if self.monitor is not None:
            self.state.goal = replace(self.state.goal, measure_at=self.monitor.measure_at)

    @cached_property
    def about(self) -> dict[str, Any]:
        """Description of the learner, as a JSON object."""
        return about(self.task, self.settings, self.origin)

    @cached_property
    def plan(self) -> Plan:
        """Settings that every worker follows."""
        settings = self.settings
        return Plan(
            settings.step_size,
            settings.exploration,
            self.rule,
            settings.sync_every,
            settings.dtype,
            settings.overlap,
            self.state.goal.keep_every,
            self.task.step_scale,
            self._cohort,
        )

    @property
    def _cohort(self) -> Cohort | None:
        """Differences between the workers, where there are any."""
        settings, known = self.settings, self.settings.per_worker or {}
        if not known.keys() - {POLICY} and settings.federation is None:
            return None
        schedules = known.get("exploration", ()), known.get("step_size", ())
        return Cohort(*schedules, settings.federation, settings.seed, self.state.session)

    @property
    def measures(self) -> bool:
        """True if the gap or the greedy return is measured before the steps of the call are done."""
        return self.monitor is not None and self.monitor.measure_at <= self.state.goal.target

    @property
    def model(self) -> MDP:
        """The finite model; there is one where a hub merges."""
        assert self.task.model is not None
        return self.task.model

    def watch(self, steps: int, played: Round) -> bool:
        """Let the monitor write a round down, and the callbacks see it; return True if one of them asks to stop."""
        return self.monitor is not None and self._heed(steps, self.monitor(steps, played))

    @property
    def onlooker(self) -> LearnCall | None:
        """The call itself, where no callback sees each round."""
        return None if self.callbacks.of_rounds else self

    def look(self) -> Look:
        """Return when rank 0 must look at the run next."""
        return Look() if self.monitor is None else self.monitor.look()._replace(seconds=_QUIET)

    def see(self, stretch: Stretch) -> bool:
        """Let the monitor write the rounds of a stretch down, and the callbacks see what was measured, as `watch`."""
        steps = int(stretch.records[0]["steps"][-1])
        return self.monitor is not None and self._heed(steps, self.monitor.see(stretch))

    def _heed(self, steps: int, measured: bool) -> bool:
        """Let the callbacks see the newest round; return True if one of them asks to stop."""
        assert self.monitor is not None
        asked = self.callbacks.see_round(self.state.history[-1] if measured else None)
        if asked or measured:
            self._aim_at(steps if asked else self.state.goal.target, self.monitor.measure_at)
        return asked

    def write_checkpoint(self, lanes: Sequence[bytes] | None = None) -> None:
        """Write a checkpoint with the lanes of all ranks, where their state is known."""
        tensors, counters = self.state.everything()
        if lanes is not None:
            tensors["lanes"] = lanes_of(lanes)
        header = {"kind": "checkpoint", **self.about, **counters}
        self.checkpoints.write(self.state.progress.steps, tensors, header)
        self.callbacks.see_checkpoint()

    def unseen(self) -> LearnCall:
        """Return the same call without the callbacks that were given: they have seen the rounds that are repeated."""
        return replace(self, callbacks=CallbackList(first=conditions(self.state.goal.until)))

    def end(self, ended: Ended) -> None:
        """Take note of the end of this process's workers, where another rank knew it before."""
        if ended.met:
            self._aim_at(min(self.state.goal.target, ended.steps), self.state.goal.measure_at)
        if ended.signal and not self.requests.finish[0]:
            self.requests.finish[0] = ended.signal

    def _aim_at(self, target: int, measure_at: int) -> None:
        self.state.goal = replace(self.state.goal, target=target, measure_at=measure_at)

    def aimed_at(self, goal: Goal) -> LearnCall:
        """Return a call on the same table and history that has another goal, and leaves the one of this call."""
        monitor = None if self.monitor is None else self.monitor.aimed_at(goal)
        return replace(self, state=replace(self.state, goal=goal), monitor=monitor)


def about(
    task: EnvironmentTask, settings: Settings, origin: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a learner's description as a JSON object; *origin* is that of the environment (`cdq.envs.origin`)."""
    told: dict[str, Any] = {
        "environment": task.name,
        "model": task.fingerprint(),
        "settings": settings.to_config(),
    }
    if isinstance(task, ModelTask):  # a reader that is given the model cannot tell why it was taken
        told["stepping_reason"] = task.why
    if task.blocks is not None:
        told["blocks"] = task.blocks.to_config()
    return {**told, "made_of": origin} if origin else told
