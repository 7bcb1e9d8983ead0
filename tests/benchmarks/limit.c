/* Q-learning on a finite model as a plain C loop, with the book-keeping of the compiled one: phases over lanes, uniform
 * ties, visits, a first-touch log with the values before, a step size by the count, a time limit, returns of episodes.
 * Compiled by loops.py once for each number of actions, outcomes and lanes, which are constants here: ACTIONS,
 * OUTCOMES, LANES, and VALUE, the type of values. It has one random word a step, from a counter. */
#include <stdint.h>
#include <stdlib.h>

enum { TIME_LIMIT = 200 };
#define ENDS 0x80000000u
#define STATE(outcome) ((outcome) & 0x7fffffffu)

static const uint32_t *starts, *cumulative, *outcomes;
static const float *rewards;
static uint32_t n_starts;
static VALUE *values, *base;
static uint32_t *visits, *visits_before, *touched;
static long n_touched, episodes;
static uint64_t counter = 1;
static double return_sum;

static uint32_t state[LANES], action[LANES], pair[LANES], next[LANES], elapsed[LANES];
static uint32_t coin[LANES], draw[LANES], ties[LANES];
static VALUE reward[LANES], target[LANES];
static float gained[LANES];

static const VALUE gamma_ = (VALUE)0.99;
static const uint32_t threshold = (uint32_t)(0.1 * 4294967296.0);

static inline uint64_t mixed(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Begin with all values 0; the arrays are borrowed. An outcome's top bit says that it ends the episode. */
void begin(uint32_t n_states, uint32_t n, const uint32_t *start, const uint32_t *until, const uint32_t *outcome,
           const float *paid)
{
    size_t n_pairs = (size_t)n_states * ACTIONS;
    starts = start, n_starts = n, cumulative = until, outcomes = outcome, rewards = paid;
    values = calloc(n_pairs, sizeof(VALUE)), base = malloc(n_pairs * sizeof(VALUE));
    visits = calloc(n_pairs, 4), visits_before = calloc(n_pairs, 4), touched = malloc(n_pairs * 4);
    for (int i = 0; i < LANES; i++)
        state[i] = starts[0];
}

static inline VALUE largest(const VALUE *row)
{
    VALUE best = row[0];
    for (uint32_t a = 1; a < ACTIONS; a++) {
        VALUE value = row[a];
        best = value > best ? value : best;
    }
    return best;
}

/* Choose among ties; they are rare, and so have a loop of their own. */
static inline void break_ties(void)
{
    for (int i = 0; i < LANES; i++) {
        if (ties[i] < 2)
            continue;
        const VALUE *row = values + (size_t)state[i] * ACTIONS, best = largest(row);
        uint32_t left = (uint32_t)(((uint64_t)(uint32_t)mixed(coin[i] + counter) * ties[i]) >> 32);
        for (uint32_t a = 0; a < ACTIONS; a++)
            if (row[a] == best && !left--) {
                action[i] = a;
                break;
            }
    }
}

static inline void act(void)
{
    const float per_action = (float)ACTIONS / (float)threshold;
    uint32_t any = 0;
    for (int i = 0; i < LANES; i++) {
        const VALUE *row = values + (size_t)state[i] * ACTIONS;
        VALUE best = row[0];
        uint32_t greedy = 0, equal = 0;
        for (uint32_t a = 1; a < ACTIONS; a++) {
            VALUE value = row[a]; /* read twice, it costs a branch that nobody foresees: 92 million steps/s for 142 */
            greedy = value > best ? a : greedy;
            best = value > best ? value : best;
        }
        for (uint32_t a = 0; a < ACTIONS; a++)
            equal += row[a] == best;
        uint32_t uniform = (uint32_t)((float)coin[i] * per_action), explores = coin[i] < threshold;
        uniform = uniform < ACTIONS ? uniform : ACTIONS - 1;
        action[i] = explores ? uniform : greedy;
        ties[i] = explores ? 1 : equal;
        any |= ties[i] > 1;
    }
    if (any)
        break_ties();
}

static inline void sample(void)
{
    for (int i = 0; i < LANES; i++) {
        uint32_t p = state[i] * ACTIONS + action[i], k = 0;
        for (int j = 0; j < OUTCOMES - 1; j++)
            k += draw[i] >= cumulative[p * OUTCOMES + j];
        pair[i] = p;
        next[i] = outcomes[p * OUTCOMES + k];
        reward[i] = rewards[p * OUTCOMES + k];
    }
}

static inline void update(void)
{
    for (int i = 0; i < LANES; i++) {
        VALUE best = largest(values + (size_t)STATE(next[i]) * ACTIONS);
        target[i] = reward[i] + gamma_ * (next[i] & ENDS ? 0 : best);
    }
    for (int i = 0; i < LANES; i++) {
        uint32_t p = pair[i], n = visits[p];
        VALUE value = values[p];
        if (!n) {
            touched[n_touched] = p;
            base[n_touched++] = value;
        }
        visits[p] = n + 1;
        values[p] = value + 1 / (1 + (1 - gamma_) * (VALUE)(visits_before[p] + n + 1)) * (target[i] - value);
    }
}

static inline void advance(void)
{
    uint32_t any = 0;
    for (int i = 0; i < LANES; i++) {
        elapsed[i]++;
        gained[i] += (float)reward[i];
        any |= (next[i] >> 31) | (elapsed[i] >= TIME_LIMIT);
        state[i] = STATE(next[i]);
    }
    if (!any)
        return;
    for (int i = 0; i < LANES; i++)
        if (next[i] & ENDS || elapsed[i] >= TIME_LIMIT) {
            return_sum += gained[i];
            gained[i] = 0, elapsed[i] = 0, episodes++;
            state[i] = n_starts == 1 ? starts[0] : starts[((uint64_t)(uint32_t)mixed(coin[i] + i) * n_starts) >> 32];
        }
}

/* Learn for so many steps of all lanes; return the episodes that have ended so far. */
long learn(long steps)
{
    for (long t = 0; t < steps; t += LANES) {
        for (int i = 0; i < LANES; i++) {
            uint64_t word = mixed((counter + i) * 0x9E3779B97F4A7C15u);
            coin[i] = (uint32_t)word;
            draw[i] = (uint32_t)(word >> 32);
        }
        counter += LANES;
        act();
        sample();
        update();
        advance();
    }
    return episodes;
}
