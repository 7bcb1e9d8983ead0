"""Let Dask place the workers of a hub: python dask_workers.py URL WORKERS [KEYS]; cdq hub runs elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

from dask.distributed import Client


def work(url: str, keys: str) -> None:
    """Join the hub in a process of its own until the job is done: a main thread, to which signals come, is Dask's."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CDQ_KEYS": keys}
    subprocess.run([sys.executable, "-m", "cdq.job.join", url], env=environment, check=True)


def main(url: str, workers: int, keys: str = "keys") -> None:
    # DASK_SCHEDULER_ADDRESS names a cluster; without, the machine's cores are one.
    client = (
        Client(n_workers=workers, threads_per_worker=1)
        if "DASK_SCHEDULER_ADDRESS" not in os.environ
        else Client()
    )
    with client:
        joined = [  # pure=False: else equal calls are one task
            client.submit(work, url, f"{keys}/worker-{number}", pure=False, retries=3)
            for number in range(workers)
        ]
        client.gather(joined)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
