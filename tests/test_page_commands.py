"""The commands of the pages about several processes run as a reader would type them, and print what the pages show.

Each page is one session of bash. What would install, or belongs to a cluster, is a stand-in that comes first in PATH.
Hubs and workers run in the background, as in terminals of their own. Not run here: the batch script for Slurm, which
`test_examples.py` runs, and whose text it holds against `examples/taxi.slurm`.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import closing
from importlib.metadata import metadata
from pathlib import Path

import pytest

from tests.test_examples import ENVIRONMENT, EXAMPLES, MPIEXEC, ROOT, write_program

PYTHON = shlex.quote(sys.executable)
STAND_INS = {
    "cdq": f'exec {PYTHON} -c "import sys; from cdq.cli import main; sys.exit(main())" "$@"',
    "mpiexec": f'exec {shlex.quote(MPIEXEC)} "$@"',
    "python": f'exec {PYTHON} "$@"',
    "python3": 'test "$*" = "-m venv .venv" && mkdir -p .venv/bin && touch .venv/bin/activate',
    "pip": 'test "$1" = install',
    "module": 'test "$1" = load',
    "pytest": "",
}
WAIT = 'for pid in "${pids[@]}"; do wait "$pid"; done; pids=()'

# What stands for a number of steps that takes minutes.
SHORTER = {"1e9": "2e6", "1e8": "2e5"}

# Lines of a report that are the same each time, whatever the machine.
STABLE = re.compile(
    r"  (environment|learnt by|because|policy value|optimal value|gap|table) +\S|workers \d|table \w{64}$|\d ranks, "
)
PORT = re.compile(r"(?<=127\.0\.0\.1):\d+")
LABEL = re.compile(r"  ([a-z]+(?: [a-z]+)*)  +\S")


def blocks(page: str, languages: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```(?:{languages})\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: str, languages: str, port: int) -> list[str]:
    """Return the lines of the page's blocks, the port free, the numbers of steps short, no folder before programs."""
    text = "".join(block for block in blocks(page, languages) if not block.startswith("#!"))
    text = text.replace(".venv/bin/", "").replace("source activate", "source .venv/bin/activate")
    for number, shorter in SHORTER.items():
        text = text.replace(f" {number}", f" {shorter}")
    return text.replace(":5555", f":{port}").splitlines()


def session(lines: list[str]) -> str:
    """Return the script of a page: hubs and workers in the background, each hub with the workers that it waits for.

    Workers start last, so that whoever asks the hub in between finds it.
    """
    script, joins, needed = ["pids=()"], list[str](), 0

    def end_the_job() -> None:
        workers = [*joins, *joins[-1:] * (needed - len(joins))]
        script.extend([f"{line} & pids+=($!)" for line in workers] + [WAIT])
        joins.clear()

    for line in lines:
        if line.startswith("cdq join"):
            joins.append(line)
            continue
        if joins and not line.startswith(("cdq status", "cdq watch")):
            end_the_job()
        if line.startswith("cdq hub"):
            needed = int(line.partition("--workers ")[2].split()[0])
        if line.startswith("cdq watch"):
            line = f"timeout --preserve-status --signal=INT 5 {line}"  # noqa: PLW2901  # Ctrl-C
        script.append(f"{line} & pids+=($!)" if line.startswith("cdq hub") else line)
    if joins:
        end_the_job()
    return "\n".join(script)


def run(script: str, directory: Path) -> str:
    """Return what a script prints; nothing that it started is left."""
    for name, body in STAND_INS.items():
        write_program(directory / "bin" / name, body)
    (directory / "examples").symlink_to(EXAMPLES)
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={**ENVIRONMENT, "PATH": f"{directory / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=200)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    return said


def not_said(page: str, said: str, directory: Path) -> list[str]:
    """Return the lines of output on a page that are wrong: labels, figures that do not change, files, digests."""
    lines = {
        line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", said).splitlines()
    }  # ranks have a terminal
    labels = {found[1] for line in lines if (found := LABEL.match(line))}
    wrong = []
    for line in "".join(blocks(page, "text")).splitlines():
        file, _, content = line.partition(": ")
        if STABLE.match(line):
            right = line in lines
        elif label := LABEL.match(line):
            right = label[1] in labels
        elif " is shown at " in line:
            right = any(PORT.sub("", other) == PORT.sub("", line) for other in lines)
        elif line.startswith("keys/"):
            right = (directory / line).is_file()
        elif file.endswith(".json"):
            right = content.strip() in (directory / file).read_text()
        else:
            continue
        wrong += [] if right else [line]
    return wrong


@pytest.mark.parametrize(
    ("page", "languages"),
    [
        ("README.md", "bash"),
        pytest.param("docs/mpi.md", "console|bash", marks=pytest.mark.alone),  # eight ranks
        ("docs/from_mpi4py.md", "bash"),
        ("docs/zmq.md", "console|bash"),
        ("docs/watching.md", "bash"),
    ],
)
def test_commands_of_a_page_succeed_and_print_what_it_shows(
    page: str, languages: str, tmp_path: Path
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        port = door.getsockname()[1]
    said = run(session(commands(page, languages, port)), tmp_path)
    assert not_said(page, said, tmp_path) == [], said


@pytest.mark.parametrize("page", ["README.md", "docs/mpi.md", "docs/zmq.md"])
def test_extras_that_a_page_installs_exist(page: str) -> None:
    named = re.findall(r"pip install .*\[(.*?)\]", "".join(blocks(page, "console|bash")))
    assert named
    assert set(",".join(named).split(",")) <= set(metadata("cdq").get_all("Provides-Extra") or ())
