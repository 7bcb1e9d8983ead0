/* The model as the loop samples it; included once per type: REAL is float or double, NAME(x) is x_float or x_double.
 *
 * Few outcomes per pair (width > 0): a record per pair of width-1 cumulative thresholds (32 bits), width successors,
 * width rewards. Many (width == 0): Walker's alias method over the pair's entries. A successor's top bit says that
 * the outcome terminates. */

#ifndef CDQ_SAMPLE_H
#define CDQ_SAMPLE_H
#include "rng.h"

#define CDQ_TERMINATED 0x80000000u
#define CDQ_STATE(successor) ((successor) & 0x7fffffffu)

typedef struct {
    const unsigned char *records;
    int64_t record_size, reward_offset;
    int64_t width;
    const int64_t *offsets; /* alias method: first entry of each pair */
    const void *entries;
    const uint32_t *start_threshold, *start_alias, *start_state;
    uint32_t n_starts;
    int64_t n_pairs;
    int64_t time_limit; /* 0: none */
    const uint8_t *actions; /* per pair: whether the state has the action; NULL: every state has all */
} cdq_model;

/* Walker's alias method: entry below(high bits), or its alias if the low bits exceed its threshold. */
CDQ_INLINE uint32_t cdq_start(const cdq_model *model, uint64_t bits)
{
    uint32_t entry = cdq_below((uint32_t)(bits >> 32), model->n_starts);
    if ((uint32_t)bits >= model->start_threshold[entry])
        entry = model->start_alias[entry];
    return model->start_state[entry];
}
#endif

typedef struct {
    uint32_t threshold, alias, successor;
    REAL reward;
} NAME(cdq_entry_of);

CDQ_INLINE void NAME(cdq_prefetch_outcome)(const cdq_model *model, uint64_t pair)
{
    CDQ_CHECK(pair < (uint64_t)model->n_pairs);
    /* a choice of numbers, which leaves a loop: where a table fits into a cache, nothing of this is needed */
    const unsigned char *first = model->width ? model->records : (const unsigned char *)model->offsets;
    CDQ_PREFETCH(first + pair * (uint64_t)(model->width ? model->record_size : (int64_t)sizeof(int64_t)));
}

/* *width* is that of the model; where it is a constant, so are the places in a record. */
CDQ_INLINE uint32_t NAME(cdq_outcome_of_width)(const cdq_model *model, uint64_t pair, uint64_t bits, REAL *reward,
                                               const int64_t width)
{
    const uint64_t size = sizeof(REAL), offset = (4 * (2 * (uint64_t)width - 1) + size - 1) / size * size;
    const unsigned char *record = model->records + pair * (offset + (uint64_t)width * size);
    const uint32_t *cumulative = (const uint32_t *)record;
    uint32_t draw = (uint32_t)(bits >> 32);
    uint64_t k = 0;
    for (int64_t j = 0; j < width - 1; j++)
        k += draw >= cumulative[j];
    *reward = ((const REAL *)(record + offset))[k];
    return cumulative[(uint64_t)width - 1 + k];
}

CDQ_INLINE uint32_t NAME(cdq_outcome_of_record)(const cdq_model *model, uint64_t pair, uint64_t bits, REAL *reward)
{
    return NAME(cdq_outcome_of_width)(model, pair, bits, reward, model->width);
}

CDQ_INLINE uint32_t NAME(cdq_outcome_of_alias)(const cdq_model *model, uint64_t pair, uint64_t bits, REAL *reward)
{
    int64_t first = model->offsets[pair];
    const NAME(cdq_entry_of) *entries = (const NAME(cdq_entry_of) *)model->entries + first;
    uint32_t entry = cdq_below((uint32_t)(bits >> 32), (uint32_t)(model->offsets[pair + 1] - first));
    if ((uint32_t)bits >= entries[entry].threshold)
        entry = entries[entry].alias;
    *reward = entries[entry].reward;
    return entries[entry].successor;
}

/* An outcome of the model, whose *width* is given again: a constant, where a loop is for one. */
CDQ_INLINE uint32_t NAME(cdq_outcome)(const cdq_model *model, uint64_t pair, uint64_t bits, REAL *reward,
                                      const int64_t width)
{
    return width ? NAME(cdq_outcome_of_width)(model, pair, bits, reward, width)
                 : NAME(cdq_outcome_of_alias)(model, pair, bits, reward);
}
