"""Packets find their way: each node of a network learns how long its neighbours take to every destination.

Two grids of 18 nodes are joined by two links. Shortest ways all lead over the nearer link, and do not keep up where
many packets come; nodes that learn the times send some of them over the other one.

python examples/routing.py
"""

import numpy as np
from matplotlib import pyplot

import cdq
from cdq.envs.routing import Routing, deliver, shortest

if __name__ == "__main__":
    ax = pyplot.figure(figsize=(7, 3), layout="constrained").add_subplot()
    for load in (1.5, 3.0):
        network = Routing(load=load)
        fixed = deliver(network, shortest, 4000)
        print(f"{load} packets a tick: shortest ways take {fixed.ticks:.1f} ticks, ", end="")
        print(f"{fixed.waiting:,} packets wait;", end=" ")
        agent = cdq.QLearner(network, gamma=1.0, step_size=0.5, exploration=0.0, num_envs=1, seed=1)
        history = agent.learn(4_000_000, verbose=0).history
        steps, returns = history.column("steps"), history.column("mean_return")
        ended = ~np.isnan(returns)
        took = network.packet_time(returns[ended])
        print(f"learnt ones take {took[-1]:.1f}")
        (line,) = ax.semilogy(steps[ended], took, label=f"learnt, {load} packets a tick")
        ax.axhline(fixed.ticks, color=line.get_color(), linestyle=":", label="shortest ways")
    ax.set(xlabel="decisions", ylabel="ticks that a packet takes")
    ax.legend(frameon=False)
    ax.figure.savefig("routing.svg")
