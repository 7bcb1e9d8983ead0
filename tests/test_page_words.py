"""Commands that the prose of the pages names: each of them, and each of its options and arguments, is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from cdq.cli import app
from tests.shown import PAGES

CONTEXT = app.make_context("cdq", ["doctor"])
BLOCK = re.compile(r"```.*?```", re.DOTALL)
NAMED = re.compile(r"`cdq ([^`\n]+)`")


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words begin with, and the words after it."""
    known = app.get_command(CONTEXT, words[0])
    assert known is not None, f"there is no command {words[0]}"
    if isinstance(known, click.Group):
        known, words = known.get_command(CONTEXT, words[1]), words[1:]
        assert known is not None
    return known, words[1:]


def require_known(text: str) -> None:
    """Fail if a command has not one of the options that *text* gives, or takes nothing that is called so."""
    command, words = command_of(text.split())
    options = {"--help", *(name for parameter in command.params for name in parameter.opts)}
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    usage = " ".join(one.make_metavar(CONTEXT) for one in arguments)
    before = ""
    for word in words:
        if word.startswith("-"):
            assert word.partition("=")[0] in options, f"{text}: there is no {word}"
        elif word.strip("[].").isupper() and not before.startswith("-"):
            assert word.strip("[].") in re.findall("[A-Z]+", usage), f"{text}: there is no {word}"
        before = word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_sentences_are_those_that_there_are(page: Path) -> None:
    for text in NAMED.findall(BLOCK.sub("", page.read_text())):
        if not text.startswith(("-", "COMMAND")):
            require_known(text)


@pytest.mark.parametrize("text", ["status DIR", "trian Taxi-v4", "train --stepsize 3", "keys allow --nam x"])
def test_a_command_that_there_is_not_is_found(text: str) -> None:
    with pytest.raises(AssertionError, match="there is no"):
        require_known(text)
