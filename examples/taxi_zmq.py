"""Learn Taxi with processes that a hub connects, and with threads: the table is the same."""

from __future__ import annotations

import cdq


def main() -> None:
    agent = cdq.QLearner(
        "Taxi-v4", workers=2, comm="zmq", seed=0
    )  # processes start and end with each `learn`
    agent.learn(5_000_000)
    report = agent.report()
    print(f"mean return {report['mean_return']:.2f}, gap {report['gap']:.1e}")
    print(f"processes: table {report['digest']}")
    threads = cdq.QLearner("Taxi-v4", workers=2, seed=0).learn(5_000_000)
    print(f"threads:   table {threads.table.digest()}")
    cdq.plot.communication(agent).figure.savefig("taxi_zmq.svg")


if __name__ == "__main__":
    main()
