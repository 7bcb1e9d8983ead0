"""Slow, obvious planning: loops over outcomes, in extended precision where numpy has it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cdq.mdp.model import MDP


def random_model(
    seed: int, *, n_states: int = 5, n_actions: int = 3, ends: float = 0.3, reward: float = 1.0
) -> MDP:
    """Make a small model; each outcome ends with probability *ends*."""
    random = np.random.default_rng(seed)
    state, action, successor = np.indices((n_states, n_actions, n_states)).reshape(3, -1)
    kept = random.random(len(state)) < 0.6
    kept[successor == state] |= random.random(np.count_nonzero(successor == state)) < 0.5
    kept |= successor == (state + action) % n_states  # at least one each
    weight = random.exponential(size=len(state)) * kept
    weight = weight.reshape(-1, n_states)
    probability = (weight / weight.sum(axis=1, keepdims=True)).ravel()
    return MDP.from_outcomes(
        state,
        action,
        successor,
        probability,
        random.normal(size=len(state)) * reward,
        random.random(len(state)) < ends,
        n_states=n_states,
        n_actions=n_actions,
    )


def dense(model: MDP) -> tuple[NDArray[np.longdouble], NDArray[np.longdouble]]:
    """Return mean rewards (n_pairs,) and the matrix (n_pairs, n_states) of going on, outcome by outcome."""
    rewards = np.zeros(model.n_pairs, np.longdouble)
    onward = np.zeros((model.n_pairs, model.n_states), np.longdouble)
    for pair in range(model.n_pairs):
        for k in range(model.offsets[pair], model.offsets[pair + 1]):
            probability = np.longdouble(model.probability[k])
            rewards[pair] += probability * np.longdouble(model.reward[k])
            if not model.terminated[k]:
                onward[pair, model.next_state[k]] += probability
    return rewards, onward


def value_iteration(model: MDP, gamma: float, sweeps: int = 100_000) -> NDArray[np.longdouble]:
    """Return Q* (n_states, n_actions): sweeps until nothing changes any more."""
    rewards, onward = dense(model)
    values = np.zeros(model.n_states, np.longdouble)
    discount = np.longdouble(gamma)
    for _ in range(sweeps):
        table = (rewards + discount * (onward @ values)).reshape(model.n_states, model.n_actions)
        if np.abs(table.max(axis=1) - values).max() <= 1e-18 * np.abs(values).max():
            break
        values = table.max(axis=1)
    return table


def policy_values(model: MDP, policy: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Return the values of a stochastic policy (n_states, n_actions) by a dense linear solve."""
    rewards, onward = (part.astype(np.float64) for part in dense(model))
    mixed = policy[:, :, None] * onward.reshape(model.n_states, model.n_actions, model.n_states)
    reward = (policy * rewards.reshape(policy.shape)).sum(axis=1)
    return np.linalg.solve(np.eye(model.n_states) - gamma * mixed.sum(axis=1), reward)


def reachable(model: MDP) -> NDArray[np.bool_]:
    """Return the states in which an episode can take an action."""
    seen = set(np.flatnonzero(model.start).tolist())
    queue = list(seen)
    while queue:
        state = queue.pop()
        for k in range(model.offsets[state * model.n_actions], model.offsets[(state + 1) * model.n_actions]):
            if not model.terminated[k] and int(model.next_state[k]) not in seen:
                seen.add(int(model.next_state[k]))
                queue.append(int(model.next_state[k]))
    return np.isin(np.arange(model.n_states), list(seen))
