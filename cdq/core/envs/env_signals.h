/* Traffic lights at the crossings of a grid of streets: an agent, and so a lane of the loop, for each crossing. */
#ifndef CDQ_ENV_SIGNALS_H
#define CDQ_ENV_SIGNALS_H

#include "base.h"
#include "lane.h"

#define CDQ_SIGNAL_TICKS 5 /* of a decision */
#define CDQ_SIGNAL_ALL_RED 2 /* of them, after a change */
#define CDQ_SIGNAL_FULL 40 /* vehicles that wait before a first crossing, at most */
#define CDQ_SIGNAL_PATTERNS 32 /* of ticks of a decision at which a vehicle comes, as bits */

/* A crossing's integers: the vehicles that wait, come from north, east, south and west; the direction of green, 0 north
 * and south, 1 east and west; then those of a decision: the ticks of red, the approaches that a vehicle left in this
 * tick, as bits, and the ticks at which vehicles come from outside, as bits of each approach. */
enum { CDQ_SIGNAL_GREEN = 4, CDQ_SIGNAL_RED, CDQ_SIGNAL_LEFT, CDQ_SIGNAL_COMING };

typedef struct {
    int64_t rows, columns;
    int64_t global; /* an agent's reward is the city's */
    double arrivals[2][CDQ_SIGNAL_PATTERNS]; /* by direction, the cumulative probability of each pattern */
} cdq_signals;

/* 0; 1, 2; 3 to 5; 6 to 10; 11 and more */
CDQ_INLINE int64_t cdq_signal_bin(int64_t waiting)
{
    return (waiting > 0) + (waiting > 2) + (waiting > 5) + (waiting > 10);
}

CDQ_INLINE void cdq_signal_show(cdq_lane *lane)
{
    const int64_t *s = lane->integer;
    lane->index = (s[CDQ_SIGNAL_GREEN] * 5 + cdq_signal_bin(s[0] + s[2])) * 5 + cdq_signal_bin(s[1] + s[3]);
}

static void cdq_signals_reset(cdq_lane *lanes)
{
    const cdq_signals *city = (const cdq_signals *)lanes->context;
    for (int64_t i = 0; i < city->rows * city->columns; i++) {
        for (int k = 0; k < 8; k++)
            lanes[i].integer[k] = 0;
        cdq_signal_show(lanes + i);
    }
}

CDQ_INLINE int64_t cdq_signal_arrivals(const double *cumulative, double uniform)
{
    int64_t pattern = 0;
    for (int k = 0; k < CDQ_SIGNAL_PATTERNS - 1; k++)
        pattern += uniform >= cumulative[k];
    return pattern;
}

/* Begin a decision at the crossing of a row and a column. */
CDQ_INLINE void cdq_signal_decide(const cdq_signals *city, cdq_lane *lane, int64_t row, int64_t column)
{
    int64_t *s = lane->integer;
    int outside[4] = {row == 0, column == city->columns - 1, row == city->rows - 1, column == 0};
    s[CDQ_SIGNAL_RED] = s[CDQ_SIGNAL_GREEN] != lane->action ? CDQ_SIGNAL_ALL_RED : 0;
    s[CDQ_SIGNAL_GREEN] = lane->action;
    s[CDQ_SIGNAL_COMING] = 0;
    lane->reward = 0.0;
    for (int k = 0; k < 4; k++)
        if (outside[k])
            s[CDQ_SIGNAL_COMING] |= cdq_signal_arrivals(city->arrivals[k & 1], lane->uniform[k])
                                    << (CDQ_SIGNAL_TICKS * k);
}

/* Let a vehicle leave each approach that has green. */
CDQ_INLINE void cdq_signal_leave(int64_t *s, int tick)
{
    int64_t green = s[CDQ_SIGNAL_GREEN], open = tick >= s[CDQ_SIGNAL_RED];
    int64_t one = (s[green] > 0) & open, other = (s[green + 2] > 0) & open;
    s[green] -= one;
    s[green + 2] -= other;
    s[CDQ_SIGNAL_LEFT] = one << green | other << (green + 2);
}

/* Let those come that left the crossing before, *from* lanes away, or that come from outside. */
CDQ_INLINE int64_t cdq_signal_come(cdq_lane *lane, int k, int inside, int64_t from, int tick)
{
    int64_t *s = lane->integer;
    if (inside)
        s[k] += lane[from].integer[CDQ_SIGNAL_LEFT] >> k & 1;
    else
        s[k] += (s[CDQ_SIGNAL_COMING] >> (CDQ_SIGNAL_TICKS * k + tick) & 1) & (s[k] < CDQ_SIGNAL_FULL);
    return s[k];
}

static void cdq_signals_tick(const cdq_signals *city, cdq_lane *lanes, int tick)
{
    const int64_t rows = city->rows, columns = city->columns;
    for (int64_t i = 0; i < rows * columns; i++)
        cdq_signal_leave(lanes[i].integer, tick);
    cdq_lane *lane = lanes;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column++, lane++) {
            int64_t waiting = cdq_signal_come(lane, 0, row > 0, -columns, tick);
            waiting += cdq_signal_come(lane, 1, column < columns - 1, 1, tick);
            waiting += cdq_signal_come(lane, 2, row < rows - 1, columns, tick);
            waiting += cdq_signal_come(lane, 3, column > 0, -1, tick);
            lane->reward -= (double)waiting;
        }
}

/* The reward is minus the mean of the vehicles that wait, over the ticks. */
static void cdq_signals_step(cdq_lane *lanes)
{
    const cdq_signals *city = (const cdq_signals *)lanes->context;
    const int64_t rows = city->rows, columns = city->columns;
    double all = 0.0;
    for (int64_t row = 0, i = 0; row < rows; row++)
        for (int64_t column = 0; column < columns; column++, i++)
            cdq_signal_decide(city, lanes + i, row, column);
    for (int tick = 0; tick < CDQ_SIGNAL_TICKS; tick++)
        cdq_signals_tick(city, lanes, tick);
    for (int64_t i = 0; i < rows * columns; i++)
        all += lanes[i].reward;
    for (int64_t i = 0; i < rows * columns; i++) {
        lanes[i].reward = (city->global ? all : lanes[i].reward) / CDQ_SIGNAL_TICKS;
        cdq_signal_show(lanes + i);
    }
}

#endif
