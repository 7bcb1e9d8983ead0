"""Several agents in Python: time of an agent's step beyond the environment's own, and two workers against one.

Run: python -m tests.benchmarks.agents. The environments of the first part answer from prepared dictionaries, so that
nearly all of the time is cdq's. Those of the second compute for a while in each step, as a simulator does.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

from gymnasium.spaces import Discrete

import cdq
from tests.benchmarks.tables import begin, row, spread

ROUNDS, STEPS = 9, 640_000
PARALLEL, WINDOW = 2_000_000, 20_000  # steps of each worker, and those between two merges
Answer = dict[str, Any]


class Prepared:
    """Agents who act at the same time, whose answers are prepared."""

    def __init__(self, n: int = 16) -> None:
        self.possible_agents = [f"a{number}" for number in range(n)]
        self.agents = list(self.possible_agents)
        self.none, self.infos = dict.fromkeys(self.agents, False), {agent: {} for agent in self.agents}
        self.rewards = dict.fromkeys(self.agents, 1.0)
        self.seen = [{agent: (7 * i + j) % 50 for i, agent in enumerate(self.agents)} for j in range(64)]
        self.steps = 0

    def observation_space(self, agent: str) -> Discrete:
        return Discrete(50)

    def action_space(self, agent: str) -> Discrete:
        return Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return self.seen[0], self.infos

    def step(self, actions: Answer) -> tuple[Answer, Answer, Answer, Answer, Answer]:
        self.steps += 1
        return self.seen[self.steps % 64], self.rewards, self.none, self.none, self.infos


class PreparedTurns(Prepared):
    """Agents who act in turn, whose answers are prepared."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agent_selection = self.agents[0]

    def last(self, observe: bool = True) -> tuple[int, float, bool, bool, Answer]:
        return 7 * self.steps % 50, 1.0, False, False, self.none

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.agent_selection = self.agents[self.steps % len(self.agents)]


class Simulated(Prepared):
    """Agents whose environment computes for a while."""

    def step(self, actions: Answer) -> tuple[Answer, Answer, Answer, Answer, Answer]:
        sum(number * number for number in range(400))
        return super().step(actions)


def microseconds(work: Callable[[], object], steps: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) / steps * 1e6


def play(env: Any) -> None:
    """Play an environment without learning."""
    env.reset()
    if hasattr(env, "last"):
        for _ in range(STEPS):
            env.last()
            env.step(0)
        return
    actions = dict.fromkeys(env.agents, 0)
    for _ in range(STEPS // len(actions)):
        env.step(actions)


def beyond(kind: Any, **settings: Any) -> None:
    """Print how long a step of an agent takes, and how much of it is the environment's own."""
    agent = cdq.QLearner(kind, seed=0, **settings).learn(STEPS, verbose=0)
    learnt = [microseconds(lambda: agent.learn(STEPS, verbose=0), STEPS) for _ in range(ROUNDS)]
    played = [microseconds(lambda: play(kind()), STEPS) for _ in range(ROUNDS)]
    own = statistics.median(played)
    told = ", ".join(f"`{key}={value!r}`" for key, value in settings.items()) or "one learner for each"
    way = "act in turn" if kind is PreparedTurns else "act at the same time"
    row(f"{way}, {told}", spread((one - own for one in learnt), goal=2, most=True), f"{own:.2f}", "2 at most")


def speedup(sync_every: Any, repeats: int) -> None:
    """Print how much faster two workers take as many steps each as one, start of the processes apart."""
    ratios, cpu = [], []
    for _ in range(repeats):
        (one, own), (two, both) = (rate(workers, sync_every) for workers in (1, 2))
        ratios.append(two / one)
        cpu.append(2 * own / both)
    row(f"{sync_every!r}", spread(ratios), spread(cpu, goal=1.8), "1.8")


def rate(workers: int, sync_every: Any) -> tuple[float, float]:
    """Return the steps a second of a learner in processes, and the CPU microseconds of a step, starting apart."""
    (few, started, _), (many, cpu, history) = (
        spent(workers, sync_every, steps) for steps in (WINDOW * workers, PARALLEL * workers)
    )
    # The first round ends when all processes have come.
    steps, seconds = history["steps"], history["seconds"]
    per_second = float((steps[-1] - steps[0]) / (seconds[-1] - seconds[0]))
    return per_second, (cpu - started) / (many - few) * 1e6


def spent(workers: int, sync_every: Any, steps: int) -> tuple[int, float, Any]:
    """Return the steps of a learner, the CPU seconds that they and its processes took, and its history."""
    began = time.process_time() + children()
    agent = cdq.QLearner(Simulated, workers=workers, seed=0, sync_every=sync_every).learn(steps, verbose=0)
    agent.close()
    return agent.steps, time.process_time() + children() - began, agent.history


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("beyond", "processes"), help="one of the tables")
    given = parser.parse_args()
    if given.only != "processes":
        begin(
            "16 agents in Python: CPU time of an agent's step beyond its own",
            "agents",
            "us",
            "its own",
            "goal",
        )
        beyond(Prepared)
        beyond(Prepared, table="hash")
        beyond(Prepared, groups="shared")
        beyond(PreparedTurns)
    if given.only != "beyond":
        head = ("`sync_every`", "two processes against one", "against one by CPU time", "goal")
        begin("The same agents, whose environment computes 1 us a step of each", *head)
        speedup(WINDOW, given.repeats)
        speedup("auto", 1)


if __name__ == "__main__":
    main()
