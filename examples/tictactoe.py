"""Learn tic-tac-toe by self-play until nobody can beat the table, and solve Nim.

A table of positions, as whoever moves sees them, is learnt from both sides at once. How good it is is not seen by
playing it against itself, which is one game again and again: `exploit` looks at every answer of every opponent.
"""

from __future__ import annotations

from matplotlib import pyplot

import cdq

PLIES, STEP = 768_000, 64_000


def until_unbeatable(seed: int) -> cdq.QLearner:
    """Return a learner of tic-tac-toe that no opponent beats."""
    agent = cdq.QLearner("cdq/TicTacToe-v0", opponent="self", workers=2, seed=seed)
    while agent.steps < PLIES:
        agent.learn(STEP)
        worst = agent.exploit()
        print(
            f"{agent.steps:>9,} plies: worst result moving first {worst.first:+.0f}, second {worst.second:+.0f}"
        )
        if worst == (0.0, 0.0):
            break
    return agent


def main() -> None:
    agent = until_unbeatable(seed=0)
    match = agent.evaluate(opponent="random", seed=0)
    for name, seat in (("first", match.first), ("second", match.second)):
        print(
            f"{name} seat against random: {seat.wins:.1%} won, {seat.draws:.1%} drawn, {seat.losses:.1%} lost"
        )

    ax = pyplot.figure(figsize=(6, 2), layout="constrained").add_subplot()
    left = [0.0, 0.0]
    for what in ("wins", "draws", "losses"):
        parts = [getattr(match.second, what), getattr(match.first, what)]
        ax.barh(["second seat", "first seat"], parts, left=left, label=what)
        left = [sum(pair) for pair in zip(left, parts, strict=True)]
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    ax.set_xlabel("part of the games against random moves")
    ax.figure.savefig("tictactoe.svg")

    nim = cdq.QLearner("cdq/Nim-v0", env_kwargs={"heaps": (7, 7, 7)}, opponent="self", gamma=1.0, seed=0)
    nim.learn(300_000)
    values = nim.table.values
    sizes = [(state // 64, state // 8 % 8, state % 8) for state in range(1, 512)]
    lost = [a ^ b ^ c == 0 for a, b, c in sizes]
    right = sum((values[state].max() < 0) == lost[state - 1] for state in range(1, 512))
    print(f"Nim 7, 7, 7: {right} of 511 positions are known for won or lost")


if __name__ == "__main__":
    main()
