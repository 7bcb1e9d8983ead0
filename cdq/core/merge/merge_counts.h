/* Clocks of a block, and what visits leave of its values; included once per instruction set (sets.h): BYTES, WORDS,
 * DOUBLES. A block is as long as its vectors are, filled up with pairs that nobody visited. */

/* The larger ones of numbers below 2^31. */
#ifndef LARGER
#define LARGER(a, b) KIND(cdq_larger)(a, b)
CDQ_INLINE WORDS KIND(cdq_larger)(WORDS a, WORDS b)
{
    WORDS more = (WORDS)((SIGNED)a > (SIGNED)b);
    return (more & a) | (~more & b);
}
#endif

CDQ_INLINE int64_t KIND(cdq_add_up)(LONGS sums)
{
    int64_t sum = 0;
    for (int j = 0; j < WORD_LANES / 2; j++)
        sum += sums[j];
    return sum;
}

/* The law's entries of counts below 2^31, as cdq_entry has them. */
CDQ_INLINE WORDS KIND(cdq_entries)(WORDS count, int bits)
{
    WORDS large = (WORDS)((SIGNED)count >= (1 << 24)), small = (WORDS)((SIGNED)count < (1 << (bits - 1)));
    WORDS form = (WORDS)__builtin_convertvector((SIGNED)(count & ~(large & 0x7f)), FLOATS);
    WORDS entry = (form >> (24 - bits)) - ((uint32_t)(125 + bits) << (bits - 1));
    return (small & count) | (~small & entry);
}

/* Total and largest of the workers' visits, and an upper bound of all counts, whose flags are taken off. Two vectors at
 * a time, as few steps depend on each other. */
CDQ_INLINE void KIND(cdq_visits)(cdq_visited *v)
{
    const int64_t n = v->n, workers = v->workers;
    WORDS different = {0}, all = {0}, most = {0};
    for (int64_t i = 0; i < n; i += 2 * WORD_LANES) {
        WORDS clock[2], total[2] = {{0}}, largest[2] = {{0}};
        uint32_t *at = v->counts + i;
        for (int j = 0; j < 2; j++)
            all |= clock[j] = *(const LOOSE *)(v->clock + i + j * WORD_LANES);
        for (int64_t k = 0; k < workers; k++, at += CDQ_BLOCK)
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                WORDS *counts = (WORDS *)at + j, count = *counts & 0x7fffffff, visits = count - clock[j];
                *counts = count;
                all |= count;
                most |= visits;
                total[j] += visits;
                largest[j] = LARGER(visits, largest[j]);
            }
        for (int j = 0; j < 2; j++) {
            ((WORDS *)(v->total + i))[j] = total[j];
            ((WORDS *)(v->largest + i))[j] = largest[j];
            different |= total[j] ^ largest[j];
        }
    }
    v->bound = v->most = 0;
    for (int j = 0; j < WORD_LANES; j++) {
        v->bound |= all[j];
        v->most |= most[j];
    }
    v->several = ANY(different != 0) != 0;
}

/* Allowances, how far pooling may move each clock: counted by the steps that lie below it, where these are few. */
CDQ_INLINE void KIND(cdq_count_steps)(cdq_visited *v, uint32_t n)
{
    for (int64_t i = 0; i < v->n; i += WORD_LANES) {
        WORDS clock = *(const LOOSE *)(v->clock + i), allowed = (WORDS){0} + v->steps.first;
        for (uint32_t j = 0; j < n; j++)
            allowed -= (WORDS)((SIGNED)clock >= (int32_t)v->steps.at[j]);
        *(WORDS *)(v->after + i) = allowed;
    }
}

/* The same looked up, two at a time, which takes a third less. Entries are counts while these are small (rows.h). */
CDQ_INLINE void KIND(cdq_look_up_allowances)(cdq_visited *v, const cdq_law *law)
{
    const uint32_t *allowance = law->allowance, *entries = v->bound >> law->bits ? v->after : v->clock;
    uint64_t two;
    for (int64_t i = 0; entries == v->after && i < (v->n + 7) / 8 * 8; i += WORD_LANES)
        *(WORDS *)(v->after + i) = KIND(cdq_entries)(*(const LOOSE *)(v->clock + i), law->bits);
    for (int64_t i = 0; i < v->n; i += 8)
#pragma GCC unroll 4
        for (int j = 0; j < 8; j += 2) {
            memcpy(&two, entries + i + j, sizeof two);
            two = allowance[(uint32_t)two] | (uint64_t)allowance[two >> 32] << 32;
            memcpy(v->after + i + j, &two, sizeof two);
        }
}

/* total = sum of visits. The clock after the round: it gains max(max_k n_k, min(sum n, ceil(c / alpha(clock)))), all
 * visits while their mass is small, beyond that what the busiest worker did alone. Returns the sum of all totals. */
static int64_t KIND(cdq_count)(cdq_visited *v, const cdq_law *law)
{
    LONGS sum = {0};
    uint32_t steps = v->steps.n;
    KIND(cdq_visits)(v);
    while (steps && v->steps.at[steps - 1] > v->bound)
        steps--;
    if (v->several && v->bound < v->steps.end && steps <= WORD_LANES / 4)
        KIND(cdq_count_steps)(v, steps);
    else if (v->several)
        KIND(cdq_look_up_allowances)(v, law);
    for (int64_t i = 0; i < v->n; i += WORD_LANES) {
        WORDS gain = *(WORDS *)(v->total + i), after;
        sum += ((LONGS)gain & 0xffffffff) + ((LONGS)gain >> 32 & 0xffffffff);
        if (v->several)
            gain = LARGER(*(WORDS *)(v->largest + i), gain - LARGER(gain - *(WORDS *)(v->after + i), (WORDS){0}));
        after = *(const LOOSE *)(v->clock + i) + gain;
        *(WORDS *)(v->after + i) = after - LARGER(after - CDQ_CLOCK_LIMIT, (WORDS){0});
    }
    return KIND(cdq_add_up)(sum);
}

/* log_keep of counts. */
static void KIND(cdq_log_keeps)(const cdq_law *law, const uint32_t *counts, double *out, int64_t n)
{
    const double *lines = law->lines[0];
    for (int64_t i = 0; i < n; i += WORD_LANES) {
        WORDS count = *(const LOOSE *)(counts + i);
        uint32_t entry[WORD_LANES] __attribute__((aligned(BYTES)));
        SIGNED_HALF half[2];
        *(WORDS *)entry = KIND(cdq_entries)(count, law->bits) << 1;
        IN_MEMORY(entry);
        memcpy(half, &count, sizeof half);
        for (int j = 0; j < 2; j++) {
            DOUBLES at, slope;
            LINES(lines, entry + j * WORD_LANES / 2, at, slope);
            *(DOUBLES *)(out + i + j * WORD_LANES / 2) = at + slope * __builtin_convertvector(half[j], DOUBLES);
        }
    }
}

/* Masses in units of 2^-20, weighted by visits: integers, so that the sum over pairs is the same however they are split
 * among ranks. */
CDQ_INLINE LONGS KIND(cdq_weighted)(DOUBLES mass, const uint32_t *total)
{
    LONGS less = (LONGS)(mass < 45);
    mass = (DOUBLES)((less & (LONGS)mass) | (~less & (LONGS)((DOUBLES){0} + 45)));
    return WEIGHTED(total, mass * 1048576.0);
}

/* Copy lines past the caches; *to* begins with one. */
static void KIND(cdq_copy_past)(void *to, const void *from, int64_t n_bytes)
{
    for (int64_t i = 0; i < n_bytes; i += CDQ_LINE)
#pragma GCC unroll 4
        for (int64_t j = 0; j < CDQ_LINE; j += BYTES)
            STREAM((char *)to + i + j, (const char *)from + i + j);
}

/* Take rows of a table apart, values here and counts there, by pieces of 32 bytes or 16, which go beyond the end of a
 * row: what they wrote there is written over. Returns how many rows: behind the last ones there may be nothing. */
static int64_t KIND(cdq_split)(void *values, void *counts, const unsigned char *data, int64_t stride, int64_t end,
                               int64_t words, int64_t n)
{
    const int64_t piece = (end | words) % 32 ? 16 : 32, beyond = end + (words + piece - 1) / piece * piece - stride;
    const int64_t value_pieces = (end + piece - 1) / piece, count_pieces = (words + piece - 1) / piece;
    unsigned char *value = values, *count = counts;
    n -= beyond > 0 ? (beyond + stride - 1) / stride : 0;
    if (n <= 0)
        return 0;
#define ROWS(size, of_values, of_counts)                                                                            \
    if (piece == size && value_pieces <= (of_values) && count_pieces <= (of_counts)) {                              \
        for (int64_t row = 0; row < n; row++, data += stride, value += end, count += words) {                       \
            for (int64_t i = 0; i < (of_values); i++)                                                               \
                memcpy(value + i * size, data + i * size, size);                                                    \
            for (int64_t i = 0; i < (of_counts); i++)                                                               \
                memcpy(count + i * size, data + end + i * size, size);                                              \
        }                                                                                                           \
        return n;                                                                                                   \
    }
    ROWS(32, 1, 1)
    ROWS(32, 2, 1)
    ROWS(16, 1, 1)
    ROWS(16, 2, 1)
    ROWS(16, 2, 2)
    ROWS(16, 3, 2)
    ROWS(16, value_pieces, count_pieces)
    ROWS(32, value_pieces, count_pieces)
#undef ROWS
    return 0;
}
