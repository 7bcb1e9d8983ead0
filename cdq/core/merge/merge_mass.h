/* Changes of log_keep by a block's visits, and their mass; included once per instruction set and type (sets.h),
 * after merge_rules.h: BYTES, REAL. */

typedef REAL SOME __attribute__((vector_size(BYTES / 8 * sizeof(REAL)))); /* as many as DOUBLES are */

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

/* The same with the weights of pooling, which are phi of all L_k and of their sum: where counts are small, phi of L_k is
 * looked up beside it. All entries are stored first: a load just after the store of a vector that it is of waits. */
CDQ_INLINE int64_t KERNEL(cdq_pooled_looked_up)(NAME(cdq_block) * b)
{
    const int64_t workers = b->v.workers, n = b->v.n;
    const double *changes = b->changes[0];
    LONGS sum = {0};
    for (int64_t k = 0; k < workers; k++)
        for (int64_t i = 0; i < n; i += WORD_LANES) {
            const WORDS clock = *(const LOOSE *)(b->v.clock + i), count = *(WORDS *)(b->v.counts + k * CDQ_BLOCK + i);
            *(WORDS *)(b->entries + k * CDQ_BLOCK + i) = ((clock << b->visit_bits) + (count - clock)) * 2;
        }
    FROM_MEMORY(changes);
    for (int64_t i = 0; i < n; i += WORD_LANES / 2) {
        DOUBLES mass = {0};
        SOME keep = {0};
        for (int64_t k = 0; k < workers; k++) {
            DOUBLES change, phi;
            LINES(changes, b->entries + k * CDQ_BLOCK + i, change, phi);
            mass -= change;
            keep += __builtin_convertvector(change, SOME);
            *(SOME *)(b->log_keep + k * CDQ_BLOCK + i) = __builtin_convertvector(phi, SOME);
        }
        *(SOME *)(b->log_keep + workers * CDQ_BLOCK + i) = keep;
        sum += KIND(cdq_weighted)(mass, b->v.total + i);
    }
    KERNEL(cdq_phis)(b->log_keep + workers * CDQ_BLOCK, 1, n, 0);
    return KIND(cdq_add_up)(sum);
}

static int64_t KERNEL(cdq_mass)(NAME(cdq_block) * b, const cdq_law *law, const cdq_law *const *laws)
{
    if (b->has_phi)
        return KERNEL(cdq_pooled_looked_up)(b);
    if (b->table && b->v.bound < CDQ_TABLE)
        return KERNEL(cdq_mass_looked_up)(b, b->table);
    return KERNEL(cdq_mass_by_law)(b, law, laws);
}
