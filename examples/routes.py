"""Plan routes between any two places of a building: every step teaches how to reach every place.

Four rooms of 104 cells, joined by four doors. A robot walks at random; each cell is a goal, and each step updates the
values of all 104. The way between any two cells is then read off the table.
"""

import numpy as np
from matplotlib import pyplot

import cdq

PLAN = """
#############
#     #     #
#     #     #
#           #
#     #     #
#     #     #
## ####     #
#     ### ###
#     #     #
#     #     #
#           #
#     #     #
#############
""".strip().splitlines()
CELLS = [(row, column) for row in range(13) for column in range(13) if PLAN[row][column] == " "]
NUMBER = {cell: number for number, cell in enumerate(CELLS)}
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))


def moved(cell: int, action: int) -> int:
    """Return the cell that a move leads to: the same one, at a wall."""
    row, column = CELLS[cell]
    down, right = MOVES[action]
    return NUMBER.get((row + down, column + right), cell)


def building() -> cdq.MDP:
    """Return the building as a model, in which nothing is paid and nothing ends."""
    return cdq.MDP.from_function(lambda cell, action: [(1.0, moved(cell, action), 0.0)], len(CELLS), 4)


def distances() -> np.ndarray:
    """Return the steps between any two cells, (from, to), by relaxation."""
    steps = np.full((len(CELLS), len(CELLS)), len(CELLS))
    np.fill_diagonal(steps, 0)
    following = np.array([[moved(cell, action) for action in range(4)] for cell in range(len(CELLS))])
    for _ in CELLS:
        steps = np.minimum(steps, 1 + steps[following].min(axis=1))
    return steps


def main() -> None:
    agent = cdq.QLearner(
        building(), tasks=cdq.Goals("all"), gamma=0.95, step_size=1.0, exploration=1.0, num_envs=1, seed=0
    )
    agent.learn(20_000)
    steps, shortest, routes = distances(), 0, len(CELLS) * (len(CELLS) - 1)
    for goal, table in agent.tables.items():
        after = [moved(cell, action) for cell, action in enumerate(table.policy())]
        shortest += int((steps[after, goal] == steps[:, goal] - 1).sum())
    print(
        f"{agent.steps:,} steps, {len(CELLS)} goals: {shortest / routes:.3f} of {routes:,} routes are shortest"
    )
    here, goal = NUMBER[1, 1], NUMBER[11, 11]
    way = [CELLS[here]]
    while here != goal:
        here = moved(here, agent.predict(here, goal))
        way.append(CELLS[here])
    print(f"from corner to corner: {len(way) - 1} steps, the shortest way {steps[NUMBER[1, 1], goal]}")
    ax = pyplot.figure(figsize=(4, 4), layout="constrained").add_subplot()
    ax.imshow([[tile == "#" for tile in line] for line in PLAN], cmap="Greys")
    ax.plot([column for _, column in way], [row for row, _ in way], "o-")
    ax.set(title="a way that was never walked in learning", xticks=[], yticks=[])
    ax.figure.savefig("routes.svg")


if __name__ == "__main__":
    main()
