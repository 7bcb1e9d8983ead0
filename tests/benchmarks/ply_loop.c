/* Tic-tac-toe by self-play as a plain C loop, with the book-keeping of the compiled one: a hashed table whose rows hold
 * values and counts, a first-touch log, a step size by the count, legal moves alone, uniform ties, a stream for each
 * lane. A lane takes its ply and learns from it before the next lane does. Compiled and called by games.py. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 9, SLOTS = 1 << 14, ROWS = 8192, TOUCHED = 1u << 31 };

typedef struct {
    double value[CELLS];
    uint32_t count[CELLS];
} row_t;

typedef struct {
    uint64_t words[4];
    int mine, theirs;
    int64_t key;
    uint32_t row;
    int64_t elapsed;
} lane_t;

static row_t rows[ROWS];
static int64_t keys[ROWS];
static uint32_t slots[SLOTS], n_rows;
static uint32_t logged[ROWS * CELLS];
static int64_t n_log, games, plies;
static const int power[CELLS] = {1, 3, 9, 27, 81, 243, 729, 2187, 6561};
static const int lines[8] = {0x007, 0x038, 0x1c0, 0x049, 0x092, 0x124, 0x111, 0x054};
static int code[512];
static unsigned char won[512];

static inline uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline uint64_t draw(uint64_t *w)
{
    uint64_t result = rotl(w[0] + w[3], 23) + w[0], t = w[1] << 17;
    w[2] ^= w[0];
    w[3] ^= w[1];
    w[1] ^= w[2];
    w[0] ^= w[3];
    w[2] ^= t;
    w[3] = rotl(w[3], 45);
    return result;
}

static inline uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
    return x ^ (x >> 33);
}

static inline uint32_t row_of(int64_t key)
{
    uint64_t i = mixed((uint64_t)key) & (SLOTS - 1);
    while (slots[i] && keys[slots[i] - 1] != key)
        i = (i + 1) & (SLOTS - 1);
    if (!slots[i]) {
        keys[n_rows] = key;
        slots[i] = ++n_rows;
    }
    return slots[i] - 1;
}

static inline double best_of(const row_t *row, int free)
{
    double best = -1e300;
    for (int bits = free; bits; bits &= bits - 1) {
        double value = row->value[__builtin_ctz((unsigned)bits)];
        best = value > best ? value : best;
    }
    return best;
}

static inline int choose(const row_t *row, int free, uint64_t bits, uint32_t threshold)
{
    int candidates = free;
    if (bits >> 32 >= threshold) {
        double best = best_of(row, free);
        candidates = 0;
        for (int rest = free; rest; rest &= rest - 1) {
            int cell = __builtin_ctz((unsigned)rest);
            candidates |= (row->value[cell] == best) << cell;
        }
    }
    int left = (int)(((uint64_t)(uint32_t)bits * (uint64_t)__builtin_popcount((unsigned)candidates)) >> 32);
    while (left--)
        candidates &= candidates - 1;
    return __builtin_ctz((unsigned)candidates);
}

static void begin(lane_t *lane)
{
    lane->mine = lane->theirs = 0;
    lane->elapsed = 0;
    lane->key = 0;
    lane->row = row_of(0);
}

/* Learn for so many sweeps of n lanes; return the number of games that ended. */
int64_t learn(int64_t n, int64_t sweeps, double gamma, double explore, uint64_t seed)
{
    lane_t *lane = calloc((size_t)n, sizeof *lane);
    uint32_t threshold = (uint32_t)(explore * 4294967296.0);
    for (int cells = 0; cells < 512; cells++) {
        code[cells] = won[cells] = 0;
        for (int cell = 0; cell < CELLS; cell++)
            code[cells] += cells >> cell & 1 ? power[cell] : 0;
        for (int k = 0; k < 8; k++)
            won[cells] |= (cells & lines[k]) == lines[k];
    }
    memset(rows, 0, sizeof rows);
    memset(slots, 0, sizeof slots);
    n_rows = 0;
    n_log = games = plies = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < 4; k++)
            lane[i].words[k] = mixed(seed + (uint64_t)(4 * i + k + 1));
        begin(lane + i);
    }
    for (int64_t t = 0; t < sweeps; t++) {
        for (int64_t i = 0; i < n; i++) {
            lane_t *l = lane + i;
            row_t *row = rows + l->row;
            int cell = choose(row, ~(l->mine | l->theirs) & 0x1ff, draw(l->words), threshold);
            int mine = l->mine | 1 << cell, over = won[mine] || (mine | l->theirs) == 0x1ff;
            double target = won[mine];
            uint32_t next = 0;
            if (!over) {
                l->key = code[l->theirs] + 2 * code[mine];
                next = row_of(l->key);
                target = -gamma * best_of(rows + next, ~(mine | l->theirs) & 0x1ff);
            }
            uint32_t before = row->count[cell];
            logged[n_log] = l->row * CELLS + (uint32_t)cell;
            n_log += !(before & TOUCHED);
            row->count[cell] = (before + 1) | TOUCHED;
            row->value[cell] += (target - row->value[cell]) / (1.0 + (1.0 - gamma) * ((before + 1) & ~TOUCHED));
            l->elapsed++;
            l->mine = l->theirs;
            l->theirs = mine;
            l->row = next;
            if (over) {
                games++;
                plies += l->elapsed;
                begin(l);
            }
        }
    }
    free(lane);
    return games;
}
