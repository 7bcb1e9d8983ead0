"""Planning in exact fractions: every deterministic policy of a small model, one linear system each."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np

from cdq.mdp.model import MDP

Row = list[Fraction]


def pair_of(model: MDP, state: int, action: int) -> tuple[Fraction, dict[int, Fraction]] | None:
    """Return the mean reward of a pair and the probability of going on to each state; None where it is missing."""
    first, last = model.offsets[state * model.n_actions + action :][:2]
    if first == last:
        return None
    reward, onward = Fraction(0), dict[int, Fraction]()
    for k in range(first, last):
        probability = Fraction(float(model.probability[k]))
        reward += probability * Fraction(float(model.reward[k]))
        if not model.terminated[k]:
            onward[int(model.next_state[k])] = onward.get(int(model.next_state[k]), Fraction(0)) + probability
    return reward, onward


def solve_linear(matrix: list[Row], right: Row) -> Row | None:
    """Return the solution of a linear system by elimination; None where it is singular."""
    n, rows = len(right), [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(n):
        pivot = next((i for i in range(column, n) if rows[i][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for i in range(n):
            if i != column and rows[i][column]:
                factor = rows[i][column] / rows[column][column]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[column], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def chain_of(model: MDP, policy: tuple[int, ...]) -> list[tuple[Fraction, dict[int, Fraction]]] | None:
    """Return the pairs that a policy takes; None where one is missing."""
    pairs = [pair_of(model, state, action) for state, action in enumerate(policy)]
    return None if None in pairs else pairs  # type: ignore[return-value]


def quiet_for_ever(
    chain: list[tuple[Fraction, dict[int, Fraction]]], model: MDP, policy: tuple[int, ...]
) -> set[int]:
    """Return the states after which the policy is never paid."""
    quiet = {
        state
        for state in range(model.n_states)
        if not model.reward[slice(*model.offsets[state * model.n_actions + policy[state] :][:2])].any()
    }
    while lost := {state for state in quiet if not set(chain[state][1]) <= quiet}:
        quiet -= lost
    return quiet


def values_of(model: MDP, policy: tuple[int, ...], gamma: Fraction) -> Row | None:
    """Return the values of a policy; None where it is missing, or never ends without discount and is paid."""
    chain = chain_of(model, policy)
    if chain is None:
        return None
    ended = quiet_for_ever(chain, model, policy)
    matrix = [[Fraction(int(i == j)) for j in range(model.n_states)] for i in range(model.n_states)]
    right = [Fraction(0)] * model.n_states
    for state, (reward, onward) in enumerate(chain):
        if state not in ended:
            right[state] = reward
            for successor, probability in onward.items():
                matrix[state][successor] -= gamma * probability
    return solve_linear(matrix, right)


def optimum(model: MDP, gamma: float) -> list[list[Fraction | None]]:
    """Return Q* of the best deterministic policy; None at missing pairs."""
    discount, best = Fraction(gamma), None
    for policy in product(range(model.n_actions), repeat=model.n_states):
        values = values_of(model, policy, discount)
        if values is not None:
            best = values if best is None else [max(a, b) for a, b in zip(best, values, strict=True)]
    assert best is not None
    return [
        [backup(model, state, action, best, discount) for action in range(model.n_actions)]
        for state in range(model.n_states)
    ]


def backup(model: MDP, state: int, action: int, values: Row, discount: Fraction) -> Fraction | None:
    """Return the value of a pair."""
    pair = pair_of(model, state, action)
    if pair is None:
        return None
    reward, onward = pair
    return reward + discount * sum((p * values[s] for s, p in onward.items()), Fraction(0))


def dyadic_model(
    seed: int, *, n_states: int = 4, n_actions: int = 2, rewards: list[float], ends: float = 0.3
) -> MDP:
    """Make a small model whose probabilities are halves and quarters, with rewards drawn from a list."""
    random = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, float, float, bool]] = []
    for state, action in product(range(n_states), range(n_actions)):
        split = [[1.0], [0.5, 0.5], [0.5, 0.25, 0.25]][random.integers(3)]
        for successor, p in zip(random.permutation(n_states), split, strict=False):
            reward = float(random.choice(rewards))
            rows.append((state, action, int(successor), p, reward, bool(random.random() < ends)))
    return MDP.from_outcomes(*map(list, zip(*rows, strict=True)), n_states=n_states, n_actions=n_actions)
