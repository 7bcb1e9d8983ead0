"""Q-functions: tables that workers share, hashed tables, and linear functions of features.

- `blocks`: Blocks of a table: the table of each, and those that one worker keeps for itself.
- `dense`: Dense tables: a row for each state.
- `divergence`: Detection of a Q-function whose values grow without bound.
- `grid`: Policies on the grid that a model's states are the cells of: aims of actions, kinds of cells, lines of arrows.
- `hashed`: Hashed tables: the part that the workers of a process share, and the agreement of all workers on rows.
- `linear`: Linear Q-functions: an observation leads to several rows of weights, whose entries add up.
- `merged`: The table that the workers of a process share, and the memory that each worker's copy takes.
- `network`: Networks: multilayer perceptrons of observations, and the parameters that the workers of a process share.
- `personal`: A common table with a table of its own for each worker behind it.
- `qtable`: QTable: values and visits of every pair, and the policy and state values that follow.
- `showing`: Tables for people: as text, and in notebooks, on their grid where they have one.
- `sole`: The table of a worker without peers: it needs no second copy, so that a large one takes a third of the
  memory.
- `trained`: Training of a network between the rollouts of a loop, and the exchange of gradients for it.
"""

from cdq.qfunctions.blocks import bring_together, tables_of
from cdq.qfunctions.dense import Table
from cdq.qfunctions.divergence import DivergenceGuard
from cdq.qfunctions.grid import ARROWS, ASCII_ARROWS, LEGEND, MOVES, aims, kinds, policy_lines, signs, symbols
from cdq.qfunctions.hashed import HashedCells, HashedStates, HashedTable
from cdq.qfunctions.linear import Linear
from cdq.qfunctions.merged import MergedTable, allocate, mean_of_tables, rows_over, table_bytes
from cdq.qfunctions.network import MergedNetwork, Parameters, Perceptron
from cdq.qfunctions.personal import PersonalTable, blocks_of_fleet
from cdq.qfunctions.qtable import QTable, tables_in
from cdq.qfunctions.showing import as_html, model_as_html
from cdq.qfunctions.sole import LARGE, SoleTable
from cdq.qfunctions.trained import Trained, TrainedQ

__all__ = [
    "ARROWS",
    "ASCII_ARROWS",
    "LARGE",
    "LEGEND",
    "MOVES",
    "DivergenceGuard",
    "HashedCells",
    "HashedStates",
    "HashedTable",
    "Linear",
    "MergedNetwork",
    "MergedTable",
    "Parameters",
    "Perceptron",
    "PersonalTable",
    "QTable",
    "SoleTable",
    "Table",
    "Trained",
    "TrainedQ",
    "aims",
    "allocate",
    "as_html",
    "blocks_of_fleet",
    "bring_together",
    "kinds",
    "mean_of_tables",
    "model_as_html",
    "policy_lines",
    "rows_over",
    "signs",
    "symbols",
    "table_bytes",
    "tables_in",
    "tables_of",
]
