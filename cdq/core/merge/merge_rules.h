/* The merge rules on a block of pairs; included once per instruction set and type (sets.h): BYTES, REAL. Every sum runs
 * in rank order. */

typedef REAL VECTOR __attribute__((vector_size(BYTES)));
typedef CDQ_PASTE(cdq_bits, REAL) MASK __attribute__((vector_size(BYTES)));
typedef uint32_t COUNTS __attribute__((vector_size(4 * BYTES / sizeof(REAL))));
typedef REAL LOOSE_VECTOR __attribute__((vector_size(BYTES), aligned(sizeof(REAL)))); /* of a table */
typedef uint32_t LOOSE_COUNTS __attribute__((vector_size(4 * BYTES / sizeof(REAL)), aligned(4)));

CDQ_INLINE VECTOR KERNEL(cdq_choose)(MASK mask, VECTOR then, VECTOR otherwise)
{
    return (VECTOR)((mask & (MASK)then) | (~mask & (MASK)otherwise));
}

/* Counts as numbers of the table's type; they are below 2^31. */
CDQ_INLINE VECTOR KERNEL(cdq_numbers)(COUNTS counts)
{
    typedef int32_t COUNTS_SIGNED __attribute__((vector_size(sizeof(COUNTS))));
    return __builtin_convertvector((COUNTS_SIGNED)counts, VECTOR);
}

#define EACH _Pragma("GCC unroll 8") for (int j = 0; j < CHAINS; j++)

/* phi of some vectors of numbers from the limit on, or exp, in their place: phi is a chain of forty steps that wait for
 * each other, so that several go side by side. Nothing else is kept in registers meanwhile. */
CDQ_INLINE void KERNEL(cdq_chains)(VECTOR *numbers, int exponential)
{
    const REAL *series = NAME(cdq_series);
    VECTOR x[CHAINS], phi[CHAINS];
    FROM_MEMORY(series);
    EACH {
        x[j] = numbers[j];
        phi[j] = (VECTOR){0} + series[CDQ_DEGREE];
    }
#pragma GCC unroll 16
    for (int i = CDQ_DEGREE - 1; i >= 0; i--)
        EACH {
            phi[j] = phi[j] * x[j] + series[i];
            IN_TURN(phi[j]);
        }
    EACH x[j] = (REAL)1 + x[j] * phi[j];
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
        EACH {
            phi[j] *= (REAL)1 + x[j];
            x[j] *= x[j];
            IN_TURN(phi[j]);
        }
    FROM_MEMORY(numbers);
    EACH numbers[j] = exponential ? (REAL)1 + numbers[j] * phi[j] : phi[j];
}

/* The same of all numbers. */
CDQ_INLINE void KERNEL(cdq_phi_of)(VECTOR *numbers, int exponential)
{
    const VECTOR limit = (VECTOR){0} + (REAL)CDQ_PHI_LIMIT;
    VECTOR given[CHAINS];
    MASK beyond = {0};
    EACH beyond |= (MASK)(numbers[j] < limit);
    const int some_beyond = ANY(beyond);
    for (int j = 0; some_beyond && j < CHAINS; j++) {
        given[j] = numbers[j];
        numbers[j] = KERNEL(cdq_choose)((MASK)(given[j] < limit), limit, given[j]);
    }
    KERNEL(cdq_chains)(numbers, exponential);
    for (int j = 0; some_beyond && j < CHAINS; j++) {
        VECTOR phi = (REAL)-1 / given[j];
        numbers[j] = KERNEL(cdq_choose)((MASK)(given[j] < limit), exponential ? (REAL)1 + given[j] * phi : phi,
                                        numbers[j]);
    }
}

/* The same of so many rows of a block. */
static NO_CLONES void KERNEL(cdq_phis)(REAL *numbers, int64_t rows, int64_t n, int exponential)
{
    for (int64_t k = 0; k < rows; k++, numbers += CDQ_BLOCK)
        for (int64_t i = 0; i < n; i += CHAINS * LANES)
            KERNEL(cdq_phi_of)((VECTOR *)(numbers + i), exponential);
}

/* Some pairs: vectors of the block's arrays, whose workers' rows lie CDQ_BLOCK apart. */
typedef struct {
    int64_t workers;
    const REAL *values, *weights;
    const uint32_t *counts;
    VECTOR base;
    COUNTS clock, total;
} KERNEL(cdq_pairs);

CDQ_INLINE VECTOR KERNEL(cdq_at)(const REAL *array, int64_t k) { return *(const VECTOR *)(array + k * CDQ_BLOCK); }

CDQ_INLINE COUNTS KERNEL(cdq_visits_of)(const KERNEL(cdq_pairs) * p, int64_t k)
{
    return *(const COUNTS *)(p->counts + k * CDQ_BLOCK) - p->clock;
}

/* sum_k Q_k / K */
CDQ_INLINE VECTOR KERNEL(cdq_mean)(const KERNEL(cdq_pairs) * p)
{
    VECTOR sum = {0};
    for (int64_t k = 0; k < p->workers; k++)
        sum += KERNEL(cdq_at)(p->values, k);
    return sum / (REAL)p->workers;
}

/* sum_k n_k Q_k / sum_k n_k */
CDQ_INLINE VECTOR KERNEL(cdq_visits)(const KERNEL(cdq_pairs) * p)
{
    VECTOR sum = {0};
    for (int64_t k = 0; k < p->workers; k++)
        sum += KERNEL(cdq_numbers)(KERNEL(cdq_visits_of)(p, k)) * KERNEL(cdq_at)(p->values, k);
    COUNTS nobody = (COUNTS)(p->total == 0);
    return sum / KERNEL(cdq_numbers)(p->total | (nobody & 1));
}

/* Q_0 + phi(sum_k L_k) sum_k (Q_k - Q_0) / phi(L_k): algebraically A Q_0 + (1 - A) sum_k w_k m_k of the literature
 * page, with phi(x) = (1 - e^x) / -x. An untouched pair adds nothing, so there is no case to tell apart. */
CDQ_INLINE VECTOR KERNEL(cdq_pooled)(const KERNEL(cdq_pairs) * p)
{
    VECTOR sum = {0};
    for (int64_t k = 0; k < p->workers; k++)
        sum += (KERNEL(cdq_at)(p->values, k) - p->base) / KERNEL(cdq_at)(p->weights, k);
    return p->base + KERNEL(cdq_at)(p->weights, p->workers) * sum;
}

/* sum_k e^-L_k Q_k / sum_k e^-L_k, relative to the largest exponent (direct powers overflow) */
CDQ_INLINE VECTOR KERNEL(cdq_importance)(const KERNEL(cdq_pairs) * p)
{
    VECTOR weights = {0}, sum = {0};
    for (int64_t k = 0; k < p->workers; k++) {
        VECTOR weight = KERNEL(cdq_at)(p->weights, k);
        weights += weight;
        sum += weight * KERNEL(cdq_at)(p->values, k);
    }
    return sum / weights;
}

/* q = Q_0; for each k: q = a_k q + (Q_k - a_k Q_0) */
CDQ_INLINE VECTOR KERNEL(cdq_affine)(const KERNEL(cdq_pairs) * p)
{
    VECTOR merged = p->base;
    for (int64_t k = 0; k < p->workers; k++) {
        VECTOR keep = KERNEL(cdq_at)(p->weights, k);
        merged = keep * merged + (KERNEL(cdq_at)(p->values, k) - keep * p->base);
    }
    return merged;
}

/* Q_0 + sum_k (Q_k - Q_0) */
CDQ_INLINE VECTOR KERNEL(cdq_sum)(const KERNEL(cdq_pairs) * p)
{
    VECTOR sum = {0};
    for (int64_t k = 0; k < p->workers; k++)
        sum += KERNEL(cdq_at)(p->values, k) - p->base;
    return p->base + sum;
}

CDQ_INLINE VECTOR KERNEL(cdq_max)(const KERNEL(cdq_pairs) * p)
{
    VECTOR largest = KERNEL(cdq_at)(p->values, 0);
    for (int64_t k = 1; k < p->workers; k++) {
        VECTOR value = KERNEL(cdq_at)(p->values, k);
        largest = KERNEL(cdq_choose)((MASK)(value > largest), value, largest);
    }
    return largest;
}

CDQ_INLINE VECTOR KERNEL(cdq_by_rule)(const KERNEL(cdq_pairs) * p, const int rule, const REAL *merged)
{
    switch (rule) {
    case CDQ_POOLED: return KERNEL(cdq_pooled)(p);
    case CDQ_MEAN: return KERNEL(cdq_mean)(p);
    case CDQ_VISITS: return KERNEL(cdq_visits)(p);
    case CDQ_IMPORTANCE: return KERNEL(cdq_importance)(p);
    case CDQ_AFFINE: return KERNEL(cdq_affine)(p);
    case CDQ_SUM: return KERNEL(cdq_sum)(p);
    case CDQ_MAX: return KERNEL(cdq_max)(p);
    default: return *(const VECTOR *)merged;
    }
}

/* Pairs that nobody visited keep the base; under the rules that ignore workers who did not come, a single visitor's
 * value is taken as it is. Both are what the formulas say, without their rounding, and need no formula. */
CDQ_INLINE void KERNEL(cdq_apply)(NAME(cdq_block) * b, const int rule)
{
    const int sole_counts = rule == CDQ_POOLED || rule == CDQ_VISITS || rule == CDQ_AFFINE || rule == CDQ_SUM;
    for (int64_t i = 0; i < b->v.n; i += LANES) {
        KERNEL(cdq_pairs) p = {b->v.workers, b->values + i, b->log_keep + i, b->v.counts + i, *(const LOOSE_VECTOR *)(b->base + i),
                               *(const LOOSE_COUNTS *)(b->v.clock + i), *(COUNTS *)(b->v.total + i)};
        MASK nobody = __builtin_convertvector(p.total == 0, MASK);
        MASK alone = __builtin_convertvector(p.total == *(COUNTS *)(b->v.largest + i), MASK);
        VECTOR merged = p.base;
        if (ANY(~(sole_counts ? alone : nobody)))
            merged = KERNEL(cdq_by_rule)(&p, rule, b->merged + i);
        for (int64_t k = 0; sole_counts && ANY(alone) && k < b->v.workers; k++) {
            MASK own = __builtin_convertvector(KERNEL(cdq_visits_of)(&p, k) == p.total, MASK);
            merged = KERNEL(cdq_choose)(own, KERNEL(cdq_at)(p.values, k), merged);
        }
        *(VECTOR *)(b->merged + i) = KERNEL(cdq_choose)(nobody, p.base, merged);
    }
}

/* Weights that rules make of log_keep where they ask for them: phi of each worker's and of their sum, or powers. */
CDQ_INLINE void KERNEL(cdq_weights)(NAME(cdq_block) * b, int rule)
{
    const int64_t workers = b->v.workers, n = b->v.n;
    for (int64_t i = 0; rule != CDQ_AFFINE && i < n; i += LANES) {
        VECTOR sum = {0}, least = {0};
        for (int64_t k = 0; k < workers; k++) {
            VECTOR keep = KERNEL(cdq_at)(b->log_keep + i, k);
            sum += keep;
            least = KERNEL(cdq_choose)((MASK)(keep < least), keep, least);
        }
        if (rule == CDQ_POOLED)
            *(VECTOR *)(b->log_keep + workers * CDQ_BLOCK + i) = sum;
        for (int64_t k = 0; rule == CDQ_IMPORTANCE && k < workers; k++) {
            VECTOR *keep = (VECTOR *)(b->log_keep + k * CDQ_BLOCK + i);
            *keep = least - *keep;
        }
    }
    KERNEL(cdq_phis)(b->log_keep, rule == CDQ_POOLED ? workers + 1 : workers, n, rule != CDQ_POOLED);
}

static void KERNEL(cdq_rule)(NAME(cdq_block) * b, int rule)
{
    if (rule == CDQ_IMPORTANCE || (b->v.several && (rule == CDQ_AFFINE || (rule == CDQ_POOLED && !b->has_phi))))
        KERNEL(cdq_weights)(b, rule);
    switch (rule) {
    case CDQ_POOLED: KERNEL(cdq_apply)(b, CDQ_POOLED); break;
    case CDQ_MEAN: KERNEL(cdq_apply)(b, CDQ_MEAN); break;
    case CDQ_VISITS: KERNEL(cdq_apply)(b, CDQ_VISITS); break;
    case CDQ_IMPORTANCE: KERNEL(cdq_apply)(b, CDQ_IMPORTANCE); break;
    case CDQ_AFFINE: KERNEL(cdq_apply)(b, CDQ_AFFINE); break;
    case CDQ_SUM: KERNEL(cdq_apply)(b, CDQ_SUM); break;
    case CDQ_MAX: KERNEL(cdq_apply)(b, CDQ_MAX); break;
    default: KERNEL(cdq_apply)(b, CDQ_CUSTOM); break;
    }
}
