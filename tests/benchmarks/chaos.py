"""Learn for some minutes while hub and workers are killed, stopped and started; then learn it all again and compare.

Run: python -m tests.benchmarks.chaos [--seconds N] [--workers N] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cdq.job.journal import read
from cdq.job.replay import replay
from tests.job.processes import Processes, processes
from tests.job.test_chaos import assert_exact, end, rounds, until_rounds

JOB: dict[str, Any] = {
    "steps": 1e15,
    "sync_every": 20_000,
    "checkpoint_every": 5e6,
    "hosting": {"grace": 0.3, "round_timeout": 2.0},
}


class Chaos:
    """What happens to a job's processes."""

    def __init__(self, made: Processes, workers: int, seed: int) -> None:
        self._made, self._chance = made, random.Random(seed)
        self.hub = made.hub()
        self._workers = [made.worker() for _ in range(workers)]
        self.count: Counter[str] = Counter()

    def strike(self) -> None:
        acts = {"hub killed": 3, "worker killed": 4, "worker stopped": 2, "worker more": 1, "all killed": 1}
        what = self._chance.choices(list(acts), list(acts.values()))[0]
        self.count[what] += 1
        if what == "hub killed":
            self.hub.kill()
            self.hub.communicate()
            self.hub = self._made.hub()
        elif what == "worker killed":
            self._replace(self._chance.randrange(len(self._workers)))
        elif what == "worker stopped":
            victim = self._chance.choice(self._workers)
            victim.send_signal(signal.SIGSTOP)
            time.sleep(self._chance.uniform(0.1, 4.0))
            victim.send_signal(signal.SIGCONT)
        elif what == "worker more":
            self._replace(0)
            self._workers.append(self._made.worker())
            time.sleep(1.0)
            self._workers.pop().terminate()
        else:
            for number in range(len(self._workers)):
                self._replace(number)
        assert self.hub.poll() is None, self.hub.communicate()[1]

    def _replace(self, number: int) -> None:
        self._workers[number].kill()
        self._workers[number] = self._made.worker()


def run(seconds: float, workers: int, seed: int) -> dict[str, Any]:
    """Return what happened."""
    with tempfile.TemporaryDirectory() as folder, processes(Path(folder), **JOB) as made:
        chaos, chance = Chaos(made, workers, seed), random.Random(seed)
        until_rounds(made.directory, 5)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.1, 1.5))
            chaos.strike()
        until_rounds(made.directory, 5)
        end(made, chaos.hub)
        done, began = assert_exact(made.directory), time.monotonic()
        digest = replay(made.directory).digest()
        return {
            "seconds": seconds,
            **chaos.count,
            "hub starts": sum("start" in entry for entry in read(made.directory)),
            "rounds": len(rounds(made.directory)),
            "steps": done[-1]["steps"],
            "contributions": sum(len(entry["members"]) for entry in done),
            "workers that ever took part": len({uid for entry in done for uid, _, _ in entry["members"]}),
            "seconds of the replay": round(time.monotonic() - began, 1),
            "table": digest,
            "exact": True,
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(run(**vars(parser.parse_args())), indent=2))
