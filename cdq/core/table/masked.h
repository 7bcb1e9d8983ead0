/* Rows of which a mask allows some actions: a byte for each, 0 where it does not; included once per type: REAL, NAME.
 *
 * Without a branch where that can be: which actions are allowed is hard to foresee. Up to 64 actions are a set of bits. */

#ifndef CDQ_MASKED_H
#define CDQ_MASKED_H
#include <math.h>

#include "table/row_max.h"

#define CDQ_MOST_BITS 64

/* cdq_nth_bit[mask][j]: the position of the j-th set bit. */
static unsigned char cdq_nth_bit[256][8];

/* Number of bits of each mask: popcount is no baseline instruction. */
static unsigned char cdq_bits_set[256];

static void cdq_fill_bit_tables(void)
{
    for (int mask = 0; mask < 256; mask++)
        for (int bit = 0; bit < 8; bit++)
            if (mask >> bit & 1 && cdq_bits_set[mask] < 8)
                cdq_nth_bit[mask][cdq_bits_set[mask]++] = (unsigned char)bit;
}

/* Eight bytes as bits, 1 where a byte is not 0: the product moves the lowest bit of byte k to bit 56 + k. */
CDQ_INLINE uint64_t cdq_eight_bits(const uint8_t *mask)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t bytes;
    memcpy(&bytes, mask, 8);
    bytes |= (bytes & 0x7f7f7f7f7f7f7f7fu) + 0x7f7f7f7f7f7f7f7fu; /* the highest bit of each */
    bytes = bytes >> 7 & 0x0101010101010101u;
    return bytes * 0x0102040810204080u >> 56;
#else
    uint64_t bits = 0;
    for (int k = 0; k < 8; k++)
        bits |= (uint64_t)(mask[k] != 0) << k;
    return bits;
#endif
}

/* The allowed actions, of up to 64, as bits. */
CDQ_INLINE uint64_t cdq_bits_of(const uint8_t *mask, const int64_t n_actions)
{
    uint64_t bits = 0;
    if (n_actions < 8) {
        for (int64_t a = 0; a < n_actions; a++)
            bits |= (uint64_t)(mask[a] != 0) << a;
        return bits;
    }
    for (int64_t a = 0; a < n_actions - 8; a += 8)
        bits |= cdq_eight_bits(mask + a) << a;
    return bits | cdq_eight_bits(mask + n_actions - 8) << (n_actions - 8);
}

CDQ_INLINE uint32_t cdq_count_bits(uint64_t bits)
{
    uint32_t n = 0;
    for (; bits; bits >>= 8)
        n += cdq_bits_set[bits & 255];
    return n;
}

/* The position of the j-th of the bits that are set. */
CDQ_INLINE uint32_t cdq_nth_of(uint64_t bits, uint32_t j)
{
    uint32_t first = 0, n;
    while (j >= (n = cdq_bits_set[bits & 255])) {
        j -= n;
        bits >>= 8;
        first += 8;
    }
    return first + cdq_nth_bit[bits & 255][j];
}

#ifdef __SSE2__
/* The least of a value and its limit is the value where it is allowed, else minus infinity. */
static const double cdq_limit_double[4][2] = {
    {-INFINITY, -INFINITY}, {INFINITY, -INFINITY}, {-INFINITY, INFINITY}, {INFINITY, INFINITY}};

CDQ_INLINE __m128d cdq_limited(const double *q, uint64_t bits)
{
    return _mm_min_pd(_mm_loadu_pd(q), _mm_loadu_pd(cdq_limit_double[bits & 3]));
}

/* The largest of two or more values among those whose bit is set; minus infinity without one. */
CDQ_INLINE double cdq_max_of_double(const double *q, uint64_t bits, const int64_t n)
{
    __m128d best = cdq_limited(q + n - 2, bits >> (n - 2));
    for (int64_t a = 0; a < n - 2; a += 2)
        best = _mm_max_pd(best, cdq_limited(q + a, bits >> a));
    return _mm_cvtsd_f64(_mm_max_sd(best, _mm_unpackhi_pd(best, best)));
}
#else
CDQ_INLINE double cdq_max_of_double(const double *q, uint64_t bits, const int64_t n)
{
    double best = -INFINITY;
    for (int64_t a = 0; a < n; a++) {
        double value = q[a];
        value = bits >> a & 1 ? value : -INFINITY;
        best = value > best ? value : best;
    }
    return best;
}
#endif

CDQ_INLINE float cdq_max_of_float(const float *q, uint64_t bits, const int64_t n)
{
    float best = -INFINITY;
    for (int64_t a = 0; a < n; a++) {
        float value = q[a];
        value = bits >> a & 1 ? value : -INFINITY;
        best = value > best ? value : best;
    }
    return best;
}
#endif

/* The largest value among those that the mask allows, minus infinity where it allows none. */
CDQ_INLINE REAL NAME(cdq_masked_max)(const REAL *q, const uint8_t *mask, const int64_t n_actions)
{
    if (n_actions > 1 && n_actions <= CDQ_MOST_BITS)
        return NAME(cdq_max_of)(q, cdq_bits_of(mask, n_actions), n_actions);
    REAL best = -(REAL)INFINITY;
    for (int64_t a = 0; a < n_actions; a++) {
        REAL value = q[a];
        value = mask[a] ? value : -(REAL)INFINITY;
        best = value > best ? value : best;
    }
    return best;
}

/* Those of up to 64 values that equal one, as bits. */
CDQ_INLINE uint64_t NAME(cdq_bits_equal)(const REAL *q, const int64_t n, REAL value)
{
    if (n <= 32)
        return NAME(cdq_equal)(q, n, value);
    return NAME(cdq_equal)(q, 32, value) | (uint64_t)NAME(cdq_equal)(q + 32, n - 32, value) << 32;
}
