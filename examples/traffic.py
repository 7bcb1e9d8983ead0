"""Traffic lights learn from the queues in front of them: nine crossings, with a table each, or one that they share.

Each light chooses which direction has green in the next five seconds, and is paid minus the vehicles that wait at its
crossing. Prints how many wait in the whole city, a mean over time.

python examples/traffic.py
"""

from matplotlib import pyplot

import cdq
from cdq.envs.signals import fixed_cycle, longest_queue, mean_queued

LIGHTS = 9


def waiting(groups, decisions):
    """Return how many vehicles wait in the last tenth of so many decisions of each light."""
    agent = cdq.QLearner(
        cdq.Signals(rows=3, columns=3, time_limit=decisions // 10),
        groups=groups,
        gamma=0.9,
        step_size=0.05,
        exploration=cdq.LinearDecay(0.2, 0.0, 0.8 * LIGHTS * decisions),
        num_envs=1,
        seed=0,
    )
    last = agent.learn(LIGHTS * decisions, verbose=0).history[-1]
    return -LIGHTS * last.mean_return / last.mean_length


if __name__ == "__main__":
    city = cdq.Signals(rows=3, columns=3)
    found = {
        "a fixed cycle": mean_queued(city, fixed_cycle(3), 3000),
        "the longest queue": mean_queued(city, longest_queue, 3000),
    }
    for decisions in (10_000, 40_000):
        for groups, name in (("own", "a table each"), ("shared", "one table")):
            found[f"{name:13} {decisions:,}"] = waiting(groups, decisions)
    for name, queued in found.items():
        print(f"{name:23} {queued:4.1f}")
    ax = pyplot.figure(figsize=(7, 3), layout="constrained").add_subplot()
    ax.bar_label(ax.barh([*reversed(found)], [*reversed(found.values())]), fmt="%.1f", padding=3)
    ax.set_xlabel("vehicles that wait")
    ax.figure.savefig("traffic.svg")
