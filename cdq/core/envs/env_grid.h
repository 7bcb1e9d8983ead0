/* Environments on grids and chains: each takes its parameters as a struct of its own. */
#ifndef CDQ_ENV_GRID_H
#define CDQ_ENV_GRID_H

#include <math.h>

#include "base.h"
#include "lane.h"

/* Finaliser of splitmix64 (Steele, Lea and Flood, 2014): a hash of 64 bits. */
CDQ_INLINE uint64_t cdq_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* ---- GridWorld. Actions: 0 left, 1 down, 2 right, 3 up. */

typedef struct {
    int64_t rows, columns;
    int64_t start; /* a cell; -1: anywhere that is neither wall nor goal */
    int64_t n_goals;
    uint64_t seed, density; /* a cell is a wall if its hash is below density */
    double slip, step_reward, goal_reward;
    const int64_t *goals;
    const uint8_t *walls; /* a byte per cell, or NULL: walls by rule */
} cdq_grid;

CDQ_INLINE int cdq_grid_goal(const cdq_grid *grid, int64_t cell)
{
    int found = 0;
    for (int64_t i = 0; i < grid->n_goals; i++)
        found |= grid->goals[i] == cell;
    return found;
}

/* The rule spares start and goals. */
CDQ_INLINE int cdq_grid_wall(const cdq_grid *grid, int64_t cell)
{
    if (grid->walls)
        return grid->walls[cell];
    return grid->density && cdq_mix((uint64_t)cell ^ grid->seed) < grid->density && cell != grid->start &&
           !cdq_grid_goal(grid, cell);
}

static void cdq_grid_reset(cdq_lane *lane)
{
    const cdq_grid *grid = (const cdq_grid *)lane->context;
    int64_t cell = grid->start, n_cells = grid->rows * grid->columns;
    uint64_t bits = (uint64_t)(lane->uniform[1] * 0x1p52);
    if (cell < 0)
        cell = (int64_t)(lane->uniform[0] * (double)n_cells);
    while (grid->start < 0 && (cdq_grid_wall(grid, cell) || cdq_grid_goal(grid, cell))) {
        bits = cdq_mix(bits);
        cell = (int64_t)((double)(bits >> 12) * 0x1p-52 * (double)n_cells);
    }
    lane->integer[0] = cell / grid->columns;
    lane->integer[1] = cell % grid->columns;
    lane->index = cell;
}

/* Left, down, right, up, and round again: a slip adds 1 or 3. Looked up, as a branch would mispredict every other time
 * (8 nanoseconds a step for 11). */
static const int8_t cdq_grid_down[8] = {0, 1, 0, -1, 0, 1, 0, -1}, cdq_grid_right[8] = {-1, 0, 1, 0, -1, 0, 1, 0};

/* The chosen direction with probability 1 - slip, else one of the two at right angles, each as likely. */
static void cdq_grid_step(cdq_lane *lane)
{
    const cdq_grid *grid = (const cdq_grid *)lane->context;
    int64_t direction = lane->action + (lane->uniform[0] < grid->slip ? 1 : 0);
    direction += lane->uniform[0] < 0.5 * grid->slip ? 2 : 0;
    int64_t row = lane->integer[0] + cdq_grid_down[direction], column = lane->integer[1] + cdq_grid_right[direction];
    int64_t cell = row * grid->columns + column;
    int inside = (uint64_t)row < (uint64_t)grid->rows && (uint64_t)column < (uint64_t)grid->columns;
    if (inside && !cdq_grid_wall(grid, cell)) {
        lane->integer[0] = row;
        lane->integer[1] = column;
        lane->index = cell;
    }
    int goal = cdq_grid_goal(grid, lane->index);
    lane->reward = goal ? grid->goal_reward : grid->step_reward;
    lane->terminated = (uint8_t)goal;
}

/* ---- Garnet: every pair leads to a few states drawn at random. */

typedef struct {
    int64_t n_states, n_actions, branching;
    const int32_t *next_state; /* (n_states * n_actions, branching) */
    const double *cumulative; /* the same layout as next_state */
    const double *reward; /* (n_states * n_actions) */
} cdq_garnet;

static void cdq_garnet_reset(cdq_lane *lane)
{
    const cdq_garnet *garnet = (const cdq_garnet *)lane->context;
    lane->index = (int64_t)(lane->uniform[0] * (double)garnet->n_states);
    lane->integer[0] = lane->index;
}

static void cdq_garnet_step(cdq_lane *lane)
{
    const cdq_garnet *garnet = (const cdq_garnet *)lane->context;
    int64_t pair = lane->integer[0] * garnet->n_actions + lane->action, first = pair * garnet->branching, k = 0;
    for (int64_t j = 0; j < garnet->branching - 1; j++)
        k += lane->uniform[0] >= garnet->cumulative[first + j];
    lane->index = lane->integer[0] = garnet->next_state[first + k];
    lane->reward = garnet->reward[pair];
}

/* ---- RiverSwim. Actions: 0 left, with the current, 1 right, against it. */

typedef struct {
    int64_t n_states;
} cdq_river;

static void cdq_river_reset(cdq_lane *lane) { lane->index = lane->integer[0] = 0; }

static void cdq_river_step(cdq_lane *lane)
{
    int64_t last = ((const cdq_river *)lane->context)->n_states - 1, state = lane->integer[0];
    double u = lane->uniform[0];
    double back = state == 0 ? 0.0 : state == last ? 0.4 : 0.05;
    double on = state == 0 ? 0.6 : state == last ? 0.0 : 0.35;
    int64_t swim = (u >= 1.0 - on) - (u < back);
    lane->reward = lane->action == 0 ? (state == 0 ? 0.005 : 0.0) : (state == last ? 1.0 : 0.0);
    state += lane->action ? swim : -(state > 0);
    lane->index = lane->integer[0] = state;
}

/* ---- DeepSea. Which of the two actions goes right differs from cell to cell. */

typedef struct {
    int64_t size;
    uint64_t seed; /* 0: action 1 goes right everywhere */
    double move_cost;
} cdq_sea;

static void cdq_sea_reset(cdq_lane *lane)
{
    lane->integer[0] = lane->integer[1] = 0;
    lane->index = 0;
}

static void cdq_sea_step(cdq_lane *lane)
{
    const cdq_sea *sea = (const cdq_sea *)lane->context;
    int64_t row = lane->integer[0], column = lane->integer[1], last = sea->size - 1;
    int64_t swapped = sea->seed ? (int64_t)(cdq_mix((uint64_t)lane->index ^ sea->seed) & 1) : 0;
    int right = lane->action != swapped;
    lane->reward = right ? (column == last) - sea->move_cost / (double)sea->size : 0.0;
    column += right ? column < last : -(column > 0);
    lane->terminated = row == last;
    lane->integer[0] = row += row < last; /* the last dive ends in its own row: no index beyond the table */
    lane->integer[1] = column;
    lane->index = row * sea->size + column;
}

#endif
