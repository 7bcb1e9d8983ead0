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

from tests.shown import PAGES, ROOT, blocks, not_said, output_of_commands
from tests.test_examples import ENVIRONMENT, EXAMPLES, MPIEXEC, write_program

PYTHON = shlex.quote(sys.executable)
STAND_INS = {
    "cdq": f'exec {PYTHON} -c "import sys; from cdq.cli import main; sys.exit(main())" "$@"',
    "mpiexec": f'exec {shlex.quote(MPIEXEC)} "$@"',
    "python": f'exec {PYTHON} "$@"',
    "python3": 'test "$*" = "-m venv .venv" && mkdir -p .venv/bin && touch .venv/bin/activate',
    "pip": 'test "$1" = install',
    "module": 'test "$1" = load',
    "pytest": "",
    "tensorboard": 'test "$1" = --logdir && test -n "$(find "$2" -name "events*")"',
    "curl": f'test "$1" = -s && exec {PYTHON} -c "import sys, urllib.request as r; '
    'print(r.urlopen(sys.argv[1]).read().decode())" "$2"',
    "apt-get": 'test "$1" = install',
    "docker": 'test "$1" = push || test -f "$3"',  # the Dockerfile
    "kubectl": 'for each in "$@"; do case $each in *.yaml | --from-file=*) test -f "${each#*=}" || exit;; esac; done',
}
WAIT = 'for pid in "${pids[@]}"; do wait "$pid"; done; pids=()'

# What stands for a number of steps that takes minutes, and for a pause between lines as long as a fast machine's run.
SHORTER = {"1e9": "2e6", "1e8": "2e5", "--progress 2": "--progress 0.05"}

WITH_COMMANDS = [page for page in PAGES if blocks(page, "console|bash")]
# Pages with more ranks than there are cores, and those with jobs of seconds on all cores.
COMMAND_PAGES = [
    pytest.param(
        page, id=page.stem, marks=[pytest.mark.alone] * (page.stem in {"README", "mpi", "watching", "zmq"})
    )
    for page in WITH_COMMANDS
]
FILES = re.compile(r"keys/|\w+\.json: ")


def commands(page: Path, port: int, of_metrics: int) -> list[str]:
    """Return the lines of the page's blocks, the ports free, steps and pauses short, no folder before programs."""
    text = "".join(block for block in blocks(page, "console|bash") if not block.startswith("#!"))
    text = text.replace(".venv/bin/", "").replace("source activate", "source .venv/bin/activate")
    for number, shorter in SHORTER.items():
        text = text.replace(f" {number}", f" {shorter}")
    text = text.replace(":9464", f":{of_metrics}").replace("29500", str(port - 1))
    return text.replace(":5555", f":{port}").splitlines()


def until(command: str, pattern: str, number: int) -> str:
    """Return the line that asks until so many lines of the answer match."""
    return f"until [ $({command} | grep -cE '{pattern}') = {number} ]; do sleep 0.1; done"


def session(lines: list[str]) -> str:
    """Return the script of a page: hubs and workers in the background, each hub with the workers that it waits for.

    Whoever asks a hub for its status does so once all of them learn; its metrics, of the last second, are read once
    they tell the same.
    """
    script, joins, needed = ["pids=()"], list[str](), 0

    def start(*programs: str) -> None:
        script.extend(f"{program} & pids+=($!)" for program in programs)

    def start_missing() -> None:
        missing = joins[-1:] * (needed - len(joins))
        start(*missing)
        joins.extend(missing)

    for line in [*lines, "true"]:
        if line.startswith("cdq join"):
            start(line)
            joins.append(line)
            continue
        if joins:
            start_missing()
        if line.startswith("cdq status"):
            script.append(until(line, "steps/s, seen|^  gap", needed + 1))
        elif line.startswith("cdq watch"):
            line = f"timeout --preserve-status --signal=INT 5 {line}"  # noqa: PLW2901  # Ctrl-C
        elif joins and line.startswith("curl"):
            script.append(until(line, "^cdq_worker_steps_per_second", needed))
        elif joins:
            script.append(WAIT)
            joins.clear()
        if line.startswith("cdq hub"):
            needed = int(line.partition("--workers ")[2].split()[0])
            start(line)
        else:
            script.append(line)
    return "\n".join(script)


def run(script: str, directory: Path) -> str:
    """Return what a script prints; nothing that it started is left."""
    for name, body in STAND_INS.items():
        write_program(directory / "bin" / name, body)
    (directory / "examples").symlink_to(EXAMPLES)
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=directory,
        env={
            **ENVIRONMENT,
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{EXAMPLES}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=500)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    return said


def wrong_files(shown: str, directory: Path) -> list[str]:
    """Return the lines that name a file which is not there, or with other contents."""
    wrong = []
    for line in shown.splitlines():
        file, _, content = line.partition(": ")
        path = directory / file
        if not path.is_file() or content.strip() not in path.read_text():
            wrong.append(line)
    return wrong


@pytest.mark.parametrize("page", COMMAND_PAGES)
def test_commands_of_a_page_succeed_and_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as door,
        closing(socket.create_server(("127.0.0.1", 0))) as two,
    ):
        ports = [each.getsockname()[1] for each in (door, two)]
    for source in blocks(page, "c"):
        (tmp_path / "chain.c").write_text(source)
    said = run(session(commands(page, *ports)), tmp_path)
    for shown in output_of_commands(page):
        wrong = wrong_files(shown, tmp_path) if FILES.match(shown) else not_said(shown, said)
        assert wrong == [], f"{wrong} is not in:\n{said}"


def test_a_scraper_is_told_the_address_that_a_hub_serves() -> None:
    page = ROOT / "docs/watching.md"
    (told,) = blocks(page, "yaml")
    served = re.findall(r"--metrics (\S+)", "".join(blocks(page, "bash")))
    assert re.findall(r'- targets: \["(.*)"\]', told) == served
    assert [line.partition(":")[0].strip("- ") for line in told.splitlines()] == [
        "scrape_configs",
        "job_name",
        "scrape_interval",
        "static_configs",
        "targets",
    ]


def test_output_is_shown_where_something_is_run() -> None:
    """Blocks of text are compared above, or with what the Python before them prints."""
    others = [page for page in PAGES if page not in WITH_COMMANDS]
    assert [page.name for page in others if list(output_of_commands(page))] == [
        "project.md"
    ]  # an entry of BibTeX


@pytest.mark.parametrize("page", ["README.md", "docs/mpi.md", "docs/zmq.md"])
def test_extras_that_a_page_installs_exist(page: str) -> None:
    named = re.findall(r"pip install .*\[(.*?)\]", "".join(blocks(ROOT / page, "console|bash")))
    assert named
    assert set(",".join(named).split(",")) <= set(metadata("cdq").get_all("Provides-Extra") or ())
