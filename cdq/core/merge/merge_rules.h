/* The merge rules on a block of pairs, structure of arrays; included once per type: REAL, NAME.
 *
 * Per pair, worker k brings its value Q_k and n_k visits; Q_0 is the base, L_k = sum over its visits of ln(1 - alpha),
 * so that a_k = exp(L_k) is the weight its value still gives to Q_0. Every sum runs in rank order. */

#ifndef CDQ_MERGE_RULES_H
#define CDQ_MERGE_RULES_H
#include "table/rows.h"

#define CDQ_BLOCK 256

/* Merging gathers and divides more than anything else: a third body, for AVX-512, merges a fifth to a third faster. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__GLIBC__)
#define CDQ_WIDE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CDQ_WIDE_CLONES
#endif

enum { CDQ_POOLED, CDQ_MEAN, CDQ_VISITS, CDQ_IMPORTANCE, CDQ_AFFINE, CDQ_SUM, CDQ_MAX, CDQ_CUSTOM };

/* (1 - e^x) / -x for x <= 0, without libm, cancellation or branches: Taylor's series at y = x / 64, then six doublings
 * by phi(2y) = phi(y) (1 + e^y) / 2, e^y = 1 + y phi(y); the six halvings are one, exact, by 1 / 64. Beyond -45 it is
 * -1 / x to the last bit. */
#define CDQ_PHI(type, ...)                                                                                          \
    CDQ_INLINE type cdq_phi_##type(type x)                                                                          \
    {                                                                                                               \
        static const type series[] = {__VA_ARGS__};                                                                 \
        const int degree = sizeof series / sizeof *series - 1;                                                      \
        type y = (x < (type)-45 ? (type)-45 : x) * (type)0.015625;                                                  \
        type phi = series[degree];                                                                                  \
        for (int i = degree - 1; i >= 0; i--)                                                                       \
            phi = phi * y + series[i];                                                                              \
        type keep = (type)1 + y * phi;                                                                              \
        phi *= (type)0.015625;                                                                                      \
        for (int i = 0; i < 6; i++) {                                                                               \
            phi *= (type)1 + keep;                                                                                  \
            keep *= keep;                                                                                           \
        }                                                                                                           \
        return x < (type)-45 ? (type)-1 / x : phi;                                                                  \
    }

/* 1 / (i + 1)! */
CDQ_PHI(float, 1.0 / 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880)
CDQ_PHI(double, 1.0 / 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880,
        1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800, 1.0 / 87178291200, 1.0 / 1307674368000)
#endif

/* Block arrays with a dimension of workers are (workers, CDQ_BLOCK). */
typedef struct {
    int64_t workers, n;
    REAL *base, *merged, *values;
    uint32_t *clock, *visits, *total, *after;
    REAL *log_keep;
} NAME(cdq_block);

CDQ_INLINE REAL NAME(cdq_exp)(REAL x) { return (REAL)1 + x * NAME(cdq_phi)(x); }

CDQ_INLINE void NAME(cdq_fill)(REAL *out, REAL value, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = value;
}

/* sum_k Q_k / K */
CDQ_INLINE void NAME(cdq_mean)(NAME(cdq_block) * b, const int64_t n)
{
    NAME(cdq_fill)(b->merged, 0, n);
    for (int64_t k = 0; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++)
            b->merged[i] += b->values[k * CDQ_BLOCK + i];
    REAL workers = (REAL)b->workers;
    for (int64_t i = 0; i < n; i++)
        b->merged[i] /= workers;
}

/* sum_k n_k Q_k / sum_k n_k */
CDQ_INLINE void NAME(cdq_visits)(NAME(cdq_block) * b, const int64_t n)
{
    NAME(cdq_fill)(b->merged, 0, n);
    for (int64_t k = 0; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++)
            b->merged[i] += (REAL)(int32_t)b->visits[k * CDQ_BLOCK + i] * b->values[k * CDQ_BLOCK + i];
    for (int64_t i = 0; i < n; i++)
        b->merged[i] /= (REAL)(int32_t)(b->total[i] ? b->total[i] : 1);
}

/* Q_0 + phi(sum_k L_k) sum_k (Q_k - Q_0) / phi(L_k): algebraically A Q_0 + (1 - A) sum_k w_k m_k of the literature
 * page, with phi(x) = (1 - e^x) / -x. An untouched pair adds nothing, so there is no case to tell apart. */
CDQ_INLINE void NAME(cdq_pooled)(NAME(cdq_block) * b, const int64_t n)
{
    REAL mass[CDQ_BLOCK];
    NAME(cdq_fill)(mass, 0, n);
    NAME(cdq_fill)(b->merged, 0, n);
    for (int64_t k = 0; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++) {
            REAL keep = b->log_keep[k * CDQ_BLOCK + i];
            mass[i] += keep;
            b->merged[i] += (b->values[k * CDQ_BLOCK + i] - b->base[i]) / NAME(cdq_phi)(keep);
        }
    for (int64_t i = 0; i < n; i++)
        b->merged[i] = b->base[i] + NAME(cdq_phi)(mass[i]) * b->merged[i];
}

/* sum_k e^-L_k Q_k / sum_k e^-L_k, relative to the largest exponent (direct powers overflow) */
CDQ_INLINE void NAME(cdq_importance)(NAME(cdq_block) * b, const int64_t n)
{
    REAL least[CDQ_BLOCK], weights[CDQ_BLOCK];
    NAME(cdq_fill)(least, 0, n);
    NAME(cdq_fill)(weights, 0, n);
    NAME(cdq_fill)(b->merged, 0, n);
    for (int64_t k = 0; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++) {
            REAL keep = b->log_keep[k * CDQ_BLOCK + i];
            least[i] = keep < least[i] ? keep : least[i];
        }
    for (int64_t k = 0; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++) {
            REAL weight = NAME(cdq_exp)(least[i] - b->log_keep[k * CDQ_BLOCK + i]);
            weights[i] += weight;
            b->merged[i] += weight * b->values[k * CDQ_BLOCK + i];
        }
    for (int64_t i = 0; i < n; i++)
        b->merged[i] /= weights[i];
}

/* q = Q_0; for each k: q = a_k q + (Q_k - a_k Q_0) */
CDQ_INLINE void NAME(cdq_affine)(NAME(cdq_block) * b, const int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        b->merged[i] = b->base[i];
    for (int64_t k = 0; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++) {
            REAL keep = NAME(cdq_exp)(b->log_keep[k * CDQ_BLOCK + i]);
            b->merged[i] = keep * b->merged[i] + (b->values[k * CDQ_BLOCK + i] - keep * b->base[i]);
        }
}

/* Q_0 + sum_k (Q_k - Q_0) */
CDQ_INLINE void NAME(cdq_sum)(NAME(cdq_block) * b, const int64_t n)
{
    NAME(cdq_fill)(b->merged, 0, n);
    for (int64_t k = 0; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++)
            b->merged[i] += b->values[k * CDQ_BLOCK + i] - b->base[i];
    for (int64_t i = 0; i < n; i++)
        b->merged[i] = b->base[i] + b->merged[i];
}

CDQ_INLINE void NAME(cdq_max)(NAME(cdq_block) * b, const int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        b->merged[i] = b->values[i];
    for (int64_t k = 1; k < b->workers; k++)
        for (int64_t i = 0; i < n; i++) {
            REAL value = b->values[k * CDQ_BLOCK + i];
            b->merged[i] = value > b->merged[i] ? value : b->merged[i];
        }
}

/* Pairs that nobody visited keep the base; under the rules that ignore workers who did not come, a single visitor's
 * value is taken as it is. Both are what the formulas say, without their rounding. */
CDQ_INLINE void NAME(cdq_settle)(NAME(cdq_block) * b, int sole_counts, const int64_t n)
{
    REAL *restrict merged = b->merged;
    const REAL *restrict base = b->base;
    const uint32_t *restrict total = b->total;
    for (int64_t k = 0; sole_counts && k < b->workers; k++) {
        const REAL *restrict values = b->values + k * CDQ_BLOCK;
        const uint32_t *restrict visits = b->visits + k * CDQ_BLOCK;
        for (int64_t i = 0; i < n; i++) {
            REAL own = values[i], other = merged[i];
            merged[i] = visits[i] == total[i] ? own : other;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        REAL untouched = base[i], touched = merged[i];
        merged[i] = total[i] ? touched : untouched;
    }
}

/* total = sum of visits. The clock after the round: it gains max(max_k n_k, min(sum n, ceil(c / alpha(clock)))), all
 * visits while their mass is small, beyond that what the busiest worker did alone. */
CDQ_INLINE void NAME(cdq_count)(NAME(cdq_block) * b, const cdq_law *law, const int64_t n)
{
    uint32_t largest[CDQ_BLOCK], entry[CDQ_BLOCK];
    uint32_t *restrict total = b->total, *restrict after = b->after;
    const uint32_t *restrict allowance = law->allowance, *restrict clock = b->clock;
    const int bits = law->bits;
    for (int64_t i = 0; i < n; i++) {
        total[i] = largest[i] = b->visits[i];
        entry[i] = cdq_entry(clock[i], bits);
    }
    for (int64_t k = 1; k < b->workers; k++) {
        const uint32_t *restrict visits = b->visits + k * CDQ_BLOCK;
        for (int64_t i = 0; i < n; i++) {
            total[i] += visits[i];
            largest[i] = visits[i] > largest[i] ? visits[i] : largest[i];
        }
    }
    for (int64_t i = 0; i < n; i++)
        after[i] = allowance[entry[i]];
    for (int64_t i = 0; i < n; i++) {
        uint32_t gain = after[i] < total[i] ? after[i] : total[i];
        uint32_t sum = clock[i] + (gain > largest[i] ? gain : largest[i]);
        after[i] = sum < CDQ_CLOCK_LIMIT ? sum : CDQ_CLOCK_LIMIT;
    }
}

/* log_keep at base + extra counts; extra may be NULL. */
CDQ_INLINE void NAME(cdq_log_keep)(const cdq_law *law, const uint32_t *base, const uint32_t *extra, double *restrict out,
                                   const int64_t n)
{
    const double *restrict log_keep = law->log_keep, *restrict slope = law->slope;
    const int bits = law->bits;
    uint32_t entry[CDQ_BLOCK];
    for (int64_t i = 0; i < n; i++)
        entry[i] = cdq_entry(extra ? base[i] + extra[i] : base[i], bits);
    for (int64_t i = 0; i < n; i++)
        out[i] = log_keep[entry[i]] + slope[entry[i]] * (double)(int32_t)(extra ? base[i] + extra[i] : base[i]);
}

/* L_k of every worker, and the visit-weighted sum of the pooled mass -sum_k L_k in units of 2^-20: integers, so that
 * the sum over pairs is the same however they are split among ranks. *laws* has the law of each worker, where they
 * differ; else it is NULL. */
CDQ_INLINE int64_t NAME(cdq_mass)(NAME(cdq_block) * b, const cdq_law *law, const cdq_law *const *laws,
                                  const int64_t n)
{
    double before[CDQ_BLOCK], after[CDQ_BLOCK], mass[CDQ_BLOCK];
    NAME(cdq_log_keep)(law, b->clock, NULL, before, n);
    for (int64_t i = 0; i < n; i++)
        mass[i] = 0;
    for (int64_t k = 0; k < b->workers; k++) {
        REAL *restrict log_keep = b->log_keep + k * CDQ_BLOCK;
        const cdq_law *own = laws ? laws[k] : law;
        if (laws)
            NAME(cdq_log_keep)(own, b->clock, NULL, before, n);
        NAME(cdq_log_keep)(own, b->clock, b->visits + k * CDQ_BLOCK, after, n);
        for (int64_t i = 0; i < n; i++) {
            mass[i] += before[i] - after[i];
            log_keep[i] = (REAL)(after[i] - before[i]);
        }
    }
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (int64_t)b->total[i] * (int32_t)((mass[i] < 45 ? mass[i] : 45) * 1048576.0);
    return sum;
}

CDQ_WIDE_CLONES static int64_t NAME(cdq_combine)(NAME(cdq_block) * b, int rule, const cdq_law *law,
                                            const cdq_law *const *laws, int needs_mass)
{
    const int64_t n = b->n;
    NAME(cdq_count)(b, law, n);
    int64_t mass = needs_mass ? NAME(cdq_mass)(b, law, laws, n) : 0;
    switch (rule) {
    case CDQ_POOLED: NAME(cdq_pooled)(b, n); break;
    case CDQ_MEAN: NAME(cdq_mean)(b, n); break;
    case CDQ_VISITS: NAME(cdq_visits)(b, n); break;
    case CDQ_IMPORTANCE: NAME(cdq_importance)(b, n); break;
    case CDQ_AFFINE: NAME(cdq_affine)(b, n); break;
    case CDQ_SUM: NAME(cdq_sum)(b, n); break;
    case CDQ_MAX: NAME(cdq_max)(b, n); break;
    default: break;
    }
    if (rule != CDQ_CUSTOM)
        NAME(cdq_settle)(b, rule == CDQ_POOLED || rule == CDQ_VISITS || rule == CDQ_AFFINE || rule == CDQ_SUM, n);
    return mass;
}
