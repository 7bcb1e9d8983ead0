"""Traffic lights learn from the queues in front of them: nine crossings, with a table each, or one that they share.

Each light chooses which direction has green in the next five seconds, and is paid minus the vehicles that wait at its
crossing. Prints how many wait in the whole city, a mean over time.

python examples/traffic.py              as threads; under mpiexec -n 4, a city in each process
python examples/traffic.py URL          one table, by three workers of a hub: start them with cdq join URL
"""

import sys

from matplotlib import pyplot

import cdq
from cdq.envs.signals import fixed_cycle, longest_queue, mean_queued
from cdq.job import Hosting

LIGHTS = 9


def learn(groups, decisions, hosting=None, **how):
    """Return a learner that has made so many decisions for each light."""
    agent = cdq.QLearner(
        "cdq/Signals-v0",
        groups=groups,
        gamma=0.9,
        step_size=0.05,
        exploration=cdq.LinearDecay(0.2, 0.0, 0.8 * LIGHTS * decisions),
        num_envs=1,
        seed=0,
        **how,
    )
    return agent.learn(LIGHTS * decisions, verbose=0, hosting=hosting)


def waiting(agent):
    """Return how many vehicles wait in the city in the last episodes of what was learnt."""
    last = [row for row in agent.history if row.mean_length > 0][-1]
    return -LIGHTS * last.mean_return / last.mean_length


def main(hub=None):
    if hub:
        agent = learn("shared", 10_000, Hosting(hub), comm="zmq", workers=3, checkpoint="traffic.job")
        print(f"by a hub  {waiting(agent):4.1f}, table {agent.table.digest()}")
        return
    learners = {
        f"{name:13} {decisions:,}": learn(groups, decisions)
        for decisions in (10_000, 40_000)
        for groups, name in (("own", "a table each"), ("shared", "one table"))
    }
    if any(agent.rank for agent in learners.values()):
        return  # one of several processes tells
    city = cdq.Signals(rows=3, columns=3)
    found = {
        "a fixed cycle": mean_queued(city, fixed_cycle(3), 3000),
        "the longest queue": mean_queued(city, longest_queue, 3000),
        **{name: waiting(agent) for name, agent in learners.items()},
    }
    for name, queued in found.items():
        print(f"{name:23} {queued:4.1f}")
    ax = pyplot.figure(figsize=(7, 3), layout="constrained").add_subplot()
    ax.bar_label(ax.barh([*reversed(found)], [*reversed(found.values())]), fmt="%.1f", padding=3)
    ax.set_xlabel("vehicles that wait")
    ax.figure.savefig("traffic.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
