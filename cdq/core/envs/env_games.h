/* Games of two players in turn. What is observed is the position from the side of whoever moves, a reward is that of
 * whoever has moved, and the discount is -1 while the game goes on: what the opponent gains is lost. A move that is not
 * allowed loses at once. */
#ifndef CDQ_ENV_GAMES_H
#define CDQ_ENV_GAMES_H

#include "base.h"
#include "lane.h"

/* End a ply: the opponent moves next, unless the game is won, over without a winner, or lost by a move that is none.
 * What a game ends in is worth nothing: the position before stands for it, so that hashed tables get no row for it. */
CDQ_INLINE void cdq_end_ply(cdq_lane *lane, int64_t before, int won, int legal, int over)
{
    over |= won | !legal;
    lane->reward = (double)won - (double)!legal;
    lane->terminated = (uint8_t)over;
    lane->discount = over ? 1.0 : -1.0;
    lane->successor = over ? before : -1;
}

/* ---- Tic-tac-toe. The state: the cells of the mover and of the opponent, a bit each, and the number in base 3 that
 * either's cells make with the digit 1. */

enum { CDQ_MINE, CDQ_THEIRS, CDQ_CODE, CDQ_THEIR_CODE };

static const int64_t cdq_power_of_3[9] = {1, 3, 9, 27, 81, 243, 729, 2187, 6561};

CDQ_INLINE int cdq_three_in_line(int64_t cells)
{
    static const int16_t lines[8] = {0x007, 0x038, 0x1c0, 0x049, 0x092, 0x124, 0x111, 0x054};
    int found = 0;
    for (int k = 0; k < 8; k++)
        found |= (cells & lines[k]) == lines[k];
    return found;
}

CDQ_INLINE void cdq_show_cells(cdq_lane *lane)
{
    int64_t *board = lane->integer;
    lane->index = board[CDQ_CODE] + 2 * board[CDQ_THEIR_CODE];
    lane->allowed = (uint64_t)(~(board[CDQ_MINE] | board[CDQ_THEIRS]) & 0x1ff);
}

static void cdq_tictactoe_reset(cdq_lane *lane)
{
    for (int k = 0; k < 4; k++)
        lane->integer[k] = 0;
    cdq_show_cells(lane);
}

static void cdq_tictactoe_step(cdq_lane *lane)
{
    int64_t *board = lane->integer, cell = (int64_t)1 << lane->action, before = lane->index;
    int legal = !((board[CDQ_MINE] | board[CDQ_THEIRS]) & cell);
    int64_t mine = board[CDQ_MINE] | cell, theirs = board[CDQ_THEIRS];
    int64_t code = board[CDQ_CODE] + (legal ? cdq_power_of_3[lane->action] : 0);
    int won = legal && cdq_three_in_line(mine);
    board[CDQ_CODE] = board[CDQ_THEIR_CODE];
    board[CDQ_THEIR_CODE] = code;
    board[CDQ_MINE] = theirs;
    board[CDQ_THEIRS] = mine & ~(legal ? 0 : theirs);
    cdq_show_cells(lane);
    cdq_end_ply(lane, before, won, legal, (mine | theirs) == 0x1ff);
}

/* ---- Nim: action heap * largest + taken - 1; whoever takes the last wins. */

typedef struct {
    int64_t n_heaps, largest, n_states;
    int64_t size[8], stride[8]; /* of each heap: its greatest, and what one of its pieces adds to the index */
} cdq_nim;

CDQ_INLINE void cdq_show_heaps(const cdq_nim *nim, cdq_lane *lane)
{
    lane->index = 0;
    lane->allowed = 0;
    for (int64_t k = 0; k < nim->n_heaps; k++) {
        lane->index += lane->integer[k] * nim->stride[k];
        lane->allowed |= (((uint64_t)1 << lane->integer[k]) - 1) << (k * nim->largest);
    }
}

/* Every position that has a piece left is as likely. */
static void cdq_nim_reset(cdq_lane *lane)
{
    const cdq_nim *nim = (const cdq_nim *)lane->context;
    int64_t index = 1 + (int64_t)(lane->uniform[0] * (double)(nim->n_states - 1));
    for (int64_t k = 0; k < nim->n_heaps; k++)
        lane->integer[k] = index / nim->stride[k] % (nim->size[k] + 1);
    cdq_show_heaps(nim, lane);
}

static void cdq_nim_step(cdq_lane *lane)
{
    const cdq_nim *nim = (const cdq_nim *)lane->context;
    int64_t before = lane->index, heap = lane->action / nim->largest, taken = lane->action % nim->largest + 1;
    int legal = lane->integer[heap] >= taken;
    lane->integer[heap] -= legal ? taken : 0;
    cdq_show_heaps(nim, lane);
    int won = legal && lane->index == 0;
    cdq_end_ply(lane, before, won, legal, won);
}

/* ---- Connect four: columns of 7 bits, of which the uppermost stays free, from the left. The key is the mover's pieces
 * plus all pieces: the sum tells both (Tromp's encoding). */

#define CDQ_BOTTOM 0x40810204081LL /* the lowest cell of each column */

CDQ_INLINE int cdq_four_in_line(uint64_t pieces)
{
    static const int shift[4] = {1, 7, 6, 8}; /* upwards, to the side, and both diagonals */
    int found = 0;
    for (int k = 0; k < 4; k++) {
        uint64_t two = pieces & (pieces >> shift[k]);
        found |= (two & (two >> 2 * shift[k])) != 0;
    }
    return found;
}

CDQ_INLINE void cdq_show_columns(cdq_lane *lane)
{
    int64_t all = lane->integer[CDQ_MINE] | lane->integer[CDQ_THEIRS];
    uint64_t free = 0;
    for (int column = 0; column < 7; column++)
        free |= (uint64_t)!(all >> (7 * column + 5) & 1) << column;
    lane->index = lane->integer[CDQ_MINE] + all;
    lane->allowed = free;
}

static void cdq_connectfour_reset(cdq_lane *lane)
{
    lane->integer[CDQ_MINE] = lane->integer[CDQ_THEIRS] = 0;
    cdq_show_columns(lane);
}

static void cdq_connectfour_step(cdq_lane *lane)
{
    int64_t mine = lane->integer[CDQ_MINE], theirs = lane->integer[CDQ_THEIRS], all = mine | theirs;
    int64_t before = lane->index;
    int legal = !(all >> (7 * lane->action + 5) & 1);
    int64_t column = (int64_t)0x3f << (7 * lane->action);
    int64_t piece = ((all & column) + ((int64_t)1 << (7 * lane->action))) & column; /* the lowest free cell */
    mine |= legal ? piece : 0;
    int won = legal && cdq_four_in_line((uint64_t)mine);
    lane->integer[CDQ_MINE] = theirs;
    lane->integer[CDQ_THEIRS] = mine;
    cdq_show_columns(lane);
    cdq_end_ply(lane, before, won, legal, (mine | theirs) == 0x3f * CDQ_BOTTOM);
}

#endif
