"""A finite model of an environment, and exact answers on it.

- `arguments`: Checks of the arguments of `cdq.mdp.planning`.
- `average_reward`: Average reward per step: relative value iteration, and the bounds that certify the gain.
- `bellman`: A model folded for backups: what each pair pays on average, and where it goes on to with what weight.
- `certify`: Bounds of each state's own error: what rounding may add up to on the ways that near-optimal actions take.
- `checks`: Checks of the arrays of a finite model, and the limits of its size.
- `complete`: Arguments of a model from outcomes in order: missing actions, ends, rounded probabilities, the start.
- `discounted`: Modified policy iteration for gamma < 1, and the certificate of its result.
- `finite`: A finite model itself: immutable arrays, checked, and properties read off them; `cdq.MDP` adds ways to
  make one.
- `finite_horizon`: Optimal plans for a finite horizon, by backward induction.
- `gap`: Bounds of a table's values, and how far its greedy policy is from optimal.
- `matrices`: Transition and reward matrices, dense or sparse, to the outcomes of a model.
- `model`: MDP: an immutable finite model, from Gymnasium, from arrays, from flat outcomes, from samples, or random.
- `optimum`: The optimum of a model and the values of a policy, each with certified bounds.
- `outcomes`: Outcomes of `cdq.MDP`: in order, equal ones merged, and every check of a model.
- `planning`: Exact answers where the model is known: optimal values, a policy's value, bounds of a table's values.
- `sampler`: Models as the compiled loops sample them, and episodes of a policy in a model.
- `samples`: The empirical model of `cdq.MDP.from_samples`: transitions counted, and what stands for pairs that nobody
  tried.
- `solution`: Results of planning.
- `undiscounted`: Total reward without discount: policy iteration over policies that end, and what can be certified of
  it.
"""

from cdq.mdp.gap import optimality_gap
from cdq.mdp.model import MDP
from cdq.mdp.planning import bounds, evaluate_policy, solve
from cdq.mdp.sampler import PackedModel, follow_policy, pack_model
from cdq.mdp.solution import AverageSolution, Bounds, HorizonSolution, OptimalityGap, Solution

__all__ = [
    "MDP",
    "AverageSolution",
    "Bounds",
    "HorizonSolution",
    "OptimalityGap",
    "PackedModel",
    "Solution",
    "bounds",
    "evaluate_policy",
    "follow_policy",
    "optimality_gap",
    "pack_model",
    "solve",
]
