/* The exploration rate of a window, in the fixed point that every loop has: a coin of 32 bits is compared with the
 * integer part of a threshold that moves linearly over the sweeps. It has 31 fraction bits, so that "always", 2^32,
 * fits. */
#ifndef CDQ_EXPLORATION_H
#define CDQ_EXPLORATION_H

#include "base.h"

#define CDQ_FRACTION_BITS 31
#define CDQ_ALWAYS 9223372036854775808.0 /* 2^32 in that fixed point */

typedef struct {
    uint64_t threshold;
    int64_t change; /* per sweep */
} cdq_exploration;

CDQ_INLINE cdq_exploration cdq_explore(double first, double last, int64_t sweeps)
{
    cdq_exploration explore;
    explore.threshold = (uint64_t)(first * CDQ_ALWAYS);
    explore.change = (int64_t)((last - first) * CDQ_ALWAYS / (double)(sweeps > 1 ? sweeps : 1));
    return explore;
}

/* The threshold of a sweep; the next call is for the next sweep. */
CDQ_INLINE uint64_t cdq_next_threshold(cdq_exploration *explore)
{
    uint64_t threshold = explore->threshold >> CDQ_FRACTION_BITS;
    explore->threshold += (uint64_t)explore->change;
    return threshold;
}

#endif
