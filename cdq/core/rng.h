/* xoshiro256++ 1.0 (Blackman and Vigna, 2019): one stream per lane, the four words of all lanes side by side,
 * so that a draw for every lane is one loop that the compiler vectorises. */
#ifndef CDQ_RNG_H
#define CDQ_RNG_H

#include "base.h"

CDQ_INLINE uint64_t cdq_rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

CDQ_INLINE uint64_t cdq_next(uint64_t *s0, uint64_t *s1, uint64_t *s2, uint64_t *s3)
{
    uint64_t a = *s0, b = *s1, c = *s2, d = *s3;
    uint64_t result = cdq_rotl(a + d, 23) + a;
    uint64_t t = b << 17;
    c ^= a;
    d ^= b;
    *s1 = b ^ c;
    *s0 = a ^ d;
    *s2 = c ^ t;
    *s3 = cdq_rotl(d, 45);
    return result;
}

/* The next word of one lane: words is (4, lanes). */
CDQ_INLINE uint64_t cdq_next_of_lane(uint64_t *words, int64_t lanes, int64_t lane)
{
    return cdq_next(words + lane, words + lanes + lane, words + 2 * lanes + lane, words + 3 * lanes + lane);
}

/* The next word of every lane. */
CDQ_INLINE void cdq_next_of_all(uint64_t *words, int64_t lanes, uint64_t *restrict out)
{
    uint64_t *restrict s0 = words, *restrict s1 = words + lanes;
    uint64_t *restrict s2 = words + 2 * lanes, *restrict s3 = words + 3 * lanes;
    for (int64_t i = 0; i < lanes; i++)
        out[i] = cdq_next(s0 + i, s1 + i, s2 + i, s3 + i);
}

/* An integer below n from 32 random bits (Lemire's multiplication; its bias is below n / 2^32). */
CDQ_INLINE uint32_t cdq_below(uint32_t bits, uint32_t n) { return (uint32_t)(((uint64_t)bits * n) >> 32); }

#endif
