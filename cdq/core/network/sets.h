/* The kernels of a network for each instruction set: vectors of 16 bytes (SSE2, NEON) everywhere, of 32 where a
 * processor has AVX2. Their results are the same bits. */
#ifndef CDQ_SETS_H
#define CDQ_SETS_H

#include "network/network.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

#define LANES 4
#define VECTOR cdq_vector4
#define MASK cdq_mask4
#define NAME(x) CDQ_PASTE(x, baseline)
typedef float VECTOR __attribute__((vector_size(4 * LANES)));
typedef int32_t MASK __attribute__((vector_size(4 * LANES)));
#ifdef __SSE2__
CDQ_INLINE VECTOR NAME(cdq_root)(VECTOR x) { return _mm_sqrt_ps(x); }
#else
CDQ_INLINE VECTOR NAME(cdq_root)(VECTOR x) { return (VECTOR){sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])}; }
#endif
#include "network/kernels.h"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define CDQ_HAS_AVX2
#pragma GCC push_options
#pragma GCC target("avx2")
#define LANES 8
#define VECTOR cdq_vector8
#define MASK cdq_mask8
#define NAME(x) CDQ_PASTE(x, avx2)
typedef float VECTOR __attribute__((vector_size(4 * LANES)));
typedef int32_t MASK __attribute__((vector_size(4 * LANES)));
CDQ_INLINE VECTOR NAME(cdq_root)(VECTOR x) { return _mm256_sqrt_ps(x); }
#include "network/kernels.h"
#pragma GCC pop_options
#endif

typedef struct {
    const char *name;
    void (*values)(const cdq_network *, const float *, int64_t, const float *, cdq_pass *, float *);
    void (*gradient)(const cdq_network *, const float *, const cdq_samples *, cdq_pass *, float *);
    void (*mean)(int64_t, int64_t, const float *const *, float *);
    double (*squares)(int64_t, const float *);
    void (*step)(int64_t, const cdq_update *, const float *, float *, float *, float *);
} cdq_kernels;

#define CDQ_KERNELS(set)                                                                                            \
    {                                                                                                               \
        #set, cdq_values_##set, cdq_gradient_##set, cdq_mean_##set, cdq_squares_##set, cdq_step_##set               \
    }

/* The fastest kernels of this processor, or those of every one. */
static const cdq_kernels *cdq_kernels_of(int baseline)
{
    static const cdq_kernels everywhere = CDQ_KERNELS(baseline);
#ifdef CDQ_HAS_AVX2
    static const cdq_kernels avx2 = CDQ_KERNELS(avx2);
    if (!baseline && __builtin_cpu_supports("avx2"))
        return &avx2;
#endif
    return &everywhere;
}

#endif
