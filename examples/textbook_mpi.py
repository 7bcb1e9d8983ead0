"""The textbook's parallel Q-learning with mpi4py: every rank learns, and all go on from the table of rank 0.

Run it with one rank and with four: ``mpiexec -n 4 python examples/textbook_mpi.py``. The error is the same, since the
broadcast throws away what ranks 1 to 3 have learnt. `docs/from_mpi4py.md` does the same with cdq, where it is not.
"""

import gymnasium
import numpy as np
from matplotlib import pyplot
from mpi4py import MPI

import cdq

GAMMA, EXPLORATION, ROUNDS, WINDOW = 0.9, 0.5, 50, 1000
comm = MPI.COMM_WORLD


def learn(seed):
    random = np.random.default_rng((seed, comm.rank))
    env = gymnasium.make("FrozenLake-v1").unwrapped
    table, visits = np.zeros((16, 4)), np.zeros((16, 4))
    state, _ = env.reset(seed=int(random.integers(1 << 31)))
    errors = []
    for _ in range(ROUNDS):
        for _ in range(WINDOW):
            explores = random.random() < EXPLORATION
            action = int(random.integers(4)) if explores else int(table[state].argmax())
            after, reward, terminated, _, _ = env.step(action)
            visits[state, action] += 1
            step_size = 1 / (1 + (1 - GAMMA) * visits[state, action])
            target = reward if terminated else reward + GAMMA * table[after].max()
            table[state, action] += step_size * (target - table[state, action])
            state = env.reset()[0] if terminated else after
        table = comm.bcast(table, root=0)  # and what the other ranks have learnt is lost
        errors.append(abs(table - optimal).max())
    return errors


optimal = cdq.solve("FrozenLake-v1", gamma=GAMMA).values
errors = np.median([learn(seed) for seed in range(5)], axis=0)
if comm.rank == 0:
    print(f"{comm.size} ranks, {comm.size * ROUNDS * WINDOW:,} steps: error {errors[-1]:.3f}")
    ax = pyplot.figure(layout="constrained").add_subplot(
        xlabel="rounds of 1,000 steps", ylabel="largest error"
    )
    ax.plot(errors)
    ax.figure.savefig("textbook_mpi.svg")
