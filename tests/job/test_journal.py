"""The journal: whole lines, in order, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from cdq.errors import DivergenceError, FileError
from cdq.job.journal import NAME, Journal, _line, hub_state, read
from cdq.job.replay import repeat
from tests.job.jobs import Hub, journal_in


def test_lines_come_back(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        journal.write({"round": 1, "x": 0.1})
    with journal_in(tmp_path) as journal:
        assert journal.entries == [{"round": 1, "x": 0.1}]
        journal.write({"round": 2})
    assert [entry["round"] for entry in read(tmp_path)] == [1, 2]


def test_g7_an_unfinished_line_is_taken_off(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        for number in range(3):
            journal.write({"round": number})
    whole = (tmp_path / NAME).read_bytes()
    kept = len(whole) - len(whole.splitlines(keepends=True)[-1])
    for cut in range(kept, len(whole)):
        (tmp_path / NAME).write_bytes(whole[:cut])
        assert len(read(tmp_path)) == 2
        with journal_in(tmp_path) as journal:
            assert len(journal.entries) == 2
            journal.write({"round": 9})
        assert [entry["round"] for entry in read(tmp_path)] == [0, 1, 9]


def test_g7_any_bit_that_changed_is_found(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        for number in range(2):
            journal.write({"round": number})
    whole = (tmp_path / NAME).read_bytes()
    for place in range(whole.index(b"\n") + 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        (tmp_path / NAME).write_bytes(changed)
        with pytest.raises(FileError, match="was altered; use another copy"):
            read(tmp_path)


def test_there_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="name the directory of a job"):
        read(tmp_path)
    with pytest.raises(FileError, match="use one that you may write"):
        Journal(tmp_path / "none", durable=True)


def test_the_hub_goes_on_from_the_last_line() -> None:
    peers = [[0, "token:a", "a", 3, True], [1, "token:b", "b", 2, True]]
    state = {"epoch": 2, "version": 3, "peers": peers}
    entries = [{"start": 1, "hub": state}, {"round": 4, "members": [[1, 3, 0]]}]
    assert hub_state([]) is None
    assert hub_state(entries) == {
        "epoch": 2,
        "version": 4,
        "peers": [[0, "token:a", "a", 3, True], [1, "token:b", "b", 3, True]],
    }


def test_the_hub_is_written_down_when_members_change(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        for number, epoch in enumerate([1, 1, 2, 2, 2]):
            journal.write({"round": number, "hub": {"epoch": epoch}})
    assert ["hub" in entry for entry in read(tmp_path)] == [True, False, True, False, False]


def test_g9_rounds_come_out_again_or_not_at_all(tmp_path: Path) -> None:
    with journal_in(tmp_path) as journal:
        hub = Hub(workers=2, sync_every=100, journal=journal)
        hub.play([0, 1], rounds=4)
        hub.play([1, 5], rounds=3)  # one left, another came
        hub.play([0, 1, 5])
    entries = read(tmp_path)
    again = Hub(workers=2, sync_every=100)
    repeat(again.service, entries)
    assert again.digest == hub.digest
    assert again.learner.steps == hub.learner.steps

    with pytest.raises(FileError, match="goes on with round 3 where round 2 should be"):
        repeat(Hub(workers=2, sync_every=100).service, [entries[0], *entries[2:]])
    entries[5]["members"][1][2] ^= 1
    with pytest.raises(DivergenceError, match=r"round 6 comes out otherwise .* for worker \[5\]"):
        repeat(Hub(workers=2, sync_every=100).service, entries)
    with pytest.raises(DivergenceError, match=r"round 1 .* for worker \[0, 1\]"):
        repeat(Hub(workers=2, sync_every=100, seed=6).service, entries)


@pytest.mark.parametrize(
    "text",
    [
        '{"round": NaN}',
        '{"round": 1, "round": 2}',
        '{"round": 1%s}' % ("0" * 400),
        "[1]",
        '"round"',
        '{"a": ' + "[" * 100_000 + "1" + "]" * 100_000 + "}",
    ],
    ids=["NaN", "twice", "long", "list", "text", "deep"],
)
def test_lines_with_a_right_checksum_that_are_no_entries(text: str, tmp_path: Path) -> None:
    line = f'{text[:-1]}, "crc": {crc32(text.encode())}}}\n'
    (tmp_path / NAME).write_text(line)
    for attempt in (lambda: read(tmp_path), lambda: journal_in(tmp_path)):
        with pytest.raises(FileError, match="line 1 of .* was altered"):
            attempt()


@pytest.mark.parametrize(
    "entry",
    [
        {"start": 1, "hub": 5},
        {"start": 1, "hub": {"peers": [[1]], "version": 0}},
        {"start": 1, "hub": {"peers": 3, "version": 0}},
        {"start": 1, "hub": {}},
        {"round": "1"},
    ],
)
def test_lines_that_say_nothing_of_the_hub(entry: dict[str, Any], tmp_path: Path) -> None:
    lines = [_line(entry), _line({"round": 1, "members": [[0, 1, 2]]})]
    (tmp_path / NAME).write_bytes(b"".join(lines))
    with pytest.raises(FileError, match="is no journal of a job"):
        journal_in(tmp_path)


def test_rounds_that_a_checkpoint_has_take_no_memory(tmp_path: Path) -> None:
    hub = {"epoch": 1, "version": 0, "peers": [[0, "", "a", 0, True]]}
    with journal_in(tmp_path) as journal:
        journal.write({"start": 1, "hub": hub})
        for number in range(1, 9):
            journal.write({"round": number, "members": [[0, number, 5]]})
    with Journal(tmp_path, durable=True, after=6) as journal:
        assert [entry.get("round") for entry in journal.entries] == [None, 7, 8]
        assert journal.hub == hub_state(read(tmp_path))
        assert journal.hub == {**hub, "version": 8, "peers": [[0, "", "a", 8, True]]}


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    for text in ("notes without an end of line", "[1", "{1", "\0" * 100):
        (tmp_path / NAME).write_text(text)
        with pytest.raises(FileError, match="line 1 of .* was altered"):
            journal_in(tmp_path)
        assert (tmp_path / NAME).read_text() == text
