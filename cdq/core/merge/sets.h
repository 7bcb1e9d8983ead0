/* The kernels of merging for each instruction set: vectors of 16 bytes (SSE2, NEON) everywhere, of 32 and of 64 where a
 * processor has AVX2 or AVX-512. Their results are the same bits. */
#ifndef CDQ_MERGE_SETS_H
#define CDQ_MERGE_SETS_H

#include "base.h"
#define CDQ_HEADER "merge/block.h"
#include "per_type.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

typedef int32_t cdq_bits_float;
typedef int64_t cdq_bits_double;

/* KIND(x) is x_avx2, KERNEL(x) is x_float_avx2. */
#define KIND(x) CDQ_PASTE(x, SET)
#define KERNEL(x) CDQ_PASTE(NAME(x), SET)
#define VECTOR KERNEL(cdq_vector)
#define SOME KERNEL(cdq_some)
#define MASK KERNEL(cdq_mask)
#define COUNTS KERNEL(cdq_counts)
#define LOOSE_VECTOR KERNEL(cdq_loose_vector)
#define LOOSE_COUNTS KERNEL(cdq_loose_counts)
#define LANES (BYTES / (int)sizeof(REAL))
#define WORDS KIND(cdq_words)
#define LOOSE KIND(cdq_loose)
#define SIGNED KIND(cdq_signed)
#define FLOATS KIND(cdq_floats)
#define DOUBLES KIND(cdq_doubles)
#define LONGS KIND(cdq_longs)
#define WORDS_HALF KIND(cdq_words_half)
#define SIGNED_HALF KIND(cdq_signed_half)
#define WORD_LANES (BYTES / 4)

/* Keeps steps of several chains in turn, as they are written: the compiler would go through one chain after another. */
#if defined(__GNUC__) && defined(__SSE2__)
#define IN_TURN(vector) __asm__ volatile("" : "+v"(vector))
#else
#define IN_TURN(vector) ((void)0)
#endif

/* Keeps an array in memory: the compiler would move each element out of a vector, which takes longer than a load. */
#ifdef __GNUC__
#define IN_MEMORY(array) __asm__("" : "+m"(array))
#define FROM_MEMORY(pointer) __asm__("" : "+r"(pointer) : : "memory")
#else
#define IN_MEMORY(array) ((void)0)
#define FROM_MEMORY(pointer) ((void)0)
#endif

/* Keeps one copy of a long function: the compiler would make one for each constant that it is called with. */
#if defined(__GNUC__) && !defined(__clang__)
#define NO_CLONES __attribute__((noinline, noclone))
#else
#define NO_CLONES
#endif

#define SET baseline
#define BYTES 16
#define CHAINS 4
#define LINES(line, entry, at, slope)                                                                               \
    const double *a_ = line + (entry)[0], *b_ = line + (entry)[1];                                                    \
    at = (DOUBLES){a_[0], b_[0]};                                                                                   \
    slope = (DOUBLES){a_[1], b_[1]}
#define LOOKED_UP(table, at) (DOUBLES){(table)[(at)[0]], (table)[(at)[1]]}
#ifdef __SSE2__
#define STREAM(to, from) _mm_stream_si128((__m128i *)(to), _mm_loadu_si128((const __m128i *)(from)))
#define ANY(mask) _mm_movemask_epi8((__m128i)(mask))
#define WEIGHTED(total, units)                                                                                      \
    (LONGS) _mm_mul_epu32(_mm_unpacklo_epi32(_mm_loadl_epi64((const __m128i *)(total)), _mm_setzero_si128()),       \
                          _mm_unpacklo_epi32(_mm_cvttpd_epi32((__m128d)(units)), _mm_setzero_si128()))
#else
#define ANY(mask)                                                                                                   \
    __extension__({                                                                                                 \
        LONGS any_ = (LONGS)(mask);                                                                                 \
        (any_[0] | any_[1]) != 0;                                                                                   \
    })
#define STREAM(to, from) memcpy(to, from, BYTES)
#define WEIGHTED(total, units)                                                                                      \
    (__builtin_convertvector(*(const WORDS_HALF *)(total), LONGS) * __builtin_convertvector(units, LONGS))
#endif
#include "merge/kernels.h"

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define CDQ_HAS_AVX2
#pragma GCC push_options
#pragma GCC target("avx2")
#define SET avx2
#define BYTES 32
#define CHAINS 4
#define LINES(line, entry, at, slope)                                                                               \
    const __m256d a_ = cdq_two_lines(line + (entry)[0], line + (entry)[2]),                                           \
                  b_ = cdq_two_lines(line + (entry)[1], line + (entry)[3]);                                           \
    at = _mm256_unpacklo_pd(a_, b_);                                                                                \
    slope = _mm256_unpackhi_pd(a_, b_)
CDQ_INLINE __m256d cdq_two_lines(const double *first, const double *second)
{
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(first)), _mm_loadu_pd(second), 1);
}
#define LOOKED_UP(table, at) _mm256_setr_pd((table)[(at)[0]], (table)[(at)[1]], (table)[(at)[2]], (table)[(at)[3]])
#define LARGER(a, b) (WORDS) _mm256_max_epi32((__m256i)(a), (__m256i)(b))
#define STREAM(to, from) _mm256_stream_si256((__m256i *)(to), _mm256_loadu_si256((const __m256i *)(from)))
#define ANY(mask) _mm256_movemask_epi8((__m256i)(mask))
#define WEIGHTED(total, units)                                                                                      \
    (LONGS) _mm256_mul_epu32(_mm256_cvtepu32_epi64(_mm_loadu_si128((const __m128i *)(total))),                      \
                             _mm256_cvtepu32_epi64(_mm256_cvttpd_epi32((__m256d)(units))))
#include "merge/kernels.h"
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#define SET avx512
#define BYTES 64
#define CHAINS 8
#define LINES(line, entry, at, slope)                                                                               \
    const __m512d a_ = cdq_four_lines(line, (entry)[0], (entry)[2], (entry)[4], (entry)[6]),                        \
                  b_ = cdq_four_lines(line, (entry)[1], (entry)[3], (entry)[5], (entry)[7]);                        \
    at = _mm512_unpacklo_pd(a_, b_);                                                                                \
    slope = _mm512_unpackhi_pd(a_, b_)
CDQ_INLINE __m512d cdq_four_lines(const double *line, uint32_t i, uint32_t j, uint32_t k, uint32_t l)
{
    return _mm512_insertf64x4(_mm512_castpd256_pd512(cdq_two_lines(line + i, line + j)), cdq_two_lines(line + k, line + l),
                              1);
}
#define LOOKED_UP(table, at)                                                                                        \
    _mm512_setr_pd((table)[(at)[0]], (table)[(at)[1]], (table)[(at)[2]], (table)[(at)[3]], (table)[(at)[4]],        \
                   (table)[(at)[5]], (table)[(at)[6]], (table)[(at)[7]])
#define LARGER(a, b) (WORDS) _mm512_max_epi32((__m512i)(a), (__m512i)(b))
#define STREAM(to, from) _mm512_stream_si512((__m512i *)(to), _mm512_loadu_si512(from))
#define ANY(mask) _mm512_test_epi32_mask((__m512i)(mask), (__m512i)(mask))
#define WEIGHTED(total, units)                                                                                      \
    (LONGS) _mm512_mul_epu32(_mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(total))),                   \
                             _mm512_cvttpd_epi64((__m512d)(units)))
#include "merge/kernels.h"
#pragma GCC pop_options
#endif

typedef struct {
    const char *name;
    int64_t (*count)(cdq_visited *, const cdq_law *);
    void (*log_keeps)(const cdq_law *, const uint32_t *, double *, int64_t);
    int64_t (*split)(void *, void *, const unsigned char *, int64_t, int64_t, int64_t, int64_t);
    void (*copy_past)(void *, const void *, int64_t);
    int64_t (*mass_float)(cdq_block_float *, const cdq_law *, const cdq_law *const *);
    int64_t (*mass_double)(cdq_block_double *, const cdq_law *, const cdq_law *const *);
    void (*phis_float)(float *, int64_t, int64_t, int);
    void (*phis_double)(double *, int64_t, int64_t, int);
    void (*rule_float)(cdq_block_float *, int);
    void (*rule_double)(cdq_block_double *, int);
} cdq_merge_kernels;

#define CDQ_MERGE_KERNELS(set)                                                                                      \
    {                                                                                                               \
        #set, cdq_count_##set, cdq_log_keeps_##set, cdq_split_##set, cdq_copy_past_##set, cdq_mass_float_##set,     \
            cdq_mass_double_##set, cdq_phis_float_##set, cdq_phis_double_##set, cdq_rule_float_##set,               \
            cdq_rule_double_##set                                                                                   \
    }

/* The fastest kernels of this processor, or those of a lesser one: of every one ("1"), of those with "avx2". */
static const cdq_merge_kernels *cdq_merge_kernels_of(const char *lesser)
{
    static const cdq_merge_kernels everywhere = CDQ_MERGE_KERNELS(baseline);
#ifdef CDQ_HAS_AVX2
    static const cdq_merge_kernels avx2 = CDQ_MERGE_KERNELS(avx2), avx512 = CDQ_MERGE_KERNELS(avx512);
    if (!strcmp(lesser, "") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw"))
        return &avx512;
    if (strcmp(lesser, "1") && __builtin_cpu_supports("avx2"))
        return &avx2;
#endif
    return &everywhere;
}
#endif
