"""A finite model of an environment, and exact answers on it.

- `arguments`: Checks of the arguments of `cdq.mdp.planning`.
- `arrays`: Types of the arrays of models and solutions.
- `average_reward`: Average reward per step: relative value iteration, and the bounds that certify the gain.
- `bellman`: Models folded for backups: the mean reward of each pair, and the successors with their weights.
- `board`: Board of a game that is a model: it is played by drawing from the model's outcomes.
- `certify`: Bounds of each state's own error: rounding, summed over the ways that near-optimal actions take.
- `checks`: Checks of the arrays of a finite model, and the limits of its size.
- `complete`: Arguments of a model from outcomes in order: missing actions, ends, rounded probabilities, the start.
- `discounted`: Modified policy iteration for gamma < 1, and the certificate of its result.
- `finite`: A finite model itself: immutable arrays, checked, and properties read off them; `cdq.MDP` adds ways to
  make one.
- `finite_horizon`: Optimal plans for a finite horizon, by backward induction.
- `functions`: Models from functions: the outcomes of every pair, asked for one pair at a time.
- `games`: Games of two players in turn, as models whose discount has the other sign: optimum, bounds, and the worst
  result.
- `gap`: Bounds of a table's values, and the distance of the greedy policy from optimal.
- `matrices`: Outcomes of a model from transition and reward matrices, dense or sparse.
- `model`: MDP: an immutable finite model, from Gymnasium, from arrays, from flat outcomes, from samples, or random.
- `optimum`: The optimum of a model and the values of a policy, each with certified bounds.
- `outcomes`: Outcomes of `cdq.MDP`: in order, equal ones merged, and every check of a model.
- `planning`: Exact answers where the model is known: optimal values, a policy's value, bounds of a table's values.
- `sampler`: Models as the compiled loops sample them, and episodes of a policy in a model.
- `samples`: The empirical model of `cdq.MDP.from_samples`: counted transitions, and a substitute for pairs that
  nobody tried.
- `solution`: Results of planning.
- `undiscounted`: Total reward without discount: policy iteration over policies that end, and its certificate.
"""

from cdq.mdp.arguments import model_of
from cdq.mdp.board import ModelBoard
from cdq.mdp.complete import from_table
from cdq.mdp.games import worst_results
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
    "ModelBoard",
    "OptimalityGap",
    "PackedModel",
    "Solution",
    "bounds",
    "evaluate_policy",
    "follow_policy",
    "from_table",
    "model_of",
    "optimality_gap",
    "pack_model",
    "solve",
    "worst_results",
]
