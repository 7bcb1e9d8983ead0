"""The page and its stream of events: a reader gets each part of the picture when that has changed."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any

from cdq.job.web import Answer

_BEAT = 1.0  # seconds in which a reader that has gone is noticed
_RETRY = b"retry: 2000\n\n"  # milliseconds until a browser asks again


class Board:
    """Parts of a picture by name, of which each reader gets the newest; nothing is kept for one that is slow."""

    def __init__(self) -> None:
        self._parts: dict[str, bytes] = {}
        self._changed = threading.Condition()
        self._closed = False

    def show(self, parts: Mapping[str, Any]) -> None:
        """Put up parts, JSON objects, in place of those of the same names."""
        texts = {name: _event(name, part) for name, part in parts.items()}
        with self._changed:
            # The same object where nothing changed, by which readers see that they have it.
            self._parts = {
                name: self._parts[name] if self._parts.get(name) == text else text
                for name, text in {**self._parts, **texts}.items()
            }
            self._changed.notify_all()

    def close(self) -> None:
        """End all streams."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stream(self) -> Iterator[bytes]:
        """Yield the parts, and again those that change, until the board is closed; nothing at each beat without one."""
        sent: dict[str, bytes] = {}
        yield _RETRY
        while not self._closed:
            with self._changed:
                if self._parts == sent and not self._closed:
                    self._changed.wait(_BEAT)
                new = [part for name, part in self._parts.items() if sent.get(name) is not part]
                sent = self._parts
            yield b"".join(new)

    def pages(self) -> dict[str, Callable[[], Answer]]:
        """Return the pages of a site, the one for people first."""
        page = files(__package__).joinpath("page.html").read_bytes()
        headers = {"Content-Security-Policy": _policy(page)}
        return {
            "/": lambda: Answer("text/html; charset=utf-8", page, headers),
            "/events": lambda: Answer("text/event-stream; charset=utf-8", self.stream()),
        }


def _event(name: str, part: Any) -> bytes:
    """Return an event; JSON has no line breaks, and as ASCII none of any kind."""
    return f"event: {name}\ndata: {json.dumps(part, allow_nan=False)}\n\n".encode()


def _policy(page: bytes) -> str:
    """Return what a browser may do for a page: run its own script, use its own style, and ask its own server."""
    script, style = (
        base64.b64encode(hashlib.sha256(page.split(f"<{tag}>".encode())[1].split(b"</")[0]).digest()).decode()
        for tag in ("script", "style")
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
