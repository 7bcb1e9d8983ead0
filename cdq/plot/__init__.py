"""Pictures of runs and of results, by matplotlib (the extra ``plot``), which is imported with the first picture.

Each function draws on the axes *ax*, or on new ones of pyplot, and returns them. Colours can be told apart with any
kind of colour vision; texts follow the style of matplotlib, dark ones included.

- `axes`: Axes to draw on, and the colours that all pictures have in common.
- `curves`: Curves of runs: returns, gaps and bytes, with a band over seeds; speed-up by workers.
- `files`: Pictures as files: PNG or SVG, by the ending of the name.
- `learners`: Learners as pictures know them: by what they offer, so that pictures need nothing of how a learner is
  made.
- `runs`: Runs as pictures take them: learners, histories, comparisons, or lists or dictionaries of these.
- `surface`: The state values of a Q-function of vectors, over two inputs.
- `tables`: State values, policies, visits and action values, on grids and as matrices.
"""

from cdq.plot.curves import communication, gap, learning_curve, speedup
from cdq.plot.surface import surface
from cdq.plot.tables import table, values, visits

__all__ = ["communication", "gap", "learning_curve", "speedup", "surface", "table", "values", "visits"]
