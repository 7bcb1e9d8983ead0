"""Let Ray and Dask place the workers of a hub, as the examples do; one worker is killed, and started again by them.

python .ci/check_engines.py EXAMPLES: with the Python that cdq, Ray and Dask are installed for.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import cdq

STEPS, WORKERS = 1_000_000, 2
PLACE = "/tmp"  # Ray starts no worker where its files are inside the virtual environment, as a session's are
PATIENCE = 120.0  # seconds for an engine to start, and again for the job


def main(examples: Path) -> None:
    """Check each engine by its example."""
    table = cdq.QLearner("Taxi-v4", workers=WORKERS, seed=0, sync_every=500).learn(STEPS).table.digest()
    for engine in ("ray", "dask"):
        with tempfile.TemporaryDirectory(prefix="cdq-", dir=PLACE) as folder:
            check_same(examples / f"{engine}_workers.py", Path(folder), table)
        with tempfile.TemporaryDirectory(prefix="cdq-", dir=PLACE) as folder:
            check_killed(examples / f"{engine}_workers.py", Path(folder))
        print(f"{engine}: the table of threads; and all steps with a worker killed")


def check_same(example: Path, folder: Path, table: str) -> None:
    """Check that the workers learn what threads do."""
    hub, engine, _ = started(example, folder, STEPS)
    told = report(hub, engine, folder)
    assert told["digest"] == table, "the workers learnt another table than threads"


def check_killed(example: Path, folder: Path) -> None:
    """Check that a worker that is killed is started again, and the job is done."""
    hub, engine, url = started(example, folder, 4 * STEPS)
    until = time.monotonic() + PATIENCE
    while len(joined(url)) < WORKERS or rounds(folder) < 20:
        assert time.monotonic() < until, "the workers do not come"
        assert engine.poll() is None, "the engine ended early"
        time.sleep(0.05)
    os.kill(joined(url)[0], signal.SIGKILL)
    told = report(hub, engine, folder)
    assert told["steps"] == 4 * STEPS


def rounds(folder: Path) -> int:
    """Return how many rounds the hub has closed."""
    journal = folder / "job" / "journal.jsonl"
    return journal.read_text().count('"round"') if journal.exists() else 0


def started(
    example: Path, folder: Path, steps: int
) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes], str]:
    """Start a hub, and the engine with its workers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        url = f"tcp://127.0.0.1:{door.getsockname()[1]}"
    learn = ["--env", "Taxi-v4", "--steps", str(steps), "--seed", "0", "--sync-every", "500"]
    hold = ["--bind", url, "--workers", str(WORKERS), "--checkpoint", "job", "--json", "report.json"]
    program = "import sys; from cdq.cli import main; sys.exit(main())"
    hub = subprocess.Popen([sys.executable, "-c", program, "hub", *learn, *hold], cwd=folder)
    ours = {"HOME": str(folder), "RAY_TMPDIR": str(folder)}  # nothing is left behind
    engine = subprocess.Popen(
        [sys.executable, str(example), url, str(WORKERS)], cwd=folder, env={**os.environ, **ours}
    )
    return hub, engine, url


def joined(url: str) -> list[int]:
    """Return the processes that are workers of a hub."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"cdq.job.join" in arguments and url.encode() in arguments:
            found.append(int(process.parent.name))
    return found


def report(hub: subprocess.Popen[bytes], engine: subprocess.Popen[bytes], folder: Path) -> dict[str, object]:
    """Return the hub's report, when both have ended well; none of them is left."""
    try:
        statuses = [engine.wait(2 * PATIENCE)]
        if statuses == [0]:
            statuses += [hub.wait(PATIENCE)]
    finally:
        for process in (engine, hub):
            process.kill()
            process.wait()
    assert statuses == [0, 0], f"engine and hub ended with {statuses}"
    told: dict[str, object] = json.loads((folder / "report.json").read_text())
    return told


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
