/* The largest value of a row that was just written to; included once per type: REAL, NAME. */
#include "table/row_max.h"

/* The largest value of a row, one by one where there are few: the row was often written to a moment ago, and a load
 * of a vector over a store of a part of it waits for the store (FrozenLake8x8: 229 against 281 million updates/s). */
CDQ_INLINE REAL NAME(cdq_best_of)(const REAL *q, const int64_t n_actions)
{
    REAL best = q[0];
    if (n_actions > 8)
        return NAME(cdq_row_max)(q, n_actions);
    for (int64_t b = 1; b < n_actions; b++)
        best = q[b] > best ? q[b] : best;
    return best;
}
