"""Compiled loops over buffers; imports nothing from the rest of cdq.

Each piece of learning is written on five levels, and each level calls the one before it:

1. A formula is one inline function of numbers: the target in `table/target.h`, the worth of a successor by each
   update rule in `table/rules.h`, the choice of an action in `table/choice.h`, the fixed point of exploration in
   `loops/exploration.h`, the largest value of a row in `table/row_max.h`.
2. An inline function applies formulas to one pair of a table: `table/touch.h` counts a visit, logs it and returns the
   step size.
3. A loop applies inline functions to all lanes or to all transitions: `table/update.h`, `table/table_phases.h`,
   `linear/linear_phases.h`, `loops/window.h`, `loops/one_lane.h`, `loops/offline.h`.
4. A class of Cython holds the buffers that a loop works on, and is where an exception is raised: `loops/rollout.pyx`,
   `loops/stepping.pyx`, `loops/gym.pyx`, `table/qfunction.pyx`, `linear/linear.pyx`.
5. A stub, the `.pyi` file beside each `.pyx` file, is the face that the rest of cdq sees.

An update rule is a number that a table has (`table/rule.h` holds what it keeps for lanes). Loops call the functions of
`table/rules.h` with it; a transition comes with its discount, 0 where it terminated. Q-learning, the rule 0, has loops
of its own beside these.

Loops are generated from one text. Tables are of float or of double, and `per_type.h` includes a header once for each.
A constant number of actions unrolls the loops over a row (76 against 113 million steps/s), and `CDQ_UNROLLED` in
`base.h` makes a body of a phase for each common number. A second body for newer instruction sets comes from
`CDQ_CLONES` there.

The loops of networks are written with vectors of their own, and `network/sets.h` includes them once for each
instruction set: which one a processor takes changes no bit.

C stands under Cython because a loop needs what Cython cannot say: functions that are always inlined with constant
arguments, pointers that do not overlap, vectors, prefetches, clones for instruction sets. Cython allocates, checks
arguments, raises errors, releases the lock of the interpreter and calls C once for thousands of steps.
"""
