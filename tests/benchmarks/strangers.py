"""Let a hub with an honest worker bear strangers: connects, mutated frames, slow peers, peers that do not read.

Run: python -m tests.benchmarks.strangers [--curve] [--scale X] [--states N] [--only NAME]

At the end the hub is interrupted, and its job is learnt again from the journal: the table must be the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cdq
from cdq.cli.benchmarks import random_jumps
from cdq.comm.zmq.keys import Keys, allow, keygen
from cdq.job.hub import Hosting
from tests.job.strangers import attacks, resident

PROGRAM = "import sys; from cdq.cli import main; sys.exit(main())"
ROOT = Path(cdq.__file__).parents[1]
START = Path(__file__).parents[1] / "start.py"  # runs a module of the tests, wherever cdq is installed


def start(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    """Start a command of cdq."""
    return python("-c", PROGRAM, *arguments, **more)


def python(*arguments: object, **more: Any) -> subprocess.Popen[str]:
    """Start a Python from the directory where cdq is."""
    return subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, encoding="utf-8", **more)


def hold(folder: Path, states: int, curve: bool) -> None:
    """Be the hub, until Ctrl-C; then write what the table is."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    env: Any = random_jumps(states, 4, seed=0) if states else "FrozenLake8x8-v1"
    window = max(200_000, 10 * states)
    learner = cdq.QLearner(
        env,
        comm="zmq",
        workers=1,
        seed=0,
        sync_every=window,
        checkpoint=folder / "job",
        checkpoint_every=200 * window,
    )
    scheme, keys = ("zmq+curve", Keys(folder / "hub")) if curve else ("zmq+tcp", None)
    hosting = Hosting(f"{scheme}://127.0.0.1:0", keys=keys, grace=1.0)
    with contextlib.suppress(KeyboardInterrupt):
        learner.learn(1e15, hosting=hosting)
    (folder / "digest").write_text(learner.table.digest())


def make_keys(folder: Path) -> dict[str, Keys]:
    """Return the keys of a hub, of a worker and of a listed peer that means harm."""
    for name in ("hub", "worker", "harm"):
        keygen(folder / name)
        (folder / name / "hub.public").write_bytes((folder / "hub" / "own.public").read_bytes())
        if name != "hub":
            allow(folder / "hub", folder / name / "own.public", name)
    return {name: Keys(folder / name) for name in ("hub", "worker", "harm")}


class DivergenceGuard:
    """A hub whose memory is looked at all the time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.base, self.most = process, 0, 0
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(0.01) and self.process.poll() is None:
            try:
                self.most = max(self.most, resident(self.process.pid))
            except (OSError, IndexError):
                return

    def reset(self) -> None:
        """Forget the most; what there is now is the base, if there was none."""
        self.most = resident(self.process.pid)
        self.base = self.base or self.most

    def grown(self) -> float:
        """Return by how many MB the memory has been above the base."""
        return (self.most - self.base) / 1e6


def bear(arguments: argparse.Namespace, folder: Path) -> dict[str, tuple[float, float, int]]:
    """Run it all; return, by name, how long it took, by how many MB the memory grew, and how many rounds there were.

    Raises
    ------
    AssertionError
        If the hub or the worker ended, the rounds do not go on, or the journal tells of another table.
    """
    keys = make_keys(folder) if arguments.curve else {}
    job, more = folder / "job", ["--curve"] if keys else []
    held = (START, "tests.benchmarks.strangers", "--hold", folder, "--states", arguments.states, *more)
    hub = python(*held, stderr=subprocess.PIPE)
    url, log = where(hub), Log(hub)
    known = ["--keys", folder / "worker"] if keys else []
    worker = start("join", url, *known, stderr=subprocess.DEVNULL)
    watched, journal, told = DivergenceGuard(hub), job / "journal.jsonl", {}
    try:
        wait_for_rounds(journal, 5)
        watched.reset()
        for name, attack, given in attacks(url, keys.get("harm"), arguments.scale):
            if arguments.only in name:
                before, began = rounds(journal), time.monotonic()
                watched.reset()
                attack(*given)
                time.sleep(0.2)
                ended = hub.poll(), worker.poll()
                assert ended == (None, None), (
                    f"hub and worker ended with {ended} under: {name}\n{log.lines[-20:]}"
                )
                told[name] = (time.monotonic() - began, watched.grown(), rounds(journal) - before)
        before, began = rounds(journal), time.monotonic()
        wait_for_rounds(journal, before + 5)  # the worker still learns
        told["5 rounds after that"] = (time.monotonic() - began, watched.grown(), 5)
        hub.send_signal(signal.SIGINT)
        assert hub.wait(60) == 0, log.lines[-20:]
    finally:
        for process in (hub, worker):
            process.kill()
            process.wait()
        log.join()
    again = folder / "replay.json"
    assert start("replay", job, "--json", again, stdout=subprocess.DEVNULL).wait(600) == 0
    assert json.loads(again.read_text())["digest"] == (folder / "digest").read_text()
    return told


def where(hub: subprocess.Popen[str]) -> str:
    """Return where a hub is, when it says so."""
    assert hub.stderr is not None
    line = ""
    while "hub at" not in line:
        line = hub.stderr.readline()
        assert line, "the hub ended before it was up"
    return line.partition("hub at ")[2].rpartition(": ")[0]


class Log(threading.Thread):
    """Takes in what a process says, until it ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self.lines: list[str] = []
        self._process = process
        self.start()

    def run(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as said:
            self.lines.extend(said)


def rounds(journal: Path) -> int:
    """Return how many rounds there were."""
    return journal.read_bytes().count(b'"round"') if journal.exists() else 0


def wait_for_rounds(journal: Path, count: int) -> None:
    """Wait until there were so many; raise if there are not within a minute."""
    until = time.monotonic() + 60.0
    while rounds(journal) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{rounds(journal)} rounds of {count}")
        time.sleep(0.05)


def main() -> None:
    """Bear it, and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--curve", action="store_true", help="with keys; the harm is done by a listed one, too"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of connects, frames, peers")
    parser.add_argument(
        "--states", type=int, default=0, help="of a random model with 4 actions; 0: FrozenLake8x8"
    )
    parser.add_argument("--only", default="", help="what is in the name of the strangers to be borne")
    parser.add_argument("--hold", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hold:
        hold(arguments.hold, arguments.states, arguments.curve)
        return
    folder = Path(tempfile.mkdtemp(prefix="cdq-"))
    print(f"{arguments.states or 64} states, {'CURVE' if arguments.curve else 'plain'}", flush=True)
    try:
        for name, (seconds, grown, count) in bear(arguments, folder).items():
            print(f"  {name:24} {seconds:6.1f} s  {grown:+7.1f} MB  {count:6} rounds")
        print(f"  table {(folder / 'digest').read_text()}, and so says the journal")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
