"""Matches of a game's policy: how it does in either seat, against an opponent or against the worst of all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from cdq.contracts import Board
from cdq.errors import CdqError, ConfigError
from cdq.errors.checks import described, shown
from cdq.errors.naming import named
from cdq.learner.about import About
from cdq.learner.acting import act, best_action
from cdq.learner.exclusion import exclusive
from cdq.mdp import worst_results
from cdq.training import EnvironmentTask, GameTask
from cdq.workers import EVALUATION

if TYPE_CHECKING:
    from cdq.envs.boards import EnvBoard

Policy = Callable[[Any, Any], Any]
# A game that nobody ends is cut here, and counts as drawn if nobody has won anything.
_LONGEST_GAME = 10_000


class Seat(NamedTuple):
    """Results of the games that a policy played in one seat, from which it moves first or second.

    Attributes
    ----------
    wins, draws, losses : float
        Parts of the games that were won, drawn and lost.
    wins_error, draws_error, losses_error : float
        Standard error of each; NaN after a single game.
    mean_return : float
        Mean sum of rewards.
    games : int
        Number of games.
    """

    wins: float
    draws: float
    losses: float
    wins_error: float
    draws_error: float
    losses_error: float
    mean_return: float
    games: int


class Worst(NamedTuple):
    """Worst mean results of a policy, against any opponent whatever: as the first to move, and as the second."""

    first: float
    second: float


@dataclass(frozen=True)
class Match:
    """Result of games of the greedy policy against an opponent, half of them in either seat.

    Attributes
    ----------
    first, second : Seat
        Results where the policy moved first, and where it moved second.
    opponent : str
        The opponent.
    mean_return : float
        Mean sum of rewards in a game, over both seats.
    standard_error : float
        Standard error of `mean_return`; NaN after a single game in each seat.
    mean_length : float
        Plies of a game.
    episodes : int
        Number of games.
    mean_reward : float
        Mean reward of a ply, in the policy's eyes.
    unended : int
        Number of games that nothing ended within 10,000 plies.
    """

    first: Seat
    second: Seat
    opponent: str
    mean_return: float
    standard_error: float
    mean_length: float
    episodes: int
    mean_reward: float
    unended: int


def play_match(
    board: Board,
    players: tuple[Policy, Policy],
    opponent: str,
    *,
    games: int,
    seed: int,
    key: tuple[int, ...],
) -> Match:
    """Play *games* games of the first of two players in each seat; *key* names the streams."""
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(EVALUATION, *key)))
    results, lengths = np.zeros((2, games)), np.zeros((2, games), np.int64)
    for seat in (0, 1):
        for game in range(games):
            first, lengths[seat, game] = play(board, players[::-1] if seat else players, random)
            results[seat, game] = -first if seat else first
    mean = float(results.mean())
    error = math.sqrt(sum(part.var(ddof=1) / games for part in results)) / 2 if games > 1 else math.nan
    per_ply = float(results.sum() / lengths.sum())
    unended = int((lengths >= _LONGEST_GAME).sum())
    seats = (_seat(results[0]), _seat(results[1]))
    return Match(*seats, opponent, mean, error, float(lengths.mean()), 2 * games, per_ply, unended)


def play(board: Board, players: Sequence[Policy], random: np.random.Generator) -> tuple[float, int]:
    """Play a game; return the sum of the first player's rewards, less the other's, and the number of plies."""
    ply, turn, total = board.begin(random), 0, 0.0
    for length in range(1, _LONGEST_GAME + 1):
        ply = board.move(int(players[turn](ply.observation, ply.mask)))
        total += -ply.reward if turn else ply.reward
        if ply.over:
            return total, length
        turn ^= ply.turns
    return total, _LONGEST_GAME


def _seat(results: npt.NDArray[np.float64]) -> Seat:
    n = len(results)
    won, drawn, lost = (float(part.mean()) for part in (results > 0, results == 0, results < 0))
    errors = [math.sqrt(part * (1 - part) / (n - 1)) if n > 1 else math.nan for part in (won, drawn, lost)]
    return Seat(won, drawn, lost, errors[0], errors[1], errors[2], float(results.mean()), n)


def stage(agent: Any) -> EnvBoard:
    """Return a board on which the game of a learner is played in its environment's own words."""
    from cdq.envs.boards import EnvBoard
    from cdq.envs.toy_text import make_env

    env = agent._env if hasattr(agent._env, "step") else make_env(agent._env)
    return EnvBoard(env, agent._task.first_action)


class Matches(About):
    """Games of a learner against others; see `QLearner`."""

    @named
    @exclusive
    def exploit(self) -> Worst:
        """Return the worst mean results of the greedy policy, against any opponent: by looking at every position.

        Of a small game alone, whose model is known, or which has up to 20,000 positions and moves without chance. The
        result is exact: no opponent whatever does better against the policy. Results are sums of rewards, without
        discount.

        Raises
        ------
        ConfigError
            If it is no game, or one of too many positions or of chance that is not known.
        ModelError
            If games may go on for ever.
        LearnerBusy
            If the learner is in the course of another call.

        Examples
        --------
        >>> from cdq import QLearner
        >>> QLearner("cdq/TicTacToe-v0", opponent="self", seed=0).learn(800_000).exploit()
        Worst(first=0.0, second=0.0)
        """
        task = self._game("exploit")
        model, seen = task.positions()
        values = self._state.merged.mean_values()
        policy = np.zeros(model.n_states, np.int64) if model.actions is None else model.actions.argmax(axis=1)
        for position in np.flatnonzero(model.reachable()).tolist():
            allowed = model.actions_in(position)
            policy[position] = best_action(task.action_values(values, seen[position]), allowed)
        return Worst(*worst_results(model, policy))

    def _game(self, call: str) -> GameTask:
        """Return the task as that of a game; `ConfigError` if it is none."""
        if self.settings.opponent is None:
            raise ConfigError(f"{call} is for games, and {self._task.name} is none; see opponent of QLearner")
        return cast("GameTask", self._task)

    def _match(self, opponent: Any, games: int, seed: int, key: tuple[int, ...]) -> Match:
        """Play *games* games in each seat against an opponent."""
        task = self._game("a match")
        own = act(task, task.values_now(self._state.merged.mean_values()), best_action)
        other, name = self._player(own if opponent is self else opponent, (seed, key))
        players = _numbered(own, task), _numbered(other, task)
        name = "itself" if opponent is self else name
        return play_match(task.board(), players, name, games=games, seed=seed, key=key)

    def _player(self, opponent: Any, stream: tuple[int, tuple[int, ...]]) -> tuple[Policy, str]:
        """Return the policy of an opponent, and its name."""
        if isinstance(opponent, str) and opponent == "random":
            key = (EVALUATION, *stream[1], 1)
            random = np.random.default_rng(np.random.SeedSequence(stream[0], spawn_key=key))
            return _uniform(random, self._task), "random"
        if isinstance(opponent, Matches):
            return _of_learner(opponent, self._task), f"a learner of {opponent.steps:,} steps"
        if callable(opponent) and not isinstance(opponent, type):
            return opponent, str(getattr(opponent, "__name__", type(opponent).__name__))
        raise ConfigError(
            f"opponent is {shown(opponent)}; allowed: 'random', a learner of the same game, or a function of a "
            "position and its action mask that returns an action"
        )


def _uniform(random: np.random.Generator, task: EnvironmentTask) -> Policy:
    def policy(observation: Any, mask: Any) -> int:
        allowed = np.arange(task.n_actions) if mask is None else np.flatnonzero(mask)
        return int(allowed[random.integers(len(allowed))]) + task.first_action

    return policy


def _of_learner(other: Matches, task: EnvironmentTask) -> Policy:
    has, needs = ((one.name, one.n_actions, one.first_action) for one in (other._task, task))
    if has != needs:
        raise ConfigError(
            f"the opponent has learnt {has[0]}, and this is {needs[0]}; give a learner of the same game"
        )
    return other.policy()


def _numbered(policy: Policy, task: EnvironmentTask) -> Policy:
    """Return a policy whose actions are numbered from 0, and checked."""

    def numbered(observation: Any, mask: Any) -> int:
        try:
            given = policy(observation, mask)
        except CdqError:
            raise
        except Exception as error:
            place = _place(observation)
            raise ConfigError(f"the opponent failed in {place}: {described(error)}") from error
        try:
            action = int(given) - task.first_action
        except (TypeError, ValueError):
            action = -1
        if not 0 <= action < task.n_actions or (mask is not None and not mask[action]):
            names = range(task.n_actions) if mask is None else np.flatnonzero(mask)
            moves = ", ".join(str(int(one) + task.first_action) for one in names)
            raise ConfigError(f"the opponent plays {shown(given)} in {_place(observation)}; allowed: {moves}")
        return action

    return numbered


def _place(observation: Any) -> str:
    return shown(observation.item() if isinstance(observation, np.generic) else observation)
