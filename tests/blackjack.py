"""Blackjack-v1's rules (sab: a natural wins against all but another) without Gymnasium, for many hands at once."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

STICK, HIT = 0, 1
CARDS = [(card, (4 if card == 10 else 1) / 13) for card in range(1, 11)]
N_STATES = 32 * 11 * 2

Policy = npt.NDArray[Any]  # an action for each state, by index


def index_of(total: Any, shown: Any, ace: Any) -> Any:
    """Return the index of (player's sum, dealer's card, usable ace), by mixed radix."""
    return (total * 11 + shown) * 2 + ace


def total_of(points: int, has_ace: bool) -> tuple[int, int]:
    """Return the sum of a hand whose aces count 1, and whether one of them may count 11."""
    usable = has_ace and points + 10 <= 21
    return points + 10 * usable, int(usable)


@cache
def dealer_scores(points: int, has_ace: bool) -> dict[int, float]:
    """Return how likely each score of the dealer is, 0 for a bust, from a hand of which *points* count aces as 1."""
    total, _ = total_of(points, has_ace)
    if total >= 17:
        return {total if total <= 21 else 0: 1.0}
    scores: dict[int, float] = {}
    for card, chance in CARDS:
        for score, p in dealer_scores(points + card, has_ace or card == 1).items():
            scores[score] = scores.get(score, 0.0) + chance * p
    return scores


def value_of_sticking(total: int, shown: int, natural: bool) -> float:
    """Return the expected reward."""
    if natural:
        return 1.0 - {1: 4 / 13, 10: 1 / 13}.get(shown, 0.0)
    return sum(
        p * ((total > score) - (total < score)) for score, p in dealer_scores(shown, shown == 1).items()
    )


def expected_return(policy: Policy | None) -> float:
    """Return the expected return of a policy, exactly; of the best one without it."""

    @cache
    def value(points: int, has_ace: bool, shown: int, natural: bool) -> float:
        if points > 21:
            return -1.0
        total, ace = total_of(points, has_ace)
        stick = value_of_sticking(total, shown, natural)
        if policy is not None and policy[index_of(total, shown, ace)] == STICK:
            return stick
        hit = sum(p * value(points + card, has_ace or card == 1, shown, False) for card, p in CARDS)
        return hit if policy is not None else max(stick, hit)

    return sum(
        p * q * r * value(one + other, 1 in (one, other), shown, {one, other} == {1, 10})
        for one, p in CARDS
        for other, q in CARDS
        for shown, r in CARDS
    )


class Hands:
    """Many games at once: points of which aces count 1, whether there are aces, and whether a hand is a natural."""

    def __init__(self, n: int, random: np.random.Generator) -> None:
        self.random = random
        one, other, self.shown = cards(n, random), cards(n, random), cards(n, random)
        self.points, self.aces = one + other, (one == 1) | (other == 1)
        self.natural = self.aces & (self.points == 11)

    def states(self, games: Any) -> Any:
        usable = self.aces[games] & (self.points[games] <= 11)
        return index_of(self.points[games] + 10 * usable, self.shown[games], usable)

    def hit(self, games: Any) -> Any:
        """Draw a card each; return which are bust."""
        drawn = cards(len(games), self.random)
        self.points[games] += drawn
        self.aces[games] |= drawn == 1
        self.natural[games] = False
        return self.points[games] > 21

    def stick(self, games: Any) -> Any:
        """Let the dealers draw; return the rewards."""
        shown, hidden = self.shown[games], cards(len(games), self.random)
        aces = (shown == 1) | (hidden == 1)
        dealer_natural = aces & (shown + hidden == 11)
        own = self.points[games] + 10 * (self.aces[games] & (self.points[games] <= 11))
        rewards = np.sign(own - dealt(shown + hidden, aces, self.random)).astype(np.float64)
        return np.where(self.natural[games] & ~dealer_natural, 1.0, rewards)


def play(policy: Policy, n: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Play *n* games by *policy* and return their rewards."""
    hands, playing, rewards = Hands(n, random), np.arange(n), np.full(n, -1.0)
    while len(playing):
        chosen = policy[hands.states(playing)]
        stuck, playing = playing[chosen == STICK], playing[chosen == HIT]
        rewards[stuck] = hands.stick(stuck)
        playing = playing[~hands.hit(playing)]
    return rewards


def random_play(n: int, random: np.random.Generator) -> list[npt.NDArray[Any]]:
    """Play *n* games at random; return states, actions, rewards, next states and terminations."""
    hands, playing, columns = Hands(n, random), np.arange(n), []
    while len(playing):
        states, hits = hands.states(playing), random.random(len(playing)) < 0.5
        stuck, playing = playing[~hits], playing[hits]
        over = np.ones(len(stuck), np.bool_)
        columns.append(
            (states[~hits], np.zeros(len(stuck), np.int64), hands.stick(stuck), states[~hits], over)
        )
        bust = hands.hit(playing)
        successors = np.where(bust, states[hits], hands.states(playing) * ~bust)
        columns.append((states[hits], np.ones(len(playing), np.int64), -1.0 * bust, successors, bust))
        playing = playing[~bust]
    return [np.concatenate(column) for column in zip(*columns, strict=True)]


def cards(n: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw cards."""
    return np.minimum(random.integers(1, 14, n), 10)


def dealt(points: Any, aces: Any, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw for dealers until they have 17; return their scores, 0 for a bust."""
    while True:
        total = points + 10 * (aces & (points <= 11))
        drawing = np.flatnonzero(total < 17)
        if not len(drawing):
            return np.where(total <= 21, total, 0)
        drawn = cards(len(drawing), random)
        points[drawing] += drawn
        aces[drawing] |= drawn == 1
