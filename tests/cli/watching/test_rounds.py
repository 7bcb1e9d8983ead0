"""Last rounds of a hub's journal: who brought what, how fast, and lines that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from cdq.cli.watching.rounds import Bringers, last_rounds, speed_of
from cdq.errors import FileError
from cdq.job import journal


def entry(number: int, when: float, *uids: int, **more: Any) -> dict[str, Any]:
    members = [[uid, number, 0] for uid in uids]
    return {"round": number, "steps": 100 * number, "members": members, "time": when, **more}


def write(directory: Path, *entries: dict[str, Any], end: bytes = b"") -> Path:
    (directory / journal.NAME).write_bytes(b"".join(map(journal._line, entries)) + end)
    return directory


def test_the_last_rounds_are_read_and_nothing_before(tmp_path: Path) -> None:
    start = {"start": 1, "hub": {"epoch": 0}}
    rounds = [entry(number, float(number), 0, 1) for number in range(1, 5001)]
    write(tmp_path, start, *rounds, end=b'{"round": 5001, "st')
    found = last_rounds(tmp_path)
    assert found == rounds[-len(found) :]
    assert 1000 < len(found) < 5000


def test_a_short_journal_is_read_whole(tmp_path: Path) -> None:
    assert last_rounds(tmp_path) == []
    rounds = [entry(1, 1.0, 0), entry(2, 2.0, 1)]
    assert last_rounds(write(tmp_path, {"start": 1}, *rounds)) == rounds
    assert last_rounds(write(tmp_path)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": "many"},
        {"steps": 2**63},
        {"time": None},
        {"time": 3},
        {"members": 3},
        {"members": [[]]},
        {"members": [["x", 1, 2]]},
    ],
    ids=str,
)
def test_lines_that_are_no_rounds_are_left_out(tmp_path: Path, changes: dict[str, Any]) -> None:
    good = entry(1, 1.0, 0)
    assert last_rounds(write(tmp_path, good, entry(2, 2.0, 0, **changes))) == [good]


def test_a_time_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    good = entry(1, 1.0, 0)
    endless = json.dumps(entry(2, 1e308, 0), sort_keys=True).replace("1e+308", "1e+999")
    line = f'{endless[:-1]}, "crc": {crc32(endless.encode())}}}\n'.encode()
    assert last_rounds(write(tmp_path, good, end=line)) == [good]


def test_lines_that_were_altered_are_left_out(tmp_path: Path) -> None:
    good = entry(1, 1.0, 0)
    altered = json.dumps({**entry(2, 2.0, 0), "crc": 1}).encode() + b"\n"
    assert last_rounds(write(tmp_path, good, end=altered + b"\xff\n[]\n{}\n" + b"[" * 100_000)) == [good]


def test_a_link_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    (tmp_path / journal.NAME).symlink_to(other)
    with pytest.raises(FileError, match="it is a link"):
        last_rounds(tmp_path)


ROUNDS = [entry(number, 100.0 + number, *([0, 1] if number < 5 else [1])) for number in range(1, 21)]


def test_speeds_are_those_of_the_last_seconds() -> None:
    assert speed_of([]) == speed_of(ROUNDS[:1]) == 0.0
    assert speed_of(ROUNDS) == 100.0
    bringers = Bringers()
    bringers.see(ROUNDS[:4])
    assert [row["speed"] for row in bringers.rows(ROUNDS[:4], 104.0, goes_on=True)] == [50.0, 50.0]


def test_a_worker_that_brings_no_more_stays_on_the_page() -> None:
    bringers = Bringers()
    bringers.see(ROUNDS[:4])
    bringers.see(ROUNDS[-3:])
    first, second = bringers.rows(ROUNDS[-3:], 121.0, goes_on=True)
    assert (first["who"], first["state"], first["speed"], first["seen"]) == ("worker 0", "lost", None, 17.0)
    assert (second["who"], second["state"], second["speed"], second["seen"]) == (
        "worker 1",
        "learning",
        100.0,
        1.0,
    )
    states = [row["state"] for row in bringers.rows(ROUNDS[-3:], 121.0, goes_on=False)]
    assert states == ["lost", "left"]


def test_memory_is_bounded() -> None:
    bringers = Bringers()
    for number in range(100):
        bringers.see([entry(number, float(number), *range(100 * number, 100 * number + 100))])
    rows = bringers.rows([], 100.0, goes_on=True)
    assert len(rows) == 512
    assert rows[-1]["who"] == "worker 9999"
