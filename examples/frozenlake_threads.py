"""Learn FrozenLake with two threads, draw values and policy, and say how far from optimal it can be."""

from __future__ import annotations

import cdq

ARROWS = "←↓→↑"  # FrozenLake's actions, in order


def main() -> None:
    agent = cdq.QLearner("FrozenLake-v1", workers=2, seed=0)
    agent.learn(2_000_000)

    table = agent.table
    rows, columns = agent.model.grid or (1, table.n_states)
    acted_in = agent.model.reachable()
    for row in range(rows):
        states = range(row * columns, (row + 1) * columns)
        print(" ".join(ARROWS[table.greedy(state)] if acted_in[state] else "·" for state in states))

    result = agent.evaluate(episodes=10_000)
    print(f"mean return   {result.mean_return:.3f} ± {result.standard_error:.3f}")

    report = agent.report()
    print(f"policy value  {report['policy_value']:.6f}")
    print(f"optimal value {report['optimal_value']:.6f}")
    print(f"gap           at most {report['gap']:.1e}")
    print(f"after         {agent.steps:,} steps in {report['rounds']} rounds")
    cdq.plot.values(agent).figure.savefig("frozenlake_threads.svg")


if __name__ == "__main__":
    main()
