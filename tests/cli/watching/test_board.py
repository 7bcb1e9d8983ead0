"""The page and its stream: each reader gets what changed, and the page runs and loads nothing but its own."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from typing import Any

import pytest

from cdq.cli.watching.board import Board


def events(piece: bytes) -> dict[str, Any]:
    """Return the events of a piece of a stream by name."""
    found = {}
    for event in filter(None, piece.decode().split("\n\n")):
        if event.startswith("event: "):
            name, data = event.split("\n")
            found[name.removeprefix("event: ")] = json.loads(data.removeprefix("data: "))
    return found


def test_a_reader_gets_all_and_then_what_changed() -> None:
    board = Board()
    board.show({"run": {"steps": 1}, "table": [1, 2]})
    stream = board.stream()
    assert next(stream) == b"retry: 2000\n\n"
    assert events(next(stream)) == {"run": {"steps": 1}, "table": [1, 2]}
    board.show({"run": {"steps": 2}, "table": [1, 2]})
    assert events(next(stream)) == {"run": {"steps": 2}}
    board.show({"run": {"steps": 3}})
    board.show({"table": []})
    assert events(next(stream)) == {"run": {"steps": 3}, "table": []}  # what was in between is not kept
    late = board.stream()
    next(late)
    assert events(next(late)) == {"run": {"steps": 3}, "table": []}


def test_a_beat_without_anything_new_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdq.cli.watching.board._BEAT", 0.01)
    board = Board()
    board.show({"run": 1})
    stream = board.stream()
    assert [next(stream) for _ in range(4)][2:] == [b"", b""]


def test_closing_ends_the_streams() -> None:
    board = Board()
    streams = [board.stream() for _ in range(3)]
    readers = [threading.Thread(target=list, args=(stream,)) for stream in streams]
    for reader in readers:
        reader.start()
    board.close()
    for reader in readers:
        reader.join(10)
    assert not any(reader.is_alive() for reader in readers)


def test_texts_of_strangers_cannot_end_an_event() -> None:
    board = Board()
    text = "</script>\r\n\nevent: run\ndata: {}\n\n\u2028\x85\0é"
    board.show({"run": {"title": text}})
    stream = board.stream()
    next(stream)
    piece = next(stream)
    assert events(piece) == {"run": {"title": text}}
    assert piece.isascii()
    assert piece.count(b"\n") == 3


def test_what_is_no_number_is_not_sent() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Board().show({"run": float("nan")})


PAGES = Board().pages()


def test_the_page_may_run_its_own_script_and_nothing_else() -> None:
    page = PAGES["/"]()
    assert isinstance(page.body, bytes)
    policy = page.headers["Content-Security-Policy"]
    for tag, kind in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>".encode(), page.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_page_loads_nothing_and_writes_texts_as_texts() -> None:
    page = PAGES["/"]().body
    assert isinstance(page, bytes)
    text = page.decode().replace('"http://www.w3.org/2000/svg"', "")  # a name, not an address
    assert "//" not in re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    assert (
        re.findall(
            r"src=|url\(|@import|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|style=", text
        )
        == []
    )
    assert re.findall(r"<link [^>]*>", text) == ['<link rel="icon" href="data:,">']
    assert '<html lang="en">' in text
