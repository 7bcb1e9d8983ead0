/* A merged slice comes one window late; included once per type: REAL, NAME.
 *
 * The worker's table (rows) went on from where the window that was merged had ended (handed): m visits have taken a
 * pair from value v and count c there to the value it has now. With a = exp(sum over them of ln(1 - alpha)), the weight
 * that they leave to what was before, it would now have a * (merged - v) more, had they begun at the merged value.
 * Pairs that nobody brought stay as they are. */

CDQ_INLINE REAL NAME(cdq_keep)(const cdq_law *law, uint32_t count, uint32_t visits)
{
    return NAME(cdq_exp)((REAL)(cdq_log_keep(law, count + visits) - cdq_log_keep(law, count)));
}

/* The merged slice becomes the base, the clocks and the handed table; the worker's table keeps what it learnt since,
 * as visits of its open window. */
static void NAME(cdq_rebase)(cdq_rows *rows, cdq_rows *handed, const cdq_slice *slice, const cdq_law *law,
                             int64_t *visits)
{
    const REAL *merged = (const REAL *)slice->values;
    int64_t first = slice->header->first;
    for (int64_t i = 0; i < slice->header->count; i++) {
        uint32_t *count, *count_then, pair = first < 0 ? slice->pairs[i] : (uint32_t)(first + i);
        if (!slice->visits[i])
            continue;
        REAL *value = NAME(cdq_place)(rows, pair, &count), *value_then = NAME(cdq_place)(handed, pair, &count_then);
        if (*count & CDQ_TOUCHED) {
            uint32_t since = CDQ_COUNT(*count) - CDQ_COUNT(*count_then);
            *value += NAME(cdq_keep)(law, CDQ_COUNT(*count_then), since) * (merged[i] - *value_then);
            *count = (slice->after[i] + since) | CDQ_TOUCHED;
        } else {
            *value = merged[i];
            *count = slice->after[i];
        }
        *value_then = ((REAL *)rows->base)[pair] = merged[i];
        *count_then = rows->clock[pair] = slice->after[i];
        visits[pair] += slice->visits[i];
    }
    handed->n_log = 0;
}
