"""Draw the pictures of the explanations: ``python -m docs.draw_explanations``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

TARGET = Path(__file__).with_name("pictures")

INK, GREY, BLUE, ORANGE, GREEN, RED = "#1d2733", "#8a9bad", "#0072b2", "#e69f00", "#009e73", "#d55e00"
PALE = {BLUE: "#d6e8f5", ORANGE: "#fbeccd", GREEN: "#d3eee4", GREY: "#eef1f4", RED: "#f8dfd0"}
STYLE = (
    f"text{{font-family:sans-serif;fill:{INK};font-size:15px}}.middle{{text-anchor:middle}}"
    ".small{font-size:13px}.name{font-weight:bold}path,line,polyline{fill:none}"
)


def picture(title: str, width: int, height: int, parts: Iterable[str]) -> str:
    """Return an SVG of these parts on white."""
    head = '<path d="M0 0 L8 4 L0 8 z" style="fill:context-stroke;stroke:none"/>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto">{head}</marker></defs>',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def box(x: float, y: float, width: float, height: float, colour: str, *lines: str) -> str:
    """Return a box with lines of text in its middle."""
    first = y + height / 2 + 5 - 9 * (len(lines) - 1)
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" fill="{PALE[colour]}" '
        + (f'stroke="{colour}" stroke-width="1.4"/>')
        + "".join(text(x + width / 2, first + 18 * line, words) for line, words in enumerate(lines))
    )


def text(x: float, y: float, words: str, kind: str = "middle", colour: str = INK) -> str:
    """Return words at a place; *kind* is their class."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" style="fill:{colour}">{escape(words)}</text>'


def arrow(x1: float, y1: float, x2: float, y2: float, colour: str = GREY, *, dashed: bool = False) -> str:
    """Return an arrow."""
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" stroke-width="1.6"'
        f'{dashes} marker-end="url(#head)"/>'
    )


def line(points: Iterable[tuple[float, float]], colour: str, width: float = 2.2) -> str:
    """Return a line through points."""
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{joined}" stroke="{colour}" stroke-width="{width}"/>'


def a_round() -> str:
    """Return two rounds of three workers."""
    parts = [text(20, 26, "time runs to the right", "small", GREY)]
    for rank in range(3):
        y = 50 + 62 * rank
        parts.append(text(20, y + 26, f"worker {rank}", "name"))
        for start in (110, 450):
            parts.append(box(start, y, 200, 42, BLUE, "window: acts and learns"))
            parts.append(arrow(start + 202, y + 21, start + 246, 133 + 22 * (rank - 1)))
            parts.append(arrow(start + 296, 133 + 22 * (rank - 1), start + 338, y + 21))
    for start in (110, 450):
        parts.append(box(start + 248, 88, 46, 90, ORANGE, "merge"))
    parts += [
        text(790, 117, "the same table", "small"),
        text(790, 135, "for all workers", "small"),
        text(210, 252, "1. Every worker learns on its own copy of the table.", "small"),
        text(210, 272, "2. The touched pairs of all workers become one value each.", "small"),
        text(
            210, 292, "3. All go on from the merged table. A round that fails is undone as a whole.", "small"
        ),
    ]
    return picture("Two rounds of three workers", 900, 310, parts)


def communicators() -> str:
    """Return the three communicators side by side."""
    parts = []
    for left, title in ((20, "threads"), (320, "MPI ranks"), (620, "a hub of ZeroMQ")):
        parts.append(text(left + 130, 30, title, "middle name"))
    parts.append(f'<rect x="20" y="45" width="260" height="190" rx="8" fill="none" stroke="{GREY}"/>')
    parts.append(text(150, 65, "one process", "middle small", GREY))
    for rank in range(3):
        parts.append(box(34 + 80 * rank, 80, 72, 50, BLUE, f"worker {rank}"))
        parts.append(arrow(70 + 80 * rank, 132, 150 + 20 * (rank - 1), 172))
    parts.append(box(60, 174, 180, 44, ORANGE, "shared memory"))
    for node in range(2):
        x = 320 + 135 * node
        parts.append(f'<rect x="{x}" y="45" width="125" height="190" rx="8" fill="none" stroke="{GREY}"/>')
        parts.append(text(x + 62, 65, f"machine {node}", "middle small", GREY))
        parts += [box(x + 20, y, 86, 50, BLUE, f"rank {2 * node + k}") for k, y in enumerate((80, 165))]
    parts += [line([(383, 130), (383, 165)], ORANGE), line([(518, 130), (518, 165)], ORANGE)]
    parts += [line([(426, 105), (475, 105)], ORANGE), line([(426, 190), (475, 190)], ORANGE)]
    parts.append(line([(426, 130), (475, 165)], ORANGE))
    parts.append(line([(426, 165), (475, 130)], ORANGE))
    parts.append(box(700, 60, 100, 50, ORANGE, "hub"))
    for k, (name, colour) in enumerate((("worker", BLUE), ("worker", BLUE), ("joins", GREEN))):
        parts.append(box(622 + 88 * k, 175, 78, 50, colour, name))
        parts.append(arrow(661 + 88 * k, 173, 735 + 15 * k, 114, colour, dashed=colour == GREEN))
    parts += [
        text(150, 262, "start and end together", "middle small"),
        text(450, 262, "start and end together, on a cluster", "middle small"),
        text(750, 262, "come, go, fail and come back", "middle small"),
    ]
    return picture("Three communicators", 900, 280, parts)


def hub() -> str:
    """Return a hub's job while workers and the hub itself are killed."""
    parts = [box(90, 24, 330, 34, ORANGE, "hub"), box(520, 24, 340, 34, ORANGE, "hub, started again")]
    parts += [text(470, 47, "killed", "middle small", RED), text(20, 47, "hub", "name")]
    spans = (
        ("a", [(90, 860)]),
        ("b", [(90, 250), (330, 860)]),
        ("c", [(200, 620)]),
        ("d", [(560, 860)]),
    )
    for row, (name, alive) in enumerate(spans):
        y = 96 + 44 * row
        parts.append(text(20, y + 5, f"worker {name}", "name"))
        for start, end in alive:
            parts.append(line([(start, y), (end, y)], BLUE, 7))
    parts += [
        text(290, 132, "killed, back", "middle small", RED),
        text(192, 189, "joins", "end small", GREEN),
        text(628, 189, "killed: its window is not counted", "start small", RED),
        text(552, 233, "joins", "end small", GREEN),
    ]
    for x in (140, 200, 265, 330, 390, 560, 620, 690, 760, 830):
        parts.append(f'<line x1="{x}" y1="60" x2="{x}" y2="246" stroke="{ORANGE}" stroke-dasharray="2 4"/>')
    parts.append(
        text(475, 272, "Dotted lines are rounds: each happens wholly or not at all,", "middle small")
    )
    parts.append(text(475, 290, "and is on the disk before it is acknowledged.", "middle small"))
    style = "<style>.end{text-anchor:end}</style>"
    return picture("A job whose workers and hub are killed", 900, 305, [style, *parts])


def tiles() -> str:
    """Return two tilings of a square, and the tiles of one observation."""
    parts, side, point = [], 60, (232.0, 118.0)
    for left, top, colour, name in ((40, 30, BLUE, "first tiling"), (64, 54, ORANGE, "second, shifted")):
        column, row = int((point[0] - left) // side), int((point[1] - top) // side)
        parts.append(
            f'<rect x="{left + column * side}" y="{top + row * side}" width="{side}" height="{side}" '
            f'fill="{colour}" fill-opacity="0.25"/>'
        )
        for k in range(5):
            parts.append(line([(left + k * side, top), (left + k * side, top + 4 * side)], colour, 1.6))
            parts.append(line([(left, top + k * side), (left + 4 * side, top + k * side)], colour, 1.6))
        parts.append(text(360, 60 if colour == BLUE else 84, name, "name", colour))
    parts.append(f'<circle cx="{point[0]}" cy="{point[1]}" r="5" fill="{INK}"/>')
    parts += [
        text(360, 130, "An observation lies in one tile of each tiling.", "start"),
        text(360, 156, "Its value is the sum of the weights of these tiles.", "start"),
        text(360, 182, "Neighbours share some tiles, and so learn from each other;", "start"),
        text(360, 208, "far observations share none.", "start"),
    ]
    return picture("Tile coding with two tilings", 820, 325, parts)


def mass() -> str:
    """Return how much a round gains by the pooled mass of its windows."""
    left, bottom, wide, high = 80, 250, 560, 200
    at = [
        (left + wide * mass / 3, bottom - high * (1 - math.exp(-mass)))
        for mass in [k / 50 for k in range(151)]
    ]
    straight = [(left, bottom), (left + wide / 3, bottom - high)]
    parts = [
        line([(left, bottom - high), (left, bottom), (left + wide, bottom)], INK, 1.4),
        line(straight, GREY, 1.6),
        line(at, BLUE, 2.6),
        text(
            left + wide / 2, bottom + 44, "pooled mass of a window: the step sizes of all workers, summed up"
        ),
        text(left - 10, bottom - high + 5, "all", "end small"),
        text(left - 10, bottom + 5, "none", "end small"),
        text(left, bottom - high - 18, "part of the way to its targets that a round goes", "start small"),
        text(left + wide / 3 + 12, bottom - high + 8, "as many steps in small windows", "start small", GREY),
        text(left + wide - 4, bottom - high * 0.95 - 22, "one window", "end small", BLUE),
    ]
    for value in (1, 2, 3):
        parts.append(text(left + wide * value / 3, bottom + 20, str(value), "middle small"))
    x, y = left + wide * 0.1, bottom - high * (1 - math.exp(-0.3))
    parts.append(f'<circle cx="{x:g}" cy="{y:.1f}" r="6" fill="{ORANGE}"/>')
    parts.append(text(x + 14, y + 16, "automatic windows: 0.3", "start small", RED))
    return picture(
        "Gain of a round by its pooled mass", 700, 310, ["<style>.end{text-anchor:end}</style>", *parts]
    )


ROOMS = """
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


def ways_to(goal: tuple[int, int]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return the next cell on a shortest way to a goal, from each cell of the four rooms."""
    onward, edge = {goal: goal}, [goal]
    while edge:
        row, column = edge.pop(0)
        for cell in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            if ROOMS[cell[0]][cell[1]] == " " and cell not in onward:
                onward[cell] = (row, column)
                edge.append(cell)
    return onward


def tasks() -> str:
    """Return four rooms, and one step in them that teaches the ways to two goals."""
    parts, side = [], 22
    for left, goal, colour in ((20, (11, 11), BLUE), (330, (1, 10), GREEN)):
        onward = ways_to(goal)
        for row in range(13):
            for column in range(13):
                x, y = left + column * side, 20 + row * side
                if ROOMS[row][column] == "#":
                    parts.append(f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{GREY}"/>')
                elif (row, column) != goal:
                    down, right = onward[row, column][0] - row, onward[row, column][1] - column
                    middle = (x + side / 2 - 7 * right, y + side / 2 - 7 * down)
                    parts.append(arrow(*middle, middle[0] + 14 * right, middle[1] + 14 * down, colour))
        x, y = left + goal[1] * side, 20 + goal[0] * side
        parts.append(f'<circle cx="{x + side / 2}" cy="{y + side / 2}" r="8" fill="{colour}"/>')
    for left in (20, 330):
        parts.append(
            f'<rect x="{left + 3 * side}" y="{20 + 10 * side}" width="{2 * side}" height="{side}" fill="none" '
            f'stroke="{ORANGE}" stroke-width="3"/>'
        )
    parts.append(
        text(320, 332, "One step, framed, updates the values of both goals, and of all others.", "middle")
    )
    return picture("Ways to two goals in four rooms", 640, 350, parts)


PICTURES = {
    "round": a_round,
    "communicators": communicators,
    "hub": hub,
    "tiles": tiles,
    "mass": mass,
    "tasks": tasks,
}

if __name__ == "__main__":
    TARGET.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (TARGET / f"{name}.svg").write_text(draw(), encoding="utf-8")
