"""Learn when to repair a machine from a log in a CSV file, and write the policy into another one."""

from __future__ import annotations

import csv
import random

import cdq

STATES = ("new", "good", "worn", "broken")


def write_log(path: str, days: int) -> None:
    """Write a log, as a factory might have kept it: the machine runs or is repaired, by chance."""
    chance, state = random.Random(0), 0
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["state", "action", "reward", "next_state"])
        for _ in range(days):
            action = chance.choice(("run", "repair"))
            wears = state < 3 and chance.random() < (0.1, 0.3, 0.5)[state]
            following = 0 if action == "repair" else state + wears
            earns = (-40, -20)[state < 3] if action == "repair" else (10, 9, 7, 0)[state]
            rows.writerow([STATES[state], action, earns, STATES[following]])
            state = following


def learn(path: str) -> cdq.QLearner:
    """Return a learner of the log; its states and actions are the words of the file."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return cdq.QLearner.from_log(
        states=[row["state"] for row in rows],
        actions=[row["action"] for row in rows],
        rewards=[float(row["reward"]) for row in rows],
        next_states=[row["next_state"] for row in rows],
        terminated=[False] * len(rows),  # the factory goes on
        passes=20,
        gamma=0.95,
        seed=0,
    )


def main() -> None:
    write_log("log.csv", days=20_000)
    agent = learn("log.csv")
    names, table = agent.names, agent.table
    with open("policy.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["state", "action", *(f"value of {action}" for action in names.actions), "times seen"])
        for state, values, visits in zip(names.states, table.values, table.visits, strict=True):
            rows.writerow([state, agent.predict(state), *values.round(2), visits.sum()])
            print(f"{state}: {agent.predict(state)}")
    ax = cdq.plot.table(agent)
    ax.set_xticks(range(len(names.actions)), names.actions)
    ax.set_yticks(range(len(names.states)), names.states)
    ax.figure.savefig("csv_log.svg")


if __name__ == "__main__":
    main()
