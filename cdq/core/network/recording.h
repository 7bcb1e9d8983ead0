/* A rollout: the transitions of all lanes in some sweeps, recorded while the parameters stand still, and then learnt. */
#ifndef CDQ_RECORDING_H
#define CDQ_RECORDING_H

#include "network/network.h"
#include "rng.h"
#include "table/mixed.h"

#define REAL float
#define NAME(x) CDQ_PASTE(x, float)
#include "table/choice.h"
#include "table/target.h"
#undef REAL
#undef NAME

/* Inputs beyond count as these: their squares, and those of what is made of them, are numbers yet. */
#define CDQ_LARGEST_INPUT 1e15

/* A slot of located observations: what the network reads, and the values that it gives them. */
typedef struct {
    float *input; /* (n, inputs) */
    float *value; /* (n, padded) */
} cdq_seen;

/* Transitions (sweep, lane), in memory (room, n). */
typedef struct {
    int64_t n, room, recorded; /* lanes; sweeps */
    int64_t n_samples; /* of the rollout that is learnt */
    double reward_scale;
    float trace;
    float *input;
    uint32_t *action;
    float *reward, *discount; /* scaled rewards; a discount of 0: the episode terminated */
    float *next; /* the largest value of the successor */
    float *target;
    uint8_t *ended, *learns; /* the episode ended, also by a time limit; the lane made a transition */
    int32_t *order; /* samples, as minibatches take them */
    uint64_t key; /* mixed from the random bits of the rollout */
    int wrong; /* a value, a parameter or a gradient was not finite */
} cdq_recording;

/* A sweep of all lanes, as a loop tells of it. */
typedef struct {
    const uint32_t *action;
    const double *reward, *discount;
    const uint8_t *masks, *active; /* masks of the successors; masks and active may be NULL */
} cdq_sweep;

/* Copy an observation as the network reads it; 0 where it is not finite. */
CDQ_INLINE int cdq_read_input(int64_t inputs, const double *observation, const double *low, const double *scale,
                              float *input)
{
    double zero = 0.0; /* or not a number */
    for (int64_t d = 0; d < inputs; d++) {
        double x = observation[d];
        zero += 0.0 * x;
        if (scale[d] != 0.0)
            x = (x - low[d]) * scale[d] - 1.0;
        x = x > CDQ_LARGEST_INPUT ? CDQ_LARGEST_INPUT : x;
        input[d] = (float)(x < -CDQ_LARGEST_INPUT ? -CDQ_LARGEST_INPUT : x);
    }
    return zero == 0.0;
}

/* Return 1 where all numbers are finite. */
static int cdq_all_finite(const float *number, int64_t n)
{
    float zero = 0.0f;
    for (int64_t i = 0; i < n; i++)
        zero += 0.0f * number[i];
    return zero == 0.0f;
}

static void cdq_choose_actions(const cdq_network *net, const cdq_seen *seen, uint64_t threshold, const uint64_t *bits,
                               const uint8_t *masks, uint32_t *action, int64_t n)
{
    const int64_t n_actions = net->width[net->n_hidden + 1];
    for (int64_t i = 0; i < n; i++) {
        const float *q = seen->value + i * net->padded;
        action[i] = masks ? cdq_choice_allowed_float(q, masks + i * n_actions, n_actions, threshold, bits[i])
                          : cdq_choice_float(q, n_actions, threshold, bits[i]);
    }
}

static void cdq_greedy_actions(const cdq_network *net, const cdq_seen *seen, const uint8_t *masks, uint32_t *action,
                               int64_t n)
{
    const int64_t n_actions = net->width[net->n_hidden + 1];
    for (int64_t i = 0; i < n; i++)
        action[i] = cdq_lowest_greedy_float(seen->value + i * net->padded, masks ? masks + i * n_actions : NULL,
                                            n_actions);
}

/* Mix random bits that chose actions into the key of the rollout. */
static void cdq_mix_key(cdq_recording *r, const uint64_t *bits)
{
    uint64_t key = r->recorded ? r->key : 0;
    for (int64_t i = 0; i < r->n; i++)
        key = cdq_mixed(key + bits[i]);
    r->key = key;
}

/* Record a sweep; there must be room for it. */
static void cdq_record(cdq_recording *r, const cdq_network *net, const cdq_seen *state, const cdq_seen *successor,
                       const cdq_sweep *sweep)
{
    const int64_t first = r->recorded * r->n, inputs = net->width[0], n_actions = net->width[net->n_hidden + 1];
    CDQ_CHECK(r->recorded < r->room);
    memcpy(r->input + first * inputs, state->input, (size_t)(r->n * inputs) * sizeof(float));
    for (int64_t i = 0; i < r->n; i++) {
        const int64_t j = first + i;
        const uint8_t *mask = sweep->masks ? sweep->masks + i * n_actions : NULL;
        r->learns[j] = sweep->active ? sweep->active[i] != 0 : 1;
        r->ended[j] = 0;
        CDQ_CHECK(!r->learns[j] || sweep->action[i] < n_actions);
        r->action[j] = sweep->action[i];
        r->reward[j] = (float)(r->reward_scale * sweep->reward[i]);
        r->discount[j] = (float)sweep->discount[i];
        r->next[j] = cdq_max_allowed_float(successor->value + i * net->padded, mask, n_actions);
    }
    r->recorded++;
}

/* Targets of a lane, backwards (Peng's Q(lambda)): y = r + discount (lambda y' + (1 - lambda) v), where v is the
 * largest value of the successor and y' the target of the next step. Where there is none, for the episode or the
 * rollout ended or the next step is not learnt, v takes its place. */
static void cdq_targets_of_lane(cdq_recording *r, int64_t lane)
{
    float after = 0.0f;
    int goes_on = 0;
    for (int64_t t = r->recorded - 1; t >= 0; t--) {
        const int64_t j = t * r->n + lane;
        const float v = r->next[j];
        const float next = goes_on && !r->ended[j] ? r->trace * after + (1.0f - r->trace) * v : v;
        r->target[j] = after = cdq_target_float(r->reward[j], r->discount[j], next);
        goes_on = r->learns[j];
    }
}

/* Make targets of what was recorded, list the samples, and make room for the next rollout. */
static void cdq_close_rollout(cdq_recording *r)
{
    const int64_t slots = r->recorded * r->n;
    for (int64_t i = 0; i < r->n; i++)
        cdq_targets_of_lane(r, i);
    r->n_samples = 0;
    for (int64_t j = 0; j < slots; j++)
        if (r->learns[j])
            r->order[r->n_samples++] = (int32_t)j;
}

/* The next order of the samples (Fisher and Yates), from the random bits of the rollout. */
static void cdq_shuffle(cdq_recording *r)
{
    for (int64_t i = r->n_samples - 1; i > 0; i--) {
        r->key += 0x9e3779b97f4a7c15u;
        const int64_t j = cdq_below((uint32_t)(cdq_mixed(r->key) >> 32), (uint32_t)i + 1);
        const int32_t swapped = r->order[i];
        r->order[i] = r->order[j];
        r->order[j] = swapped;
    }
}

#endif
