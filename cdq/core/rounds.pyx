"""Rounds without Python in between: windows, merges and commits of the workers of a process, until somebody must look.

What a worker does here is what `cdq.workers.rounds.play` does round by round, to the bit. Between two rounds rank 0
says whether Python has something to do after the next one; all ranks read that where they merge, and so return after
the same round.
"""

from libc.math cimport ceil, exp
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from cdq.core cimport turn
from cdq.core.barrier cimport Barrier, nanoseconds_of
from cdq.core.loops.tally cimport CDQ_TALLY_WIDTH, cdq_begin_tally, cdq_episodes, cdq_tally, cdq_whole
from cdq.core.loops.windows cimport Windows
from cdq.core.merge.merge cimport commit_parts, commit_sole, merge_part
from cdq.core.table.rows cimport Law, Rows, cdq_rows, close_alone

cdef extern from "atomics.h":
    int64_t cdq_now() noexcept nogil

cdef extern from "table/rows.h":
    unsigned char *cdq_row(const cdq_rows *rows, uint32_t state) nogil

cdef enum:
    # Requests of a rank to all: to go on, to end after the round in hand, or to return from here after it.
    GO_ON = 0
    STOP_AFTER = 2
    LOOK_AFTER = 3

    MOST_PARTS = 128    # of a window, each of so many steps of a worker at least (cdq.workers.tallies)
    SHORTEST_PART = 128

    # Columns of the records.
    STEPS = 0
    NANOSECONDS = 1
    EPISODES = 2
    RETURN_SUM = 3      # a double
    BYTES = 4
    PARTS = 5
    CLOCK_SUM = 6
    CLOCKS = 7
    N_COLUMNS = 8

# Results of `Seat.play`: the rounds ended, a stop flag ended a window, there was no memory; else what the barrier said.
ENDED = 0
INTERRUPTED = -1
NO_MEMORY = -2

cdef int _ENDED = 0, _INTERRUPTED = -1, _NO_MEMORY = -2


cdef struct cdq_pace:
    double mass, floor, longest     # lengths of windows; mass 0: they stay as they are
    int kind                        # of exploration: constant, linear, exponential
    double first, last, decay


cdef struct cdq_look:
    int64_t at                      # steps from which on Python has something to do
    int64_t until                   # time by which it has
    int64_t steps_per_look          # least steps between two looks at the table
    int64_t most_rows
    bint unseen, all_seen, counts


cdef double _rate(const cdq_pace *pace, int64_t steps) noexcept nogil:
    """Return the exploration rate after so many steps, as the schedules of `cdq.schedules` have it."""
    if pace.kind == 0:
        return pace.first
    if pace.kind == 1:
        return pace.first + (pace.last - pace.first) * min(<double> steps / pace.decay, 1.0)
    return pace.last + (pace.first - pace.last) * exp(-(<double> steps) / pace.decay)


cdef double _next_window(const cdq_pace *pace, double window, double mass) noexcept nogil:
    """Return the length of the window after one of so many steps, as `AutoWindow.next` does."""
    if pace.mass == 0:
        return window
    cdef double factor = min(max(pace.mass / mass, 0.5), 2.0) if mass > 0 else 2.0
    return min(max(window * factor, pace.floor), pace.longest)


cdef int64_t _sweeps(double window, int64_t left, int64_t lanes) noexcept nogil:
    """Return how often each of so many lanes steps, as `sweeps_of` does; *left* is at least 1."""
    cdef double needed = ceil(<double> left / <double> lanes)
    return <int64_t> max(1.0, min(ceil(window), needed))


cdef int64_t _parts_of(int64_t steps) noexcept nogil:
    return min(max(steps // SHORTEST_PART, 1), MOST_PARTS)


cdef bint _is_due(const cdq_look *look, int64_t before, int64_t after) noexcept nogil:
    """Return whether the table is looked at after a round, as `Figures.look` has it."""
    cdef int64_t least = max(look.steps_per_look, before // look.most_rows)
    cdef int bits = 0
    while least >> bits:
        bits += 1
    return look.unseen or after >> bits != before >> bits


cdef class Pace:
    """Lengths of windows and exploration rates, which follow from the steps and the rounds so far.

    Windows keep a pooled *mass* between *floor* and *longest*, or stay as they are where it is 0. The exploration rate
    goes from *first*: it stays (*kind* 0), or falls to *last* linearly (1) or exponentially (2) over *decay* steps.
    """

    cdef cdq_pace c

    def __init__(
        self, *, double mass, double floor, double longest, int kind, double first, double last=0.0, double decay=1.0
    ):
        self.c.mass, self.c.floor, self.c.longest = mass, floor, longest
        self.c.kind, self.c.first, self.c.last, self.c.decay = kind, first, last, decay


cdef class Seat:
    """Place of a worker among those of its process, or of one alone.

    *loop* learns on *rows*, with lanes in the memory *lanes*; *lanes_before* gets what they were before the window in
    hand. *visits*, an entry per pair, are those of the process where this worker keeps them, else None; of a table
    alone, those beyond its clocks. *records* (n, 8) get a row per round and *tallies* (m, 8) the parts of its window.
    """

    cdef Windows loop
    cdef Rows rows
    cdef object memory
    cdef uint8_t *lanes
    cdef uint8_t *lanes_before
    cdef int64_t lane_bytes
    cdef int64_t *visits
    cdef int64_t *records
    cdef double *tallies
    cdef int64_t n_records, n_tallies
    cdef unsigned char *part
    cdef int64_t room
    cdef int request
    cdef readonly int64_t rank
    cdef readonly int64_t rounds    # of the last call of play
    cdef readonly int64_t steps, bytes_sent
    cdef readonly double window
    cdef readonly bint asked        # whether a rank asked all to end

    def __init__(
        self, int64_t rank, Windows loop not None, Rows rows not None, uint8_t[::1] lanes, uint8_t[::1] lanes_before,
        int64_t[::1] visits, int64_t[:, ::1] records, double[:, ::1] tallies,
    ):
        if lanes.shape[0] != lanes_before.shape[0] or records.shape[1] != N_COLUMNS or (
                tallies.shape[1] != CDQ_TALLY_WIDTH or tallies.shape[0] < MOST_PARTS or records.shape[0] < 1):
            raise ValueError("lanes, records or tallies do not have the size that they should")
        if visits is not None and visits.shape[0] != rows.c.n_states * rows.c.n_actions:
            raise ValueError("visits do not have the size of the table")
        self.rank, self.loop, self.rows = rank, loop, rows
        self.memory = (lanes, lanes_before, visits, records, tallies)
        self.lanes, self.lanes_before, self.lane_bytes = &lanes[0], &lanes_before[0], lanes.shape[0]
        self.visits = &visits[0] if visits is not None else NULL
        self.records, self.n_records = &records[0, 0], records.shape[0]
        self.tallies, self.n_tallies = &tallies[0, 0], tallies.shape[0]

    def __dealloc__(self):
        free(self.part)

    def play(
        self, list seats not None, Barrier barrier, double timeout, *, Law law not None, int rule, bint needs_mass,
        Pace pace not None, int64_t steps, double window, int64_t target, int64_t bytes_sent,
        const int32_t[::1] finish, int64_t look_at, double seconds=0.0, int64_t steps_per_look=0,
        int64_t most_rows=1, bint unseen=False, bint all_seen=True, bint counts=False,
    ):
        """Play rounds with the workers of *seats*, in rank order, from *steps* and a window of *window* steps on.

        Ends at *target* steps, or after a round where a rank found the flag *finish* set, or rank 0 has steps of
        *look_at* and more, has played for so many *seconds*, has no room to record another one, or must look at the
        table itself: at every change of ``steps >> bits``, where *steps_per_look* and one of *most_rows* parts of the
        steps have so many bits, or where it is *unseen*. Where *all_seen*, its clocks are all there is to look at, and
        are recorded where it *counts* them.

        Returns ENDED, INTERRUPTED, NO_MEMORY, or what the barrier said; unless it is ENDED, the round in hand is not
        merged. *rounds*, *steps*, *window*, *bytes_sent* and *asked* say how far it came.
        """
        cdef int64_t size = len(seats), i, wait = nanoseconds_of(timeout)
        cdef cdq_look look
        cdef int status
        cdef const cdq_rows **tables
        cdef unsigned char **parts
        if not 0 <= self.rank < size or seats[self.rank] is not self or (size > 1 and barrier.size != size):
            raise ValueError("the seats are not those of the ranks that meet at the barrier")
        if law.real_size != self.rows.c.real_size or self.rows.c.own_rows or (size > 1 and self.rows.c.alone):
            raise ValueError("the law and the table differ in type, or the table cannot be merged here")
        memory = bytearray((2 * sizeof(void *) + sizeof(void *)) * size)
        cdef unsigned char[::1] view = memory
        tables, parts = <const cdq_rows **> &view[0], <unsigned char **> &view[sizeof(void *) * size]
        cdef void **others = <void **> &view[2 * sizeof(void *) * size]
        for i in range(size):
            tables[i] = &(<Seat?> seats[i]).rows.c
            others[i] = <void *> seats[i]
        look.at, look.until = look_at, cdq_now() + nanoseconds_of(seconds) if seconds else 0
        look.steps_per_look, look.most_rows = steps_per_look, most_rows
        look.unseen, look.all_seen, look.counts = unseen, all_seen, counts
        self.rounds, self.steps, self.window, self.bytes_sent, self.asked = 0, steps, window, bytes_sent, False
        with nogil:
            turn.release()
            status = self._play(
                size, others, tables, parts, <void *> barrier, wait, law, rule, needs_mass, &pace.c, target,
                <const volatile int32_t *> &finish[0], &look)
            turn.take()
        return status

    cdef int _play(
        self, int64_t size, void **others, const cdq_rows **tables, unsigned char **parts, void *barrier, int64_t wait,
        Law law, int rule, bint needs_mass, const cdq_pace *pace, int64_t target, const volatile int32_t *finish,
        cdq_look *look,
    ) noexcept nogil:
        cdef int64_t begun = cdq_now(), made = 0, after, taken, mass, total
        cdef int status
        cdef bint due, goes_on = True
        while goes_on and self.steps < target:
            after = self._learn(law, pace, target, size, made)
            if after < 0:
                return _INTERRUPTED
            due = self.rank == 0 and look.steps_per_look and _is_due(look, self.steps, after)
            self._ask(finish, look, due, after, made)
            status = self._merge(
                size, others, tables, parts, barrier, wait, law, rule, needs_mass, &mass, &total, &goes_on)
            if status:
                return status
            made += self.records[N_COLUMNS * self.rounds + PARTS]
            if after < target:
                taken = (after - self.steps) // size
                self.window = _next_window(pace, <double> taken, mass / 1048576.0 / total if total else 0.0)
            self._record(due and look.all_seen and look.counts, after, begun)
        return _ENDED

    cdef int64_t _learn(
        self, Law law, const cdq_pace *pace, int64_t target, int64_t size, int64_t made
    ) noexcept nogil:
        """Learn for a window; return the steps of all workers after it, or -1 where it was ended early."""
        cdef int64_t lanes = self.loop.n_lanes
        cdef int64_t sweeps = _sweeps(self.window / <double> lanes, target - self.steps, size * lanes)
        cdef int64_t after = self.steps + sweeps * lanes * size, n_parts = _parts_of(sweeps * lanes)
        cdef int64_t *record = self.records + N_COLUMNS * self.rounds
        cdef double *rows = self.tallies + CDQ_TALLY_WIDTH * made
        cdef cdq_tally tally
        cdef cdq_episodes whole
        memcpy(self.lanes_before, self.lanes, self.lane_bytes)
        memset(rows, 0, n_parts * CDQ_TALLY_WIDTH * sizeof(double))
        tally = cdq_begin_tally(rows, n_parts, lanes, sweeps)
        if not self.loop.learn(&law.c, sweeps, _rate(pace, self.steps), _rate(pace, after), &tally):
            return -1
        whole = cdq_whole(&tally)
        record[EPISODES], record[PARTS], record[BYTES] = whole.episodes, n_parts, self.bytes_sent
        (<double *> record)[RETURN_SUM] = whole.return_sum
        return after

    cdef void _ask(
        self, const volatile int32_t *finish, const cdq_look *look, bint due, int64_t after, int64_t made
    ) noexcept nogil:
        """Say what this rank wants after the round in hand; what is due is that the table is looked at."""
        cdef int64_t parts = made + self.records[N_COLUMNS * self.rounds + PARTS] + MOST_PARTS
        cdef bint full = parts > self.n_tallies or self.rounds + 2 > self.n_records
        self.request = GO_ON
        if finish[0]:
            self.request = STOP_AFTER
        elif self.rank == 0 and (
                full or after >= look.at or (due and not look.all_seen) or (look.until and cdq_now() > look.until)):
            self.request = LOOK_AFTER

    cdef int _merge(
        self, int64_t size, void **others, const cdq_rows **tables, unsigned char **parts, void *barrier, int64_t wait,
        Law law, int rule, bint needs_mass, int64_t *mass, int64_t *total, bint *goes_on,
    ) noexcept nogil:
        """Merge the window with those of all others, and make that the table; return 0, or why it could not be."""
        cdef int64_t i, sent = self.rows.c.n_log * (self.rows.c.real_size + 8)
        cdef int status
        mass[0] = total[0] = 0
        if size == 1:
            goes_on[0], self.asked = self.request == GO_ON, self.request == STOP_AFTER
            if self.rows.c.alone:
                close_alone(&self.rows.c, self.visits)
            else:
                commit_sole(&self.rows.c, self.visits)
            return 0
        status = (<Barrier> barrier).meet(self.rank, wait)
        if status:
            return status
        for i in range(size):
            goes_on[0] = goes_on[0] and (<Seat> others[i]).request == GO_ON
            self.asked = self.asked or (<Seat> others[i]).request == STOP_AFTER
        if merge_part(tables, size, self.rank, rule, &law.c, needs_mass, &self.part, &self.room):
            return _NO_MEMORY
        status = (<Barrier> barrier).meet(self.rank, wait)
        if status:
            return status
        for i in range(size):
            parts[i] = (<Seat> others[i]).part
        commit_parts(&self.rows.c, parts, size, self.visits, mass, total)
        self.bytes_sent += sent * (size - 1) // size
        return 0

    cdef void _record(self, bint counts, int64_t after, int64_t begun) noexcept nogil:
        """Record the round, which is in the table, with its clocks where that *counts*."""
        cdef int64_t *record = self.records + N_COLUMNS * self.rounds
        record[CLOCK_SUM], record[CLOCKS] = 0, -1
        if counts:
            _count_clocks(&self.rows.c, record + CLOCK_SUM, record + CLOCKS)
        record[STEPS], record[NANOSECONDS] = after, cdq_now() - begun
        self.steps = after
        self.rounds += 1


cdef void _count_clocks(const cdq_rows *rows, int64_t *total, int64_t *above_zero) noexcept nogil:
    """Add up the clocks of the merged table, and count those above 0."""
    cdef int64_t state, action
    cdef const uint32_t *clocks
    total[0] = above_zero[0] = 0
    for state in range(rows.n_states):
        if rows.alone:
            clocks = <const uint32_t *> (cdq_row(rows, <uint32_t> state) + rows.n_actions * rows.real_size)
        else:
            clocks = rows.clock + state * rows.n_actions
        for action in range(rows.n_actions):
            total[0] += clocks[action]
            above_zero[0] += clocks[action] > 0
