"""Learn Taxi with a worker per MPI rank: mpiexec -n 4 python taxi_mpi.py."""

from __future__ import annotations

import cdq


def main() -> None:
    agent = cdq.QLearner("Taxi-v4", seed=0)  # one worker per rank under mpiexec or srun, else one thread
    agent.learn(8_000_000)  # steps, summed over all workers
    if agent.rank == 0:  # all ranks have the same table: one of them tells
        report = agent.report()
        print(
            f"workers {report['workers']}, mean return {report['mean_return']:.2f}, gap {report['gap']:.1e}"
        )
        print(f"table {report['digest']}")
        cdq.plot.gap(agent).figure.savefig("taxi_mpi.svg")


if __name__ == "__main__":
    main()
