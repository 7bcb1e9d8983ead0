"""The hub's log on standard error: a line each, for people or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cdq.cli.output import printable
from cdq.errors import ConfigError, unknown_name


def _fields(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """Return what a record says, and its facts apart from that."""
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    text = str(record.args[0]) if fields and isinstance(record.args, tuple) else record.getMessage()
    return text.rstrip(" {}"), fields


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text, fields = _fields(record)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        facts = "".join(f" {name}={value}" for name, value in fields.items())
        return printable(f"{when} {record.levelname.lower()}: {text}{facts}")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text, fields = _fields(record)
        said = {"time": record.created, "level": record.levelname.lower(), "text": text, **fields}
        return json.dumps(said, default=str)


_FORMATS = {"plain": _Plain, "json": _Json}


@contextmanager
def logging_as(name: str) -> Iterator[logging.Logger]:
    """Write the log to standard error in a format, "plain" or "json", while the context lasts.

    Raises
    ------
    ConfigError
        If there is no such format.
    """
    if name not in _FORMATS:
        told = unknown_name("log format", name, _FORMATS)
        raise ConfigError(f"{told} The history is written where --log-to says.")
    logger, handler = logging.getLogger("cdq"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATS[name]())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, *rest: logger.warning("%s", message)
            yield logger
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
