/* The phases of a sweep over compiled environments, but for those of the Q-function (qfunction.pxd).
 *
 * A lane's stream gives, in this order: in a sweep a word to choose the action and one for each uniform number that the
 * environment uses, then, where its episode ended, four for the reset. An environment of several agents has a lane for
 * each, side by side. */
#ifndef CDQ_STEPPING_H
#define CDQ_STEPPING_H

#include <math.h>

#include "lane.h"
#include "loops/tally.h"
#include "rng.h"

#define CDQ_RESET_UNIFORMS 4

typedef struct {
    int64_t n, width; /* lanes; numbers in an observation, 0: an index */
    int64_t agents; /* lanes that are one environment, which are stepped, reset and encoded by one call */
    int64_t uniforms, time_limit; /* 0: none */
    int64_t masked; /* the number of actions, where lanes say which are allowed; else 0 */
    double gamma;
    cdq_call step, reset, encode; /* encode may be NULL */
    const void *context;
    int64_t placed; /* rows or masks follow from an index: first, masked or allowed_of is set */
    const int64_t *first; /* (n,): the first row of the block, of n_own rows, of each lane; NULL: there are no blocks */
    int64_t n_own;
    const uint64_t *allowed_of; /* of each row or key, its allowed actions, for all lanes; or NULL: lanes say them */
    int64_t n_allowed_of;
    int64_t memory_bytes; /* of an environment */
    cdq_lane *lanes;
    unsigned char *memory;
    uint64_t *words; /* (4, n) */
    int64_t *elapsed;
    double *returns;
    /* scratch, (n,) each but observation, (n, width) */
    uint64_t *bits;
    uint32_t *action, *ended; /* ended: the first lane of each environment whose episode did */
    double *reward, *discount, *observation;
    int64_t *index;
    uint8_t *masks; /* (n, masked): of what is shown */
    int64_t n_apart; /* lanes whose last target bootstraps from another row than the one that is acted on next */
} cdq_stepping;

/* 52 random bits as a number on [0, 1); this form vectorises. */
CDQ_INLINE double cdq_uniform(uint64_t word)
{
    uint64_t form = (word >> 12) | 0x3ff0000000000000u;
    double number;
    memcpy(&number, &form, sizeof number);
    return number - 1.0;
}

CDQ_CLONES static void cdq_draw_bits(cdq_stepping *s) { cdq_next_of_all(s->words, s->n, s->bits); }

CDQ_CLONES static void cdq_draw_uniforms(cdq_stepping *s)
{
    for (int64_t k = 0; k < s->uniforms; k++) {
        cdq_next_of_all(s->words, s->n, s->bits);
        for (int64_t i = 0; i < s->n; i++)
            s->lanes[i].uniform[k] = cdq_uniform(s->bits[i]);
    }
}

/* The row of an agent's state; -1, which is none, where it is beyond its block. */
CDQ_INLINE int64_t cdq_row_of(const cdq_stepping *s, int64_t i, int64_t index)
{
    if (!s->first)
        return index;
    return (uint64_t)index < (uint64_t)s->n_own ? s->first[i] + index : -1;
}

/* Eight bits as bytes, 0 or 1 each. */
CDQ_INLINE void cdq_spread_eight(uint64_t bits, uint8_t *mask)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t bytes = (bits & 255) * 0x0101010101010101u & 0x8040201008040201u; /* bit k in byte k */
    bytes = (bytes + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
    memcpy(mask, &bytes, 8);
#else
    for (int k = 0; k < 8; k++)
        mask[k] = (uint8_t)(bits >> k & 1);
#endif
}

/* A byte for each action: 1 where it is allowed. */
CDQ_INLINE void cdq_spread(uint64_t allowed, uint8_t *mask, int64_t n_actions)
{
    if (n_actions < 8) {
        for (int64_t a = 0; a < n_actions; a++)
            mask[a] = (uint8_t)(allowed >> a & 1);
        return;
    }
    for (int64_t a = 0; a < n_actions - 8; a += 8)
        cdq_spread_eight(allowed >> a, mask + a);
    cdq_spread_eight(allowed >> (n_actions - 8), mask + n_actions - 8);
}

/* Copy an index, which a lane shows or bootstraps from, to where the Q-function reads it. */
CDQ_INLINE void cdq_show_index(cdq_stepping *s, int64_t i, int64_t index)
{
    uint64_t allowed = s->lanes[i].allowed;
    s->index[i] = index = cdq_row_of(s, i, index);
    if (s->allowed_of && (uint64_t)index < (uint64_t)s->n_allowed_of)
        allowed = s->allowed_of[index];
    if (s->masked)
        cdq_spread(allowed, s->masks + i * s->masked, s->masked);
}

/* Copy what a lane shows to where the Q-function reads it. */
CDQ_INLINE void cdq_show(cdq_stepping *s, int64_t i)
{
    if (s->width) {
        memcpy(s->observation + i * s->width, s->lanes[i].observation, (size_t)s->width * sizeof(double));
        if (s->masked)
            cdq_spread(s->lanes[i].allowed, s->masks + i * s->masked, s->masked);
    } else if (s->placed)
        cdq_show_index(s, i, s->lanes[i].index);
    else
        s->index[i] = s->lanes[i].index;
}

CDQ_INLINE const void *cdq_shown(const cdq_stepping *s)
{
    return s->width ? (const void *)s->observation : (const void *)s->index;
}

static void cdq_show_all(cdq_stepping *s)
{
    for (int64_t i = 0; i < s->n; i++)
        cdq_show(s, i);
}

CDQ_INLINE int cdq_is_apart(const cdq_lane *lane) { return lane->successor != -1; }

/* Copy what a lane's target bootstraps from to where the Q-function reads it. */
CDQ_INLINE void cdq_show_successor(cdq_stepping *s, int64_t i)
{
    if (cdq_is_apart(s->lanes + i) && !s->width)
        cdq_show_index(s, i, s->lanes[i].successor);
    else
        cdq_show(s, i);
}

/* Set what an environment may leave as it is. */
CDQ_INLINE void cdq_clear(cdq_lane *lane)
{
    lane->terminated = lane->truncated = 0;
    lane->discount = 1.0;
    lane->successor = -1;
    lane->allowed = UINT64_MAX;
}

/* Parameters and memory are at another address in every process: lanes that are saved hold none. */
static void cdq_set_addresses(cdq_stepping *s, const void *context, unsigned char *memory)
{
    for (int64_t i = 0; i < s->n; i++) {
        s->lanes[i].context = context;
        s->lanes[i].memory = memory && s->memory_bytes ? memory + i / s->agents * s->memory_bytes : NULL;
    }
}

/* Return 1 where a state that goes on allows no action. */
CDQ_INLINE int cdq_is_stuck(const cdq_stepping *s, const cdq_lane *lane)
{
    return s->masked && !lane->terminated && !(lane->allowed << (64 - s->masked));
}

/* Begin an episode in the environment whose first lane this is; return a lane whose state allows no action, or -1. */
static int64_t cdq_begin_episode(cdq_stepping *s, int64_t first)
{
    cdq_lane *lanes = s->lanes + first;
    int64_t stuck = -1;
    for (int64_t j = 0; j < s->agents; j++) {
        for (int k = 0; k < CDQ_RESET_UNIFORMS; k++)
            lanes[j].uniform[k] = cdq_uniform(cdq_next_of_lane(s->words, s->n, first + j));
        cdq_clear(lanes + j);
        lanes[j].seat = 0;
        s->elapsed[first + j] = 0;
        s->returns[first + j] = 0.0;
    }
    s->reset(lanes);
    if (s->encode)
        s->encode(lanes);
    for (int64_t j = 0; j < s->agents; j++) {
        lanes[j].successor = -1;
        cdq_show(s, first + j);
        stuck = cdq_is_stuck(s, lanes + j) ? first + j : stuck;
    }
    return stuck;
}

/* Return 1 where a step wrote a discount that is none, a successor where rows have no numbers, or no action at all. */
CDQ_INLINE int cdq_is_wrong(const cdq_stepping *s, const cdq_lane *lane)
{
    return !(lane->discount >= -1.0 && lane->discount <= 1.0) || (s->width && cdq_is_apart(lane)) ||
           cdq_is_stuck(s, lane);
}

/* Copy what a lane's step wrote to where the Q-function reads it; add 0 to *sum*, or what is not a number. */
CDQ_INLINE int cdq_collect(cdq_stepping *s, int64_t i, const int plain, double *sum)
{
    const cdq_lane *lane = s->lanes + i;
    s->reward[i] = lane->reward;
    s->discount[i] = lane->terminated ? 0.0 : s->gamma * lane->discount;
    *sum += 0.0 * lane->reward;
    s->n_apart += cdq_is_apart(lane);
    if (!plain) {
        cdq_show_successor(s, i);
        return cdq_is_wrong(s, lane);
    }
    s->index[i] = cdq_is_apart(lane) ? lane->successor : lane->index;
    return !(lane->discount >= -1.0 && lane->discount <= 1.0);
}

/* Step every environment; return whether a lane's reward is not finite, or cdq_is_wrong. Lanes are plain where they
 * show an index, and it is the row. */
CDQ_INLINE int cdq_step_environments(cdq_stepping *s, const int64_t agents, const int plain)
{
    double sum = 0.0; /* sum of zeros, or not a number */
    int wrong = 0;
    s->n_apart = 0;
    for (int64_t i = 0; i < s->n; i += agents) {
        for (int64_t j = i; j < i + agents; j++) {
            s->lanes[j].action = s->action[j];
            cdq_clear(s->lanes + j);
        }
        s->step(s->lanes + i);
        if (s->encode)
            s->encode(s->lanes + i);
        for (int64_t j = i; j < i + agents; j++)
            wrong |= cdq_collect(s, j, plain, &sum);
    }
    return wrong || sum != 0.0;
}

/* Step every lane; return the first whose reward is not finite, or whose discount or successor is wrong, or -1. */
static int64_t cdq_step_all(cdq_stepping *s)
{
    int wrong = s->agents > 1              ? cdq_step_environments(s, s->agents, 0)
                : s->width || s->placed ? cdq_step_environments(s, 1, 0)
                                        : cdq_step_environments(s, 1, 1);
    for (int64_t i = 0; wrong && i < s->n; i++)
        if (!isfinite(s->reward[i]) || cdq_is_wrong(s, s->lanes + i))
            return i;
    return -1;
}

/* Count the step, by cdq_book; all agents' episode ends where one's does. */
CDQ_INLINE int64_t cdq_book_environments(cdq_stepping *s, const int64_t agents)
{
    int64_t n_ended = 0, limit = s->time_limit;
    for (int64_t i = 0; i < s->n; i += agents) {
        int ended = 0;
        for (int64_t j = i; j < i + agents; j++) {
            cdq_lane *lane = s->lanes + j;
            s->returns[j] += lane->seat ? -s->reward[j] : s->reward[j];
            lane->seat ^= lane->discount < 0.0;
            s->elapsed[j]++;
            ended |= lane->terminated | lane->truncated;
        }
        s->ended[n_ended] = (uint32_t)i;
        n_ended += ended || s->elapsed[i] == limit;
    }
    return n_ended;
}

/* Count the step; list the environments whose episode ended, by their first lanes; return how many. */
static int64_t cdq_book(cdq_stepping *s)
{
    return s->agents == 1 ? cdq_book_environments(s, 1) : cdq_book_environments(s, s->agents);
}

/* Count the episodes of environments that ended in the sweep after so many that the tally does not know of yet. */
static inline void cdq_count_ended(const cdq_stepping *s, int64_t n_ended, cdq_tally *tally, int64_t sweeps)
{
    for (int64_t k = 0; k < n_ended; k++)
        for (int64_t i = s->ended[k]; i < s->ended[k] + s->agents; i++)
            cdq_end_episode_after(tally, sweeps, s->elapsed[i], s->returns[i]);
}

#endif
