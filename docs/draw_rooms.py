"""Draw the rooms of the package, from the table that the tests hold the code against: ``python -m docs.draw_rooms``.

Floors stand on each other; an arrow goes to a room that is imported, unless another arrow leads there on the way.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from tests.rooms import ROOMS, floors

TARGET = Path(__file__).with_name("rooms.svg")
PACKAGE = Path(__file__).parents[1] / "cdq"

WIDTH, BOX, HEIGHT, GAP, FLOOR = 880, 198, 92, 20, 136
IN_A_ROW = 4  # boxes side by side; a floor with more has several rows
GROUND = ("errors", "core")  # nearly every room stands on these: arrows to them would say little
LINE = 27  # characters of a purpose in one line of a box


def places() -> dict[str, tuple[float, float]]:
    """Return the upper left corner of each room's box, the highest floor on top."""
    floor = floors()
    rows = []
    for level in range(max(floor.values()), 0, -1):
        names = [name for name in ROOMS if floor[name] == level]
        rows += [names[first : first + IN_A_ROW] for first in range(0, len(names), IN_A_ROW)]
    corners = {}
    for line, row in enumerate(rows):
        left = (WIDTH - len(row) * BOX - (len(row) - 1) * GAP) / 2
        for column, name in enumerate(row):
            corners[name] = (left + column * (BOX + GAP), 20.0 + line * FLOOR)
    return corners


def direct(name: str) -> list[str]:
    """Return the rooms that a room imports and that no other of its imports leads to, but for the ground."""
    imports = [below for below in ROOMS if below in ROOMS[name].imports and below not in GROUND]
    return [below for below in imports if not any(below in ROOMS[other].imports for other in imports)]


def lines_of(text: str) -> list[str]:
    """Return a text in lines that fit in a box."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if len(joined) > LINE:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def box(name: str, x: float, y: float) -> str:
    """Return a room: its name, and its purpose below."""
    folder = (PACKAGE / name).is_dir()
    texts = [
        f'<text x="{x + BOX / 2}" y="{y + 44 + 17 * line}" class="purpose">{escape(text)}</text>'
        for line, text in enumerate(lines_of(ROOMS[name].purpose))
    ]
    kind = "folder" if folder else "file"
    title = f'<text x="{x + BOX / 2}" y="{y + 24}" class="name">{name}{"/" if folder else ".py"}</text>'
    return "\n".join(
        [f'<rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="8" class="{kind}"/>', title, *texts]
    )


def arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return a curve from the lower edge of a box to the upper edge of another."""
    (x1, y1), (x2, y2) = (start[0] + BOX / 2, start[1] + HEIGHT), (end[0] + BOX / 2, end[1])
    bend = (y2 - y1) / 2
    return f'<path d="M{x1} {y1} C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2 - 6}" marker-end="url(#head)"/>'


def draw() -> str:
    """Return the map as SVG."""
    corners = places()
    arrows = [arrow(corners[name], corners[below]) for name in ROOMS for below in direct(name)]
    boxes = [box(name, *corner) for name, corner in corners.items()]
    height = max(y for _, y in corners.values()) + HEIGHT + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">',
            "<title>The rooms of cdq, and which imports which</title>",
            "<style>rect{stroke:#51657a;stroke-width:1.2}.folder{fill:#e8f0fa}.file{fill:#f7f3e6}"
            "text{font-family:sans-serif;text-anchor:middle;fill:#1d2733}.name{font-size:18px;font-weight:bold}"
            ".purpose{font-size:14px}path{fill:none;stroke:#8a9bad;stroke-width:1.2}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0 L8 4 L0 8 z" style="fill:#8a9bad;stroke:none"/></marker></defs>',
            f'<rect x="0" y="0" width="{WIDTH}" height="{height:g}" style="fill:#ffffff;stroke:none"/>',
            *arrows,
            *boxes,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
