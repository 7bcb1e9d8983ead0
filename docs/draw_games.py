"""Draw the picture of the page on games, from runs that take some seconds: ``python -m docs.draw_games``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

import cdq
from docs.draw_pictures import GREY, STYLE

TARGET = Path(__file__).parent / "pictures" / "games.svg"
PLIES = (4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000)
COLOURS = {"won": "#3b7dbf", "drawn": "#8a8a8a", "lost": "#c4552d"}


def measured() -> list[tuple[int, Any, Any]]:
    """Return the results against random, and the worst ones, after so many plies."""
    agent = cdq.QLearner("cdq/TicTacToe-v0", opponent="self", seed=0)
    found = []
    for plies in PLIES:
        agent.learn(plies - agent.steps, verbose=0)
        found.append((agent.steps, agent.evaluate(1000, seed=0), agent.exploit()))
    return found


def draw() -> Any:
    """Return the figure: shares of games in either seat, and the plies from which on nobody wins against the table."""
    found = measured()
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
    for axis, seat in zip(axes, ("first", "second"), strict=True):
        of_seat = [getattr(match, seat) for _, match, _ in found]
        plies = [steps for steps, *_ in found]
        for name, field in (("won", "wins"), ("drawn", "draws"), ("lost", "losses")):
            axis.plot(
                plies, [getattr(one, field) for one in of_seat], color=COLOURS[name], marker="o", label=name
            )
        safe = [steps for steps, _, worst in found if getattr(worst, seat) == 0.0]
        axis.axvspan(min(safe), max(plies), color=GREY, alpha=0.15, lw=0, label="nobody beats it")
        axis.set_xscale("log")
        axis.set_title(f"{seat} seat", color=GREY, fontsize=11)
        axis.set_xlabel("plies of self-play")
    axes[0].set_ylabel("games against random")
    axes[1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


if __name__ == "__main__":
    with matplotlib.rc_context(STYLE):
        draw().savefig(TARGET, transparent=True, metadata={"Date": None})
