/* The update of a table; included once per type: REAL, NAME. */

/* Q(s, a) += alpha (target - Q(s, a)) for all lanes in order, or for the active ones; alpha by the pair's clock. The
 * first touch in a window is logged. */
CDQ_INLINE void NAME(cdq_update)(cdq_rows *rows, const cdq_law *law, const uint32_t *restrict state,
                                 const uint32_t *restrict action, const REAL *restrict target,
                                 const uint8_t *restrict active, const int64_t n, const int64_t n_actions)
{
    const REAL *restrict step_size = (const REAL *)law->step_size;
    const int bits = law->bits;
    uint32_t *restrict log = rows->log;
    REAL *base = rows->alone ? (REAL *)rows->base : NULL;
    uint32_t *clock = rows->clock;
    int64_t n_log = rows->n_log;
    for (int64_t i = 0; i < n; i++) {
        if (active && !active[i])
            continue;
        uint32_t a = action[i];
        CDQ_CHECK(a < n_actions);
        REAL *q = (REAL *)cdq_row(rows, state[i]);
        uint32_t *count = (uint32_t *)(q + n_actions) + a;
        uint32_t before = *count;
        log[n_log] = state[i] * (uint32_t)n_actions + a;
        if (base) {
            base[n_log] = q[a];
            clock[n_log] = before;
        }
        n_log += !(before & CDQ_TOUCHED);
        *count = (before + 1) | CDQ_TOUCHED;
        REAL alpha = step_size[cdq_entry(CDQ_COUNT(before + 1), bits)];
        q[a] += alpha * (target[i] - q[a]);
    }
    rows->n_log = n_log;
}
