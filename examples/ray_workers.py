"""Let Ray place the workers of a hub: python ray_workers.py URL WORKERS [KEYS]; cdq hub runs elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import ray


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def work(url: str, keys: str) -> None:
    """Join the hub in a process of its own until the job is done; where that dies, Ray tries again, maybe elsewhere."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CDQ_KEYS": keys}
    subprocess.run([sys.executable, "-m", "cdq.job.join", url], env=environment, check=True)


def main(url: str, workers: int, keys: str = "keys") -> None:
    ray.init(include_dashboard=False)  # on a cluster it finds the address that `ray job submit` sets
    if workers > (cores := int(ray.cluster_resources()["CPU"])):
        raise SystemExit(
            f"{workers} workers need a core each, and there are {cores}: the others would wait for ever"
        )
    ray.get([work.remote(url, f"{keys}/worker-{number}") for number in range(workers)])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
