"""The documentation's code runs: blocks and commands of the README and the pages, examples of docstrings."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cdq
from tests.shown import PAGES, ROOT, RUN, blocks, is_said, python_and_output

PACKAGE = Path(cdq.__file__).parent
MODULES = {
    ".".join(("cdq", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
WITH_EXAMPLES = [module for module, path in MODULES.items() if ">>> " in path.read_text(encoding="utf-8")]


PYTHON_PAGES = [page for page in RUN if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=[page.name for page in PYTHON_PAGES])
def test_python_of_a_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run in order, as one program, and print what the page says that they print."""
    monkeypatch.chdir(tmp_path)
    compile_c(page)
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block, shown in python_and_output(page):
        rest = list[str]()
        namespace["print"] = partial(check_printed, block.splitlines(), rest)
        exec(compile(block, page.name, "exec"), namespace)
        assert "".join(rest) == shown


def compile_c(page: Path) -> None:
    """Compile the page's environment in C by the page's command."""
    for source in blocks(page, "c"):
        Path("chain.c").write_text(source)
        (command,) = (line for line in blocks(page, "bash") if line.startswith("cc "))
        python = shlex.quote(sys.executable)
        subprocess.run(["bash", "-ec", command.replace("$(python ", f"$({python} ")], check=True, timeout=60)


def check_printed(lines: list[str], rest: list[str], *values: object) -> None:
    """Stand for `print`: a comment in the line says what is printed, or a block of text below, which *rest* is for."""
    text = " ".join(map(str, values))
    _, mark, comment = lines[sys._getframe(1).f_lineno - 1].rpartition("  # ")
    if mark:
        assert is_said(comment, text), f"printed {text!r}; the page says {comment!r}"
    else:
        rest.append(f"{text}\n")


def test_every_module_can_be_imported() -> None:
    for module in MODULES:
        importlib.import_module(module)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_of_docstrings(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0
    assert result.attempted > 0


def test_every_public_name_is_in_the_reference() -> None:
    """Building the documentation fails on this, too; here it takes no time."""
    entries = re.findall(
        r"^\.\. auto\w+:: cdq\.(\w+)$",
        "".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md")),
        re.MULTILINE,
    )
    assert set(cdq.__all__) - {"__version__"} <= set(entries)


def test_pages_link_to_what_exists() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_starts_with_two_commands_that_set_themselves_up() -> None:
    commands = [block.strip() for block in blocks(ROOT / "README.md", "console")][:2]
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install ") for command in commands)
    assert commands[0].endswith(".venv/bin/cdq train FrozenLake-v1 --workers 2")
    # pytest itself, not `python -m pytest`: that one would import cdq from the checkout, which is not built.
    assert commands[1].endswith("&& .venv/bin/pytest -n 3 --dist worksteal")


def test_paths_on_pages_exist() -> None:
    wrong = [
        f"{page.name}: {path}"
        for page in PAGES
        for path in re.findall(r"`((?:cdq|tests|docs|examples)/[\w./]+)`", page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists() and not (PACKAGE.parent / path).exists()
    ]
    assert wrong == []


# A text that begins so answers a question that nobody asked: the thing itself comes first.
NO_BEGINNING = re.compile(r"\W*(what|how|whether|who|whose|which|why|of|as|where|by|that)\b", re.IGNORECASE)
SECTIONS = re.compile(r"(?:Parameters|Attributes|Returns|Yields)\n-+\n((?:.+\n?)+)")


def texts_of(docstring: str) -> Iterator[str]:
    """Yield a docstring's first line, and the text of each parameter, attribute and result."""
    cleaned = inspect.cleandoc(docstring)
    yield cleaned.partition("\n")[0]
    for section in SECTIONS.findall(cleaned):
        yield from re.findall(r"^\S.*\n {4}(\S.*)", section, re.MULTILINE)


def docstrings_of(path: Path) -> Iterator[str]:
    """Yield the docstrings of a file of Python or Cython, or the comments that stand in lines of their own in C."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
        yield from filter(None, map(ast.get_docstring, nodes))
    elif path.suffix == ".h":
        yield from re.findall(r"^ *(/\*.*)", source, re.MULTILINE)
    else:
        yield from re.findall(r'^ *"""(.*?)"""', source, re.MULTILINE | re.DOTALL)


def test_texts_begin_with_the_thing_that_they_describe() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".pyx", ".pxd", ".h"}]
    found = [(path, text) for path in files for docs in docstrings_of(path) for text in texts_of(docs)]
    assert len(found) > 2000
    assert [f"{path}: {text}" for path, text in found if NO_BEGINNING.match(text)] == []


def test_a_room_lists_the_first_lines_of_its_files() -> None:
    """The list in the docstring of a folder says of each file what that file's docstring says first."""
    wrong = []
    for room in PACKAGE.rglob("__init__.py"):
        docstring = ast.get_docstring(ast.parse(room.read_text(encoding="utf-8"))) or ""
        for name, text in re.findall(r"^- `([\w/]+)`: ((?:.+\n?)(?:  .+\n?)*)", docstring, re.MULTILINE):
            path = room.parent / (f"{name}__init__.py" if name.endswith("/") else f"{name}.py")
            first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
            if " ".join(text.split()) != first:
                wrong.append(f"{path}: {first!r}, in the list: {' '.join(text.split())!r}")
    assert wrong == []


# Messages of the system and of MPI libraries, and names of exceptions, variables and fields.
NOT_OURS = re.compile(
    r"prterun has|There are not enough|Read -1|Bus error|No module named|No space left"
    r"|\w+$|OMPI_|step$|PeerLost: ... rank 2"
)
MESSAGES = re.compile(r"^\| *(?:what is )?(?:said|seen) [^\n]*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)


def test_messages_on_pages_are_those_of_the_package() -> None:
    """Three words on end of each message that a table explains stand in the source."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # a text that goes on in the next line
    said = [
        message
        for page in PAGES
        for table in MESSAGES.findall(page.read_text(encoding="utf-8"))
        for row in table.splitlines()
        for message in re.findall(r"`([^`]+)`", row.split("|")[1])
        if not NOT_OURS.match(message)
    ]
    assert len(said) > 25
    phrases = [
        [" ".join(words) for words in zip(*(message.split()[k:] for k in range(3)), strict=False)]
        for message in said
    ]
    assert [
        text for text, parts in zip(said, phrases, strict=True) if not any(part in source for part in parts)
    ] == []
