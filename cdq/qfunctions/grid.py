"""Policies on the grid that a model's states are the cells of: aims of actions, kinds of cells, lines of arrows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cdq.contracts import Model

# Moves on a grid, (rows, columns), clockwise from up, and how they are drawn.
MOVES = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
ARROWS = "↑↗→↘↓↙←↖"
ASCII_ARROWS = "^/>\\v/<\\"
BEST_END, END, UNUSED = "G", "H", "."
LEGEND = "G: ends with the best reward, H: ends with less, .: no episode acts here"


def policy_lines(model: Model, policy: npt.NDArray[np.int64], arrows: str = ARROWS) -> list[str]:
    """Return the policy as one line of arrows per row of the grid; none if the model is no grid.

    An arrow shows where an action aims: the move that, over all states, is likelier than its opposite by the
    most. Cells in which episodes end are G where the reward for it is the greatest, else H; cells in which no
    episode acts are dots.
    """
    if model.grid is None:
        return []
    cells = np.array(signs(model, policy, arrows)).reshape(model.grid)
    return [" ".join(row) for row in cells.tolist()]


def signs(model: Model, policy: npt.NDArray[np.int64], arrows: str = ARROWS) -> list[str]:
    """Return the sign of each cell: an arrow, the number of an action without direction, or the kind of the cell."""
    names = symbols(model, arrows)
    return [kind or names[action] for kind, action in zip(kinds(model), policy.tolist(), strict=True)]


def symbols(model: Model, arrows: str = ARROWS) -> list[str]:
    """Return the sign of each action: an arrow, or its number where it has no direction."""
    return [str(action) if aim is None else arrows[aim] for action, aim in enumerate(aims(model))]


def kinds(model: Model) -> list[str]:
    """Return the kind of each cell: `BEST_END`, `END` or `UNUSED`, or "" where episodes act."""
    acted_in, ends = model.reachable(), _rewards_for_ending(model)
    best = max(ends.values(), default=0.0)

    def kind(state: int) -> str:
        if acted_in[state]:
            return ""
        if state in ends:
            return BEST_END if ends[state] == best else END
        return UNUSED

    return list(map(kind, range(model.n_states)))


def aims(model: Model) -> list[int | None]:
    """Return the number of the move that each action aims at; None where it has no direction, or there is no grid."""
    if model.grid is None:
        return [None] * model.n_actions
    pair = _pair_of_outcome(model)
    row, column = np.divmod(model.next_state, model.grid[1])
    from_row, from_column = np.divmod(pair // model.n_actions, model.grid[1])
    found: list[int | None] = []
    for action in range(model.n_actions):
        weight = np.where(pair % model.n_actions == action, model.probability, 0.0)
        chance = [
            float(weight[(row - from_row == down) & (column - from_column == right)].sum())
            for down, right in MOVES
        ]
        # The difference: slips to both sides cancel. Jumps, such as a fall back to the start, are no moves.
        excess = [chance[move] - chance[(move + 4) % 8] for move in range(8)]
        aim = int(np.argmax(excess))
        found.append(aim if excess[aim] > 0 else None)
    return found


def _rewards_for_ending(model: Model) -> dict[int, float]:
    """Return the best reward for ending in each state that no episode acts in."""
    ends: dict[int, float] = {}
    acted_in = model.reachable()
    acted_from = acted_in[_pair_of_outcome(model) // model.n_actions]
    for outcome in np.flatnonzero(model.terminated & acted_from & ~acted_in[model.next_state]):
        state, reward = int(model.next_state[outcome]), float(model.reward[outcome])
        ends[state] = max(reward, ends.get(state, reward))
    return ends


def _pair_of_outcome(model: Model) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(model.n_pairs), np.diff(model.offsets))
