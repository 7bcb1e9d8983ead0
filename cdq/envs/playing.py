"""Playing an environment against its transition table: each outcome that comes up has to be one of the table's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cdq.contracts import Model
from cdq.core.planning import plan as core
from cdq.envs.spaces import DISCOUNT, MASK, Encoder
from cdq.errors.checks import described

# Steps in all; without a new pair, after which those left are given up; and between two plans, or of an episode.
_LEAST, _PATIENCE, _FAR = 10_000, 6_000, 500
_RESETS, _FOLLOWED = 50, 1_000
_MOST_PAIRS = 10_000  # for seeing which a second or two is enough
_BEYOND = 6  # sweeps of value iteration after a way is found
_GAMMA = 0.99
_CLOSE = 1e-6  # rewards of 32 bits
# A table that is right is refused with at most this probability: Ville's inequality for the likelihood ratio.
_UNLIKELY = math.log(1e6)


class _Against(Exception):
    """A finding that speaks against the table."""


def play(env: Any, model: Model, encoder: Encoder, *, masks: bool) -> tuple[bool, str]:
    """Play an environment, and compare what comes up with its model; the same steps at each call.

    Parameters
    ----------
    env : gymnasium.Env
        The environment, of which any state is left behind.
    model : Model
        The model that its table makes.
    encoder : Encoder
        Encoder of the environment's observations and actions.
    masks : bool
        True where a mask in the info would be heeded.

    Returns
    -------
    agrees : bool
        True where all pairs that can be reached came up, and nothing speaks against the model.
    why : str
        The finding, in words.
    """
    player = _Player(env, model, encoder, masks=masks)
    try:
        player.play()
    except _Against as found:
        return False, str(found)
    except Exception as error:  # whatever the environment raises
        name, colon, text = described(error).partition(":")
        return False, f"{player.doing} raised {name} when P was checked{colon}{text}"
    pairs = int(player.reachable.sum())
    return True, f"{player.steps:,} steps that saw all {pairs:,} pairs found nothing against P"


class _Player:
    """An environment that is played, and the steps that came up so far."""

    def __init__(self, env: Any, model: Model, encoder: Encoder, *, masks: bool) -> None:
        self.env, self.model, self.encoder, self.masks = env, model, encoder, masks
        self.n_actions, self.weight = model.n_actions, model.probability * ~model.terminated
        self.reachable = np.repeat(model.reachable(), model.n_actions)
        self.outcomes = list(
            zip(model.next_state.tolist(), model.terminated.tolist(), model.reward.tolist(), strict=True)
        )
        self.offsets = model.offsets.tolist()
        self.tries = [0] * model.n_pairs
        self.counts = [0] * model.n_outcomes
        self.starts = [0] * model.n_states
        self.steps, self.state, self.doing = 0, 0, "reset"

    def play(self) -> None:
        """Play to the end; raises `_Against`."""
        pairs = int(self.reachable.sum())
        if pairs > _MOST_PAIRS:
            raise _Against(f"P can lead to {pairs:,} pairs, too many to see each by playing")
        for i in range(_RESETS):
            self.reset(0 if i == 0 else None)
        self.weigh_starts()
        self.see_all()
        least = min(_LEAST, _LEAST // 3 + 10**6 // pairs)
        while self.steps < least:
            self.wander()
        model, reward = self.model, np.empty(self.model.n_pairs)
        core.fold(model.offsets, model.probability, model.reward, reward, np.empty(model.n_states, np.uint8))
        self.follow(reward)  # as a learner will
        self.follow(np.ones(model.n_pairs))  # on and on: what comes late in an episode comes up, too
        self.weigh()

    # ---- where to go

    def see_all(self) -> None:
        """Try every pair that can be reached; raises `_Against` where some do not come up."""
        wanted = self.reachable.astype(np.float64)
        left, until = int(wanted.sum()), _PATIENCE
        while left and self.steps < until:
            done = self.walk(wanted)
            until = self.steps + _PATIENCE if done else until
            left -= done
        if left:
            raise _Against(
                f"{left:,} of the {int(self.reachable.sum()):,} pairs that P can lead to did not come up in "
                f"{self.steps:,} steps"
            )

    def walk(self, wanted: npt.NDArray[np.float64]) -> int:
        """Go where wanted pairs are, and try them, until the way has to be planned again; return how many are done."""
        values, policy = self.plan(wanted)
        planned, done, far = wanted.copy(), 0, self.steps + _FAR
        everywhere = not values[self.state]  # it was planned as far as there are ways
        while self.steps < far:
            first = self.state * self.n_actions
            own = wanted[first : first + self.n_actions]
            here = own.any()
            pair = first + (int(own.argmax()) if here else policy[self.state])
            if here or (values[self.state] and not planned[pair]):
                self.step(pair)
                done += int(here)
                wanted[pair] = 0.0
            elif everywhere and not values[self.state]:  # nothing is left to see in this episode
                self.steps += 1
                self.reset(None)
            else:
                break
        return done

    def wander(self) -> None:
        """Begin an episode, and take the actions of each state in turn."""
        self.reset(None)
        last = self.steps + _FAR
        while self.steps < last:
            first = self.state * self.n_actions
            self.step(min(range(first, first + self.n_actions), key=self.tries.__getitem__))

    def plan(
        self, reward: npt.NDArray[np.float64], sweeps: int | None = None
    ) -> tuple[list[float], list[int]]:
        """Return values and a policy by value iteration; without a number of sweeps, until the way is known."""
        model = self.model
        values, best = np.zeros((2, model.n_states))
        policy, done, most = (
            np.empty(model.n_states, np.int32),
            0,
            model.n_states if sweeps is None else sweeps,
        )
        arrays = model.offsets, model.next_state, self.weight, reward
        while done < most:
            core.improve(*arrays, _GAMMA, 0, values, best, policy)
            done += 1
            if sweeps is None and (
                best[self.state] > 0 or np.count_nonzero(best) == np.count_nonzero(values)
            ):
                sweeps, most = 0, min(most, done + _BEYOND)
            values, best = best, values
        return values.tolist(), policy.tolist()

    def follow(self, reward: npt.NDArray[np.float64]) -> None:
        """Act as is best by the model with these rewards of its pairs."""
        _, policy = self.plan(reward, 100)
        self.reset(None)
        for _ in range(_FOLLOWED):
            self.step(self.state * self.n_actions + policy[self.state])

    # ---- what comes up

    def reset(self, seed: int | None) -> None:
        """Begin an episode."""
        self.doing = "reset"
        observation, info = self.env.reset() if seed is None else self.env.reset(seed=seed)
        if self.masks and isinstance(info, dict) and MASK in info:
            raise _Against(f"its info has an {MASK}, which P does not hold")
        self.state = self.encoder.state_of(observation)
        self.starts[self.state] += 1
        if not self.model.start[self.state] > 0:
            raise _Against(f"reset begins in state {self.state}, where initial_state_distrib is 0")

    def step(self, pair: int) -> None:
        """Try a pair."""
        self.doing = "step"
        action = self.encoder.first_action + pair % self.n_actions
        observation, reward, terminated, truncated, info = self.env.step(action)
        after, ends = self.encoder.state_of(observation), bool(terminated)
        if truncated:
            raise _Against(f"step truncates an episode by itself {self._at(pair)})")
        if isinstance(info, dict) and DISCOUNT in info:
            raise _Against(f"step says a discount {self._at(pair)}), which P does not hold")
        self.counts[self.outcome(pair, after, ends, float(reward))] += 1
        self.tries[pair] += 1
        self.steps += 1
        self.state = after
        if ends:
            self.reset(None)

    def outcome(self, pair: int, after: int, ends: bool, reward: float) -> int:
        """Return which outcome of a pair came up."""
        own = range(self.offsets[pair], self.offsets[pair + 1])
        for k in own:
            there, end, pays = self.outcomes[k]
            if there == after and end == ends and math.isclose(pays, reward, rel_tol=_CLOSE, abs_tol=1e-9):
                return k
        listed = [self.outcomes[k] for k in own]
        paid = [pays for there, end, pays in listed if there == after and end == ends]
        if paid:
            raise _Against(
                f"step pays other rewards than P {self._at(pair)}: {reward:.7g}, not {_either(paid)})"
            )
        there = {successor for successor, *_ in listed}
        if after in there:
            does = "ends an episode where P does not" if ends else "does not end an episode where P does"
            raise _Against(f"step {does} {self._at(pair)}, to state {after})")
        raise _Against(
            f"step leads elsewhere than P {self._at(pair)}: to state {after}, not {_either(there)})"
        )

    def _at(self, pair: int) -> str:
        state, action = divmod(pair, self.n_actions)
        return f"(state {state}, action {action + self.encoder.first_action}"

    # ---- how often

    def weigh_starts(self) -> None:
        """Raise if the episodes began in other proportions than the model's."""
        known = zip(self.starts, self.model.start.tolist(), strict=True)
        counts, chances = zip(*((count, chance) for count, chance in known if chance > 0), strict=True)
        if _evidence(counts, chances) > _UNLIKELY:
            raise _Against("reset begins in other states than initial_state_distrib says")

    def weigh(self) -> None:
        """Raise if the outcomes came up in other proportions than the model's, of one pair or of all that are alike."""
        by_pair: dict[int, float] = {}
        alike: dict[tuple[float, ...], list[int]] = {}
        for pair in np.flatnonzero(np.diff(self.model.offsets) > 1).tolist():
            counts, chances = self.counts_of(pair), self.chances_of(pair)
            by_pair[pair] = _evidence(counts, chances)
            key = (float(pair % self.n_actions), *chances)
            alike[key] = [a + b for a, b in zip(alike.get(key, [0] * len(counts)), counts, strict=True)]
        ways = [list(by_pair.values()), [_evidence(counts, key[1:]) for key, counts in alike.items()]]
        found = [way for each in ways if each for way in (sum(each), _mean_of_exponentials(each))]
        if found and _mean_of_exponentials(found) > _UNLIKELY:
            pair = max(by_pair, key=by_pair.__getitem__)
            chances = tuple(float(f"{chance:.3g}") for chance in self.chances_of(pair))
            raise _Against(
                f"step has other probabilities than P {self._at(pair)}: outcomes of {chances} came up "
                f"{self.counts_of(pair)} times)"
            )

    def counts_of(self, pair: int) -> tuple[int, ...]:
        """Return how often each outcome of a pair came up."""
        return tuple(self.counts[self.offsets[pair] : self.offsets[pair + 1]])

    def chances_of(self, pair: int) -> tuple[float, ...]:
        """Return how likely each outcome of a pair is by the model."""
        return tuple(self.model.probability[self.offsets[pair] : self.offsets[pair + 1]].tolist())


def _evidence(counts: Sequence[int], chances: Sequence[float]) -> float:
    """Return the logarithm of how much likelier counts are by unknown chances than by these.

    Unknown ones are those of Jeffreys' prior, as Krichevsky and Trofimov have it.
    """
    k, n = len(counts), sum(counts)
    unknown = math.lgamma(0.5 * k) - math.lgamma(n + 0.5 * k) - k * math.lgamma(0.5)
    unknown += sum(math.lgamma(count + 0.5) for count in counts)
    return unknown - sum(
        count * math.log(chance) for count, chance in zip(counts, chances, strict=True) if count
    )


def _mean_of_exponentials(logarithms: Sequence[float]) -> float:
    """Return the logarithm of the mean of what has these logarithms."""
    most = max(logarithms)
    return most + math.log(sum(math.exp(x - most) for x in logarithms) / len(logarithms))


def _either(values: Iterable[float]) -> str:
    """Return the different ones of some numbers, in words."""
    return " or ".join(f"{value:.7g}" for value in sorted(set(values)))
