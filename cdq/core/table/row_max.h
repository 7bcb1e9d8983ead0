/* The largest value of a row, or of the sums of two, and which entries equal it, for float and double rows.
 *
 * With SSE2 (every x86-64) four floats or two doubles at a time; a row of another length is covered by vectors that
 * overlap, which neither a maximum nor a set of bits minds. Elsewhere, and for rows shorter than a vector, one by one:
 * the same result, but for the sign of a zero. */
#ifndef CDQ_ROW_MAX_H
#define CDQ_ROW_MAX_H

#include "base.h"

#ifdef __SSE2__
#include <emmintrin.h>

/* Values of a row, each with that *second* places behind it added; 0: none. */
CDQ_INLINE __m128 cdq_four(const float *q, const int64_t second)
{
    return second ? _mm_add_ps(_mm_loadu_ps(q), _mm_loadu_ps(q + second)) : _mm_loadu_ps(q);
}

CDQ_INLINE __m128d cdq_two(const double *q, const int64_t second)
{
    return second ? _mm_add_pd(_mm_loadu_pd(q), _mm_loadu_pd(q + second)) : _mm_loadu_pd(q);
}

CDQ_INLINE float cdq_sum_max_float(const float *q, const int64_t second, const int64_t n)
{
    if (n < 4) {
        float best = second ? q[0] + q[second] : q[0];
        for (int64_t a = 1; a < n; a++) {
            const float sum = second ? q[a] + q[second + a] : q[a];
            best = sum > best ? sum : best;
        }
        return best;
    }
    __m128 best = cdq_four(q + n - 4, second);
    for (int64_t a = 0; a < n - 4; a += 4)
        best = _mm_max_ps(best, cdq_four(q + a, second));
    best = _mm_max_ps(best, _mm_movehl_ps(best, best));
    return _mm_cvtss_f32(_mm_max_ss(best, _mm_shuffle_ps(best, best, 1)));
}

CDQ_INLINE double cdq_sum_max_double(const double *q, const int64_t second, const int64_t n)
{
    if (n < 2)
        return second ? q[0] + q[second] : q[0];
    __m128d best = cdq_two(q + n - 2, second);
    for (int64_t a = 0; a < n - 2; a += 2)
        best = _mm_max_pd(best, cdq_two(q + a, second));
    return _mm_cvtsd_f64(_mm_max_sd(best, _mm_unpackhi_pd(best, best)));
}

CDQ_INLINE uint32_t cdq_sum_equal_float(const float *q, const int64_t second, const int64_t n, float value)
{
    uint32_t equal = 0;
    if (n < 4) {
        for (int64_t a = 0; a < n; a++)
            equal |= (uint32_t)((second ? q[a] + q[second + a] : q[a]) == value) << a;
        return equal;
    }
    __m128 wanted = _mm_set1_ps(value);
    for (int64_t a = 0; a < n - 4; a += 4)
        equal |= (uint32_t)_mm_movemask_ps(_mm_cmpeq_ps(cdq_four(q + a, second), wanted)) << a;
    return equal | (uint32_t)_mm_movemask_ps(_mm_cmpeq_ps(cdq_four(q + n - 4, second), wanted)) << (n - 4);
}

CDQ_INLINE uint32_t cdq_sum_equal_double(const double *q, const int64_t second, const int64_t n, double value)
{
    uint32_t equal = 0;
    if (n < 2)
        return 1;
    __m128d wanted = _mm_set1_pd(value);
    for (int64_t a = 0; a < n - 2; a += 2)
        equal |= (uint32_t)_mm_movemask_pd(_mm_cmpeq_pd(cdq_two(q + a, second), wanted)) << a;
    return equal | (uint32_t)_mm_movemask_pd(_mm_cmpeq_pd(cdq_two(q + n - 2, second), wanted)) << (n - 2);
}

#else

#define CDQ_SUM_MAX(type)                                                                                           \
    CDQ_INLINE type cdq_sum_max_##type(const type *q, const int64_t second, const int64_t n)                        \
    {                                                                                                               \
        type best = second ? q[0] + q[second] : q[0];                                                               \
        for (int64_t a = 1; a < n; a++) {                                                                           \
            const type sum = second ? q[a] + q[second + a] : q[a];                                                  \
            best = sum > best ? sum : best;                                                                         \
        }                                                                                                           \
        return best;                                                                                                \
    }                                                                                                               \
    CDQ_INLINE uint32_t cdq_sum_equal_##type(const type *q, const int64_t second, const int64_t n, type value)      \
    {                                                                                                               \
        uint32_t equal = 0;                                                                                         \
        for (int64_t a = 0; a < n; a++)                                                                             \
            equal |= (uint32_t)((second ? q[a] + q[second + a] : q[a]) == value) << a;                              \
        return equal;                                                                                               \
    }

CDQ_SUM_MAX(float)
CDQ_SUM_MAX(double)
#endif

#define CDQ_ROW_MAX(type)                                                                                           \
    CDQ_INLINE type cdq_row_max_##type(const type *q, const int64_t n) { return cdq_sum_max_##type(q, 0, n); }      \
    CDQ_INLINE uint32_t cdq_equal_##type(const type *q, const int64_t n, type value)                                \
    {                                                                                                               \
        return cdq_sum_equal_##type(q, 0, n, value);                                                                \
    }

CDQ_ROW_MAX(float)
CDQ_ROW_MAX(double)

#endif
