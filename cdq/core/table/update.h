/* The update of a table; included once per type: REAL, NAME. */

/* Q(s, a) += alpha (target - Q(s, a)) for all lanes in order, or for the active ones; alpha by the pair's clock. The
 * first touch in a window is logged; of a worker alone every update, with what was before (rows.h). */
CDQ_INLINE void NAME(cdq_update_of)(cdq_rows *rows, const cdq_law *law, const uint32_t *restrict state,
                                    const uint32_t *restrict action, const REAL *restrict target,
                                    const uint8_t *restrict active, const int64_t n, const int64_t n_actions,
                                    const int alone)
{
    const REAL *restrict step_size = (const REAL *)law->step_size;
    const int bits = law->bits;
    const uint32_t touched = alone ? 0 : CDQ_TOUCHED;
    uint32_t *restrict log = rows->log;
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
        if (alone) {
            ((REAL *)rows->base)[n_log] = q[a];
            rows->clock[n_log] = before;
        }
        n_log += !(before & touched);
        *count = (before + 1) | touched;
        REAL alpha = step_size[cdq_entry(CDQ_COUNT(before + 1), bits)];
        q[a] += alpha * (target[i] - q[a]);
    }
    rows->n_log = n_log;
}

CDQ_INLINE void NAME(cdq_update)(cdq_rows *rows, const cdq_law *law, const uint32_t *state, const uint32_t *action,
                                 const REAL *target, const uint8_t *active, const int64_t n, const int64_t n_actions)
{
    cdq_reserve(rows, n);
    if (rows->alone)
        NAME(cdq_update_of)(rows, law, state, action, target, active, n, n_actions, 1);
    else
        NAME(cdq_update_of)(rows, law, state, action, target, active, n, n_actions, 0);
}
