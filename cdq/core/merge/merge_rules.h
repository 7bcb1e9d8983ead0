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
static void KERNEL(cdq_phis)(REAL *numbers, int64_t rows, int64_t n, int exponential)
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

#define HALF (WORD_LANES / 2)
typedef REAL SOME __attribute__((vector_size(BYTES / 8 * sizeof(REAL)))); /* as many as DOUBLES are */

static void KERNEL(cdq_tabulate_few)(NAME(cdq_block) * b)
{
    const uint32_t n = b->v.bound + 1;
    for (; b->tabulated < n; b->tabulated += 32) {
        VECTOR numbers[32 * CDQ_FEW / LANES];
        double *few = b->few + (int64_t)b->tabulated * CDQ_FEW * 2;
        for (uint32_t i = 0; i < 32; i++)
            for (uint32_t j = 0; j < CDQ_FEW; j++) {
                const uint32_t count = b->tabulated + i + j;
                const double keep = b->table[count < CDQ_TABLE ? count : 0] - b->table[b->tabulated + i];
                few[2 * (i * CDQ_FEW + j)] = keep;
                ((REAL *)numbers)[i * CDQ_FEW + j] = (REAL)keep;
            }
        for (int i = 0; i < 32 * CDQ_FEW / LANES; i += CHAINS)
            KERNEL(cdq_phi_of)(numbers + i, 0);
        for (int i = 0; i < 32 * CDQ_FEW; i++)
            few[2 * i + 1] = ((REAL *)numbers)[i];
    }
}

static int64_t KERNEL(cdq_few)(NAME(cdq_block) * b)
{
    LONGS sum = {0};
    if (b->v.bound >= b->tabulated)
        KERNEL(cdq_tabulate_few)(b);
    const double *few = b->few;
    for (int64_t i = 0; i < b->v.n; i += WORD_LANES) {
        WORDS from = *(const LOOSE *)(b->v.clock + i) * (2 * CDQ_FEW - 2);
        DOUBLES mass[2] = {{0}};
        SOME keeps[2] = {{0}};
        for (int64_t k = 0; k < b->v.workers; k++) {
            uint32_t entry[WORD_LANES] __attribute__((aligned(BYTES)));
            *(WORDS *)entry = from + *(WORDS *)(b->v.counts + k * CDQ_BLOCK + i) * 2;
            IN_MEMORY(entry);
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                DOUBLES keep, phi;
                LINES(few, entry + j * HALF, keep, phi);
                mass[j] -= keep;
                keeps[j] += __builtin_convertvector(keep, SOME);
                *(SOME *)(b->log_keep + k * CDQ_BLOCK + i + j * HALF) = __builtin_convertvector(phi, SOME);
            }
        }
        for (int j = 0; j < 2; j++) {
            *(SOME *)(b->log_keep + b->v.workers * CDQ_BLOCK + i + j * HALF) = keeps[j];
            sum += KIND(cdq_weighted)(mass[j], b->v.total + i + j * HALF);
        }
    }
    KERNEL(cdq_phis)(b->log_keep + b->v.workers * CDQ_BLOCK, 1, b->v.n, 0);
    return KIND(cdq_add_up)(sum);
}

CDQ_INLINE int KERNEL(cdq_are_few)(const NAME(cdq_block) * b) { return b->few && b->v.most < CDQ_FEW && b->v.bound < CDQ_TABLE; }

static void KERNEL(cdq_rule)(NAME(cdq_block) * b, int rule)
{
    if (rule == CDQ_IMPORTANCE || (b->v.several && ((rule == CDQ_POOLED && !KERNEL(cdq_are_few)(b)) || rule == CDQ_AFFINE)))
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


/* L_k of every worker from a table of log_keep; returns the visit-weighted sum of the pooled mass -sum_k L_k. */
CDQ_INLINE int64_t KERNEL(cdq_mass_looked_up)(NAME(cdq_block) * b, const double *table)
{
    LONGS sum = {0};
    for (int64_t i = 0; i < b->v.n; i += WORD_LANES / 2) {
        DOUBLES mass = {0}, before = LOOKED_UP(table, b->v.clock + i);
        for (int64_t k = 0; k < b->v.workers; k++) {
            DOUBLES change = LOOKED_UP(table, b->v.counts + k * CDQ_BLOCK + i) - before;
            mass -= change;
            *(SOME *)(b->log_keep + k * CDQ_BLOCK + i) = __builtin_convertvector(change, SOME);
        }
        sum += KIND(cdq_weighted)(mass, b->v.total + i);
    }
    return KIND(cdq_add_up)(sum);
}

/* The same by the law, or by *laws*, which has that of each worker, where they differ; else it is NULL. */
CDQ_INLINE int64_t KERNEL(cdq_mass_by_law)(NAME(cdq_block) * b, const cdq_law *law, const cdq_law *const *laws)
{
    double before[CDQ_BLOCK] __attribute__((aligned(BYTES))), after[CDQ_BLOCK] __attribute__((aligned(BYTES)));
    double mass[CDQ_BLOCK] __attribute__((aligned(BYTES))) = {0};
    LONGS sum = {0};
    KIND(cdq_log_keeps)(law, b->v.clock, before, b->v.n);
    for (int64_t k = 0; k < b->v.workers; k++) {
        if (laws)
            KIND(cdq_log_keeps)(laws[k], b->v.clock, before, b->v.n);
        KIND(cdq_log_keeps)(laws ? laws[k] : law, b->v.counts + k * CDQ_BLOCK, after, b->v.n);
        for (int64_t i = 0; i < b->v.n; i += WORD_LANES / 2) {
            DOUBLES change = *(DOUBLES *)(after + i) - *(DOUBLES *)(before + i);
            *(DOUBLES *)(mass + i) -= change;
            *(SOME *)(b->log_keep + k * CDQ_BLOCK + i) = __builtin_convertvector(change, SOME);
        }
    }
    for (int64_t i = 0; i < b->v.n; i += WORD_LANES / 2)
        sum += KIND(cdq_weighted)(*(DOUBLES *)(mass + i), b->v.total + i);
    return KIND(cdq_add_up)(sum);
}

static int64_t KERNEL(cdq_mass)(NAME(cdq_block) * b, const cdq_law *law, const cdq_law *const *laws, int rule)
{
    if (rule == CDQ_POOLED && KERNEL(cdq_are_few)(b))
        return KERNEL(cdq_few)(b);
    if (b->table && b->v.bound < CDQ_TABLE)
        return KERNEL(cdq_mass_looked_up)(b, b->table);
    return KERNEL(cdq_mass_by_law)(b, law, laws);
}
