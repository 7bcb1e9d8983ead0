"""The rooms of the package: purpose of each, and the rooms that it may import.

A room is a folder, or a file directly in the package. `test_layout.py` holds the code against this table, and
`docs/draw_rooms.py` draws it.
"""

from __future__ import annotations

from typing import NamedTuple


class Room(NamedTuple):
    """A room: its purpose, and the rooms that it may import."""

    purpose: str
    imports: frozenset[str]


def _room(purpose: str, imports: str = "") -> Room:
    return Room(purpose, frozenset(imports.split()))


# From the ground up: a room imports rooms that stand before it.
ROOMS = {
    "errors": _room("typed errors, and the checks that raise them"),
    "_version": _room("the version"),
    "core": _room("compiled loops over buffers; knows only itself"),
    "contracts": _room("seams between rooms: protocols, and blocks of a table", "core errors"),
    "schedules": _room("step sizes, exploration rates, lengths of windows", "core errors"),
    "merges": _room("merge rules", "core errors"),
    "rules": _room("update rules, by name", "errors"),
    "features": _room("features of linear Q-functions", "core errors"),
    "comm": _room("communicators: bytes between ranks, nothing of learning", "core errors"),
    "storage": _room("safe files, and directories of checkpoints", "errors _version"),
    "testing": _room("conformance suite for communicators of others", "comm errors"),
    "envs": _room("Gymnasium's side: spaces and stepping", "contracts core features schedules errors"),
    "qfunctions": _room(
        "Q-functions: dense and hashed tables, linear functions",
        "contracts comm core features storage rules errors",
    ),
    "settings": _room(
        "the one table of hyper-parameters, light enough for help",
        "qfunctions features schedules rules merges errors",
    ),
    "mdp": _room("a finite model, and exact answers on it", "qfunctions envs contracts core storage errors"),
    "workers": _room("one worker, and one round of merging", "qfunctions comm contracts core errors"),
    "offline": _room(
        "logged transitions: read, checked, replayed", "qfunctions schedules contracts core errors"
    ),
    "training": _room(
        "a call of learn: task, course, monitor, checkpoints, threads",
        "settings workers offline mdp qfunctions storage comm schedules contracts core errors",
    ),
    "job": _room(
        "a hub's job: members, journal, replay",
        "training settings workers mdp qfunctions storage comm schedules merges rules contracts core errors _version",
    ),
    "learner": _room(
        "QLearner, and the parts that only it assembles",
        "job training settings workers offline mdp qfunctions storage envs comm schedules merges rules "
        "features contracts errors _version",
    ),
    "plot": _room(
        "pictures of runs and results, by matplotlib",
        "training settings mdp qfunctions storage contracts errors",
    ),
    "cli": _room(
        "the command line, diagnosis and benchmarks",
        "plot learner job training settings workers mdp qfunctions storage envs comm schedules core errors "
        "_version __init__",
    ),
}


def floors() -> dict[str, int]:
    """Return the floor of each room: one above the highest room that it imports."""
    floor: dict[str, int] = {}
    for name, room in ROOMS.items():
        floor[name] = 1 + max((floor[below] for below in room.imports if below in floor), default=0)
    return floor
