"""Results of learning: the part of a learner's interface that changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from html import escape
from typing import TYPE_CHECKING, Any

from cdq.errors import ConfigError, LearnerBusy, NotLearnt
from cdq.errors.checks import is_flag, shown, whole
from cdq.errors.naming import named
from cdq.learner.backends import Backend, why_processes
from cdq.learner.elsewhere import learner_in
from cdq.learner.evaluation import Evaluation, Evaluations, evaluate_each, evaluate_greedy
from cdq.learner.exclusion import exclusive, playing
from cdq.learner.matches import Match, Matches
from cdq.learner.parts import tables_of_tasks
from cdq.learner.report import (
    Report,
    digest_of,
    hints,
    hints_on_games,
    known_pairs,
    make_report,
    of_each,
    played,
    unvisited,
    visited,
)
from cdq.mdp import OptimalityGap, Solution, optimality_gap, solve
from cdq.qfunctions import HashedTable, MergedNetwork, QTable, tables_of
from cdq.settings import MOST_SEED
from cdq.training import (
    STEPS_PER_OUTCOME,
    Figures,
    FleetTask,
    History,
    Monitor,
    Requests,
    RunView,
    Until,
    WideTask,
)

if TYPE_CHECKING:
    from typing_extensions import Self

# Steps of an environment in Python take a thousand times as long.
_EPISODES, _EPISODES_IN_PYTHON = 1000, 100
# The return and the length of each take 16 bytes.
_MOST_EPISODES = 10**9
# Where a condition on returns waits for an environment without a model: steps between two looks, and episodes of each.
_STEPPED_LEAST, _STEPPED_EPISODES = 20_000, 100
_SOLVED_OUTCOMES = 2_000_000


class Results(Matches):
    """A table of action values, and the record of how it was learnt; see `QLearner`."""

    _origin: dict[str, Any]
    _backend: Backend
    _env: Any
    _requests: Requests
    _optimum: Solution | None = None
    _evaluated: tuple[int, Evaluation | Evaluations | Match | None] = (
        0,
        None,
    )  # steps so far, and what came of it

    @property
    def rank(self) -> int:
        """Number of the worker that this process is, where each process is one; else 0."""
        return self._backend.rank

    @property
    def history(self) -> History:
        """Figures of the rounds so far, those of a file included; on rank 0."""
        return self._state.history

    @property
    def steps_left(self) -> int:
        """Steps that a call of `learn` has left, which was cut short and is finished by `learn` without steps."""
        return max(0, self._state.goal.target - self.steps)

    @property
    def until(self) -> Until | None:
        """The condition of the last call of `learn`."""
        return self._state.goal.until

    @property
    def table(self) -> QTable:
        """A copy of the merged table as it is now: a row per state, per state that was met (`keys`), or per feature.

        Where states do not have every action (`MDP.actions`), the values of the others are -inf. The arrays are
        read-only; a learner takes a table as its `initial_table`.

        Raises
        ------
        NotLearnt
            If a network is learnt.
        LearnerBusy
            If the learner is in the course of another call: the table is whole between two.
        """
        with self._turn.taken("table"):
            return self._table()

    def _require_table(self) -> None:
        if isinstance(self._state.merged, MergedNetwork):
            raise NotLearnt(
                "a network has no table; `agent.network` has its tensors, `action_values` the values"
            )

    def _table(self) -> QTable:
        merged = self._state.merged
        keys = merged.keys.copy() if isinstance(merged, HashedTable) else None
        self._require_table()
        return QTable(
            merged.mean_values().copy(),
            merged.updates().copy(),
            self.name,
            keys,
            self._state.allowed(),
            model=self.model,
        )

    @property
    def tables(self) -> Mapping[Any, QTable]:
        """A copy of each table by its name: of an agent or a group of them, or of a task, where there are several.

        The name of an agent in a group means the table of the group. Of tasks that are `Weights` the values are worth
        to the task.

        Raises
        ------
        NotLearnt
            If there is one table, which `table` has, or a network is learnt.
        LearnerBusy
            If the learner is in the course of another call.
        """
        if isinstance(self._task, WideTask):
            with self._turn.taken("tables"):
                return tables_of_tasks(self._task, self._state.merged)
        blocks = self._state.blocks
        if blocks is None:
            self._require_table()
            raise NotLearnt(f"{self.name} is learnt with one table, which has no name; use table")
        encoder = getattr(self._task, "encoder", None)
        tables = tables_of(self.table, blocks, getattr(encoder, "members", None))
        return tables if not isinstance(self._task, FleetTask) else self._task.by_number(tables)

    def _repr_html_(self) -> str:
        caption = f"<p>{escape(repr(self))}</p>"
        try:
            table = "" if self.settings.network is not None else self.table._repr_html_()
        except LearnerBusy:  # it is learning, in another thread: the history may be looked at
            table = ""
        return f"{caption}{table}{self.history._repr_html_()}"

    @named
    @exclusive
    def evaluate(
        self,
        episodes: float | None = None,
        *,
        seed: int | None = None,
        env: Any = None,
        opponent: Any = None,
    ) -> Any:
        """Run episodes of the greedy policy, the lowest action among equals, and return how it did.

        A game is played in either seat, *episodes* times in each, and the result is a `Match`: the parts of the games
        that were won, drawn and lost, in each seat, with standard errors.

        An episode is cut at the environment's time limit, or after 10,000 steps where it has none. Where that happens,
        the mean return is NaN, and `mean_reward`, that of a step, is the figure to look at.

        Parameters
        ----------
        episodes : int, optional
            Number of episodes; by default 1,000, or 100 where the environment is stepped in Python.
        seed : int, optional
            Seed of the episodes: with the same seed, the same policy has the same figures, whatever was evaluated
            before. By default each evaluation has streams of its own, which follow from the learner's seed.
        env : str, gymnasium.Env, callable or MDP, optional
            Another environment in which to play, with the same observations and actions: harder, say, or without
            noise. By default that which was learnt.
        opponent : "random", QLearner or callable, optional
            In games, the opponent: uniformly random moves, which is the default, the greedy policy of another learner
            of the game, or a function of a position and its action mask that returns an action.

        Returns
        -------
        Evaluation, Evaluations or Match
            Figures of the policy. Of several agents, environments or tasks a dictionary, with the evaluation of each by
            its name, which has the figures of all together besides.

        Raises
        ------
        ConfigError
            If *episodes* is not a whole number of at least 1, or *seed* none of at least 0; if *env* has other
            observations or actions; if *opponent* is none, or there is no game; or the environment that was given has
            changed since the learner was made of its model.
        LearnerBusy
            If the learner is in the course of another call, or another learner is stepping the environment that was
            given.

        Examples
        --------
        >>> from cdq import QLearner
        >>> agent = QLearner("FrozenLake-v1", seed=0).learn(200_000)
        >>> agent.evaluate(seed=7) == agent.evaluate(seed=7)
        True
        >>> import gymnasium
        >>> agent.evaluate(seed=7, env=gymnasium.make("FrozenLake-v1", is_slippery=False)).unended
        0
        """
        if env is not None:
            with learner_in(env, self) as other:
                found: Evaluation | Evaluations | Match = other.evaluate(
                    episodes, seed=self.settings.seed if seed is None else seed, opponent=opponent
                )
                return found
        with self._stepped("evaluate"):
            return self._evaluate(episodes, seed, opponent)

    def _stepped(self, call: str) -> AbstractContextManager[None]:
        """Return a context that has the environment for this learner alone, where it is stepped itself."""
        itself = self._task.stepping.partition(" ")[0] in {"Python", "vector", "multi-agent"}
        return playing(self._env, call) if itself else nullcontext()

    def _evaluate(
        self, episodes: float | None = None, seed: int | None = None, opponent: Any = None
    ) -> Evaluation | Evaluations | Match:
        self._require_unchanged()
        if opponent is not None:
            self._game("an opponent")
        usual = _EPISODES if self._task.threads else _EPISODES_IN_PYTHON
        n = usual if episodes is None else whole("episodes", episodes, 1, _MOST_EPISODES)
        if seed is None:
            self._state.evaluations += 1
            key: tuple[int, ...] = (self._state.session, self._state.evaluations)
            entropy = self.settings.seed
        else:
            key, entropy = (), whole("the seed", seed, 0, MOST_SEED)
        result = self._play(n, entropy, key, "random" if opponent is None else opponent)
        self._evaluated = (self.steps, result)
        return result

    def _play(
        self, episodes: int, seed: int, key: tuple[int, ...] = (), opponent: Any = "random"
    ) -> Evaluation | Evaluations | Match:
        if self.settings.opponent is not None:
            return self._match(opponent, episodes, seed, key)
        values, stop = self._state.merged.mean_values(), self._requests.stop
        if isinstance(self._task, WideTask):
            return evaluate_each(self._task, values, stop, seed=seed, key=key, episodes=episodes)
        return evaluate_greedy(self._task, values, stop, seed=seed, key=key, episodes=episodes)

    def _view(self) -> RunView:
        return RunView(self.name, self.settings, self._state, self._table, self._play)

    def _require_unchanged(self) -> None:
        if self._task.changed():
            raise ConfigError(
                f"{self.name} has changed since this learner was made, which learns it by what it was then "
                f"({self.stepping}); make another learner, or give stepping='python'"
            )

    def _gap(self) -> OptimalityGap | None:
        """Return how far from optimal the table is; None where the model is not known."""
        if self.model is None:
            return None
        return optimality_gap(
            self.model, self._state.merged.mean_values(), self.settings.gamma, self._optimum
        )

    def _solved(self) -> Solution | None:
        if self.model is None or self.model.n_outcomes > _SOLVED_OUTCOMES:
            return None
        return self._optimum or solve(self.model, self.settings.gamma)

    @named
    @exclusive
    def report(self, *, play: bool = True, history: bool = False) -> Report:
        """Return a run's results as a JSON object: settings, speed, the greedy policy's return, and the gap.

        `stepping` says how the environment is stepped, `stepping_reason` why so, and `representation` what the
        Q-function is made of.
        `solved` is whether `mean_return` reaches the environment's own `reward_threshold`; None where it has none.
        `policy_value` and `optimal_value` are exact discounted values from the start distribution, `gap` a bound on
        their difference that holds; None where the model is not known. `mean_return` is the undiscounted return of
        the greedy policy over the episodes of `evaluate`; `digest` the SHA-256 of the values' and the visits' bytes,
        of a network of its parameters and moments.
        `pairs_unvisited` is the part of the model's pairs that episodes can reach and none visited, and `hints` says in
        words what stands out: that no reward was seen, for example, and what helps.

        Episodes that were run by `evaluate` since the last step of learning are not run again: the report has the
        figures of the last ones. Figures of `mean_return` are None where episodes do not end; `mean_reward`, that of a
        step, is the one to look at there, beside `policy_value`.

        Parameters
        ----------
        play : bool
            False: no episode is run; what takes episodes is None, unless `evaluate` has run some.
        history : bool
            True: the entry `history` holds the rows of the history, a list per column (`History.to_json`).
        """
        for name, flag in (("play", play), ("history", history)):
            if not is_flag(flag):
                raise ConfigError(f"{name} is {shown(flag)}; allowed: True or False")
        from cdq.envs.opening import reward_threshold  # here: it takes Gymnasium with it

        about = {
            "env": self.name,
            "stepping": self.stepping,
            "stepping_reason": self.stepping_reason,
            "representation": self.representation,
            "comm": self._backend.name,
            "workers_are": self._workers_are(),
            "steps": self.steps,
            "digest": digest_of(self._state.merged, self._table),
        }
        evaluation = self._last_evaluation(play)
        threshold = None if isinstance(self._task, WideTask) else reward_threshold(self.name)
        reached = None if threshold is None or evaluation is None else evaluation.mean_return >= threshold
        solved = {"reward_threshold": threshold, "solved": reached}
        report = {**make_report(about, self.settings, self.history, self._gap(), evaluation), **solved}
        if self._task.agents:
            each = evaluation if isinstance(evaluation, Evaluations) else {}
            report["agents"] = {agent: played(one) for agent, one in each.items()}
        merged = self._state.merged
        missed = unvisited(self.model, merged.updates())
        found = hints(report, self.model, merged.values, missed) + hints_on_games(self.settings, self.steps)
        rows: dict[str, Any] = {"history": self.history.to_json()} if history else {}
        if isinstance(self._task, WideTask):
            rows["tasks"] = of_each(self._task, merged.values, evaluation, self.settings.gamma)
        return Report(report, pairs_unvisited=missed, hints=found, **rows)

    def _last_evaluation(self, play: bool) -> Evaluation | Evaluations | Match | None:
        """Return how the policy of now did when it was played last; if it never was, it is, unless *play* is False."""
        steps, result = self._evaluated
        if play:
            self._require_unchanged()
        if result is not None and steps == self.steps:
            return result
        if not play:
            return None
        with self._stepped("report"):
            return self._evaluate()

    def _monitor(self, explores: bool = True) -> Monitor:
        if self.model is None:
            least, episodes = _STEPPED_LEAST, _STEPPED_EPISODES
        else:
            least, episodes = STEPS_PER_OUTCOME * self.model.n_outcomes, None
        return Monitor(
            self.history,
            least,
            lambda: math.nan if (gap := self._gap()) is None else gap.gap,
            lambda: self._evaluate(episodes).mean_return,
            self._state.goal,
            figures=Figures(
                self._state,
                self.settings.exploration if explores else None,
                self.settings.step_size,
                self._task.step_scale,
                lambda: visited(self.model, self._state.merged.updates()),
                known=known_pairs(self.model),
            ),
        )

    def _workers_are(self) -> str:
        if self._task.threads or self.settings.workers == 1:
            return "processes" if self._backend.in_processes else "threads"
        return f"processes, as {why_processes(self._task)}"

    @exclusive
    def close(self) -> None:
        """Close the environments that were made here; those that were given stay open."""
        self._task.close()

    def __enter__(self) -> Self:
        """Return the learner, whose environments are closed when the block ends (`close`)."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the environments that were made here."""
        self.close()
