"""Packets find their way: each node of a network learns how long its neighbours take to every destination.

Two grids of 18 nodes are joined by two links. Shortest ways all lead over the nearer link, and do not keep up where
many packets come; nodes that learn the times send some of them over the other one.

python examples/routing.py
"""

import numpy as np

import cdq
from cdq.envs.routing import Routing, deliver, shortest

if __name__ == "__main__":
    for load in (1.5, 3.0):
        network = Routing(load=load)
        fixed = deliver(network, shortest, 4000)
        print(
            f"{load} packets a tick: shortest ways take {fixed.ticks:.1f} ticks, {fixed.waiting:,} packets wait;",
            end=" ",
        )
        agent = cdq.QLearner(network, gamma=1.0, step_size=0.5, exploration=0.0, num_envs=1, seed=1)
        returns = agent.learn(4_000_000, verbose=0).history.column("mean_return")
        took = network.packet_time(returns[~np.isnan(returns)][-1])
        print(f"learnt ones take {took:.1f}")
