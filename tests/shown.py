"""Output that a page shows, held against the output that comes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages whose code needs TensorFlow, which takes 1.6 GB: `nox -s keras` runs them.
WITH_KERAS = [ROOT / "docs/keras.md"]
RUN = [page for page in PAGES if page not in WITH_KERAS or (find_spec("keras") and find_spec("tensorflow"))]
FENCE = re.compile(r"^```(\S*).*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Figures that depend on the machine and the moment; all others on a page are the same each time.
NUMBER = r"[\d,]+(?:\.\d+)?(?:e[+-]\d+)?"
VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "DATE"),
    (re.compile(rf"{NUMBER} ?[kMG]? steps/s"), "SPEED"),
    (re.compile(rf"{NUMBER} bytes exchanged"), "BYTES exchanged"),  # a hub's depend on when its workers come
    (re.compile(rf"(\bin|  time) +{NUMBER} s\b"), "SECONDS"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(rf"early after {NUMBER} steps"), "early after N steps"),
    (re.compile(r"/[\w./-]+/"), ""),  # folders
]
# A job that is under way: none of its figures is the same twice, nor is the host, nor the state of a worker.
MOVING = re.compile(r"  time left  |\d+% of ")
MOMENT = [
    *VARYING,
    (re.compile(r"on [\w.-]+, (?:learning|delivered)"), "on HOST, STATE"),
    (re.compile(r'host="[\w.-]+"'), "HOST"),
    (re.compile(r"(?:\d+ (?:h|min|s) )+left"), "TIME left"),
    (re.compile(r"time left +.*"), "time left TIME"),
    (re.compile(rf"-?{NUMBER}"), "N"),
    (re.compile(r" [GM] (?=steps|on average)"), " "),
]


def blocks(page: Path, languages: str) -> list[str]:
    """Return the blocks of a page in these languages, which are separated by bars."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [block for language, block in found if language in languages.split("|")]


def python_and_output(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each block of Python with the block of text that follows it, if it prints and one does."""
    found = [*FENCE.findall(page.read_text(encoding="utf-8")), ("", "")]
    for (language, block), (following, output) in pairwise(found):
        if language == "python":
            yield block, output if following == "text" and "print(" in block else ""


def output_of_commands(page: Path) -> Iterator[str]:
    """Yield the blocks of text that no Python before them prints."""
    of_python = [output for _, output in python_and_output(page)]
    yield from (output for output in blocks(page, "text") if output not in of_python)


def masked(line: str, patterns: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """Return a line with names in place of what varies, and without control codes."""
    line = re.sub(r"\x1b\[[\d;]*[A-Za-z]|\r", "", line).rstrip()
    for pattern, name in patterns:
        line = pattern.sub(name, line)
    return re.sub(r" {2,}", "  ", line)


def not_said(shown: str, said: str) -> list[str]:
    """Return the lines of a block of output that did not come."""
    patterns = MOMENT if MOVING.search(shown) else VARYING
    came = {masked(line, patterns) for line in said.splitlines()}
    return [line for line in shown.splitlines() if masked(line, patterns) not in came]


def is_said(comment: str, text: str) -> bool:
    """Return whether a comment begins with what was printed; ``...`` stands for any words."""
    if "..." not in comment:
        return comment == text or comment.startswith(f"{text}: ")
    parts = [re.escape(part.strip()) for part in comment.split("...")]
    return re.search(".*".join(parts), text) is not None
