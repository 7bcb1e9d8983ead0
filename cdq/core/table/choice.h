/* Choosing an action by the values of a row; included once per type: REAL, NAME. */

#ifndef CDQ_CHOICE_H
#define CDQ_CHOICE_H
#include "rng.h"
#include "table/row_max.h"

/* A uniform action among those that a mask allows; n_actions where it allows none. */
CDQ_INLINE uint32_t cdq_allowed(const uint8_t *mask, int64_t n_actions, uint32_t bits)
{
    uint32_t n = 0;
    for (int64_t a = 0; a < n_actions; a++)
        n += mask[a] != 0;
    uint32_t left = cdq_below(bits, n);
    for (int64_t a = 0; a < n_actions; a++)
        if (mask[a] && left-- == 0)
            return (uint32_t)a;
    return (uint32_t)n_actions;
}

/* All bits where the coin, the upper half of the random bits, says to explore, else none. */
CDQ_INLINE uint32_t cdq_explores(uint64_t threshold, uint64_t random) { return -(uint32_t)(random >> 32 < threshold); }

/* One number where all bits of *which* are set, another where none is: a branch is mispredicted as often as the coin
 * falls on the rarer side. */
CDQ_INLINE uint32_t cdq_either(uint32_t which, uint32_t one, uint32_t other) { return other ^ ((other ^ one) & which); }
#endif

#include "table/masked.h"

/* A greedy action, uniform among ties. Up to 8 actions without a branch: equal values come and go as the table
 * converges, and a mispredicted branch costs more than the whole choice. */
CDQ_INLINE uint32_t NAME(cdq_greedy)(const REAL *q, int64_t n_actions, uint32_t bits)
{
    REAL best = NAME(cdq_row_max)(q, n_actions);
    if (n_actions <= 8) {
        uint32_t ties = NAME(cdq_equal)(q, n_actions, best);
        return cdq_nth_bit[ties][cdq_below(bits, (uint32_t)cdq_bits_set[ties])];
    }
    uint32_t ties = 0;
    for (int64_t a = 0; a < n_actions; a++)
        ties += q[a] == best;
    uint32_t left = cdq_below(bits, ties);
    for (int64_t a = 0; a < n_actions; a++)
        if (q[a] == best && left-- == 0)
            return (uint32_t)a;
    return 0;
}

/* Epsilon-greedy: the upper half of the random bits is the coin, the lower half picks among the candidates. */
CDQ_INLINE uint32_t NAME(cdq_choice)(const REAL *q, int64_t n_actions, uint64_t threshold, uint64_t random)
{
    uint32_t bits = (uint32_t)random, uniform = cdq_below(bits, (uint32_t)n_actions);
    uint32_t explores = cdq_explores(threshold, random);
    if (n_actions > 8 && explores)
        return uniform;
    return cdq_either(explores, uniform, NAME(cdq_greedy)(q, n_actions, bits));
}

/* The greedy action of lowest index, among those that the mask (NULL: every one) allows; n_actions where it allows
 * none. */
CDQ_INLINE uint32_t NAME(cdq_lowest_greedy)(const REAL *q, const uint8_t *mask, int64_t n_actions)
{
    int64_t best = n_actions;
    for (int64_t a = 0; a < n_actions; a++)
        if ((!mask || mask[a]) && (best == n_actions || q[a] > q[best]))
            best = a;
    return (uint32_t)best;
}

/* The choice of cdq_choice among the actions that the mask allows; n_actions where it allows none. */
CDQ_INLINE uint32_t NAME(cdq_choice_allowed)(const REAL *q, const uint8_t *mask, int64_t n_actions,
                                             uint64_t threshold, uint64_t random)
{
    uint32_t coin = (uint32_t)(random >> 32), bits = (uint32_t)random;
    if (n_actions > 1 && n_actions <= CDQ_MOST_BITS) {
        uint64_t allowed = cdq_bits_of(mask, n_actions);
        REAL greatest = NAME(cdq_max_of)(q, allowed, n_actions);
        uint64_t ties = NAME(cdq_bits_equal)(q, n_actions, greatest) & allowed; /* none where values have become NaN */
        uint64_t candidates = coin < threshold || !ties ? allowed : ties;
        return allowed ? cdq_nth_of(candidates, cdq_below(bits, cdq_count_bits(candidates))) : (uint32_t)n_actions;
    }
    int64_t best = NAME(cdq_lowest_greedy)(q, mask, n_actions);
    if (coin < threshold || best == n_actions)
        return cdq_allowed(mask, n_actions, bits);
    uint32_t ties = 0;
    for (int64_t a = best; a < n_actions; a++)
        ties += mask[a] && q[a] == q[best];
    uint32_t left = cdq_below(bits, ties);
    for (int64_t a = best; a < n_actions; a++)
        if (mask[a] && q[a] == q[best] && left-- == 0)
            return (uint32_t)a;
    return (uint32_t)best;
}

/* The largest value among those that the mask (NULL: every one) allows. Where it allows none the episode is as good
 * as over: 0. */
CDQ_INLINE REAL NAME(cdq_max_allowed)(const REAL *q, const uint8_t *mask, int64_t n_actions)
{
    if (!mask)
        return NAME(cdq_row_max)(q, n_actions);
    REAL best = NAME(cdq_masked_max)(q, mask, n_actions);
    return best == -(REAL)INFINITY ? (REAL)0 : best;
}
