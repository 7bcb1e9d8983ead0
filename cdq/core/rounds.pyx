"""Rounds without Python in between: windows, merges and commits of the workers of a process, until somebody must look.

What a worker does here is what `cdq.workers.rounds.play` does round by round, to the bit. Between two rounds rank 0
says whether Python has something to do after the next one; all ranks read that where they merge, and so return after
the same round.
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from cdq.core cimport turn
from cdq.core.barrier cimport Barrier, nanoseconds_of
from cdq.core.loops.tally cimport (
    CDQ_TALLY_WIDTH, cdq_begin_tally, cdq_episodes, cdq_put_together, cdq_tally, cdq_whole)
from cdq.core.loops.windows cimport Windows
from cdq.core.merge.merge cimport commit_parts, commit_sole, merge_part
from cdq.core.table.hash cimport HashedRows
from cdq.core.table.rows cimport Law, Rows, cdq_law, cdq_rows, close_alone

cdef extern from "atomics.h":
    int64_t cdq_now() noexcept nogil

# Results of `Seat.play`: the rounds ended, a stop flag ended a window, there was no memory, a window met states that
# have no rows yet, so that Python has to merge it; else what the barrier said.
ENDED = 0
INTERRUPTED = -1
NO_MEMORY = -2
GROWN = -3

cdef int _ENDED = 0, _INTERRUPTED = -1, _NO_MEMORY = -2, _GROWN = -3


def board_bytes(int64_t n_bytes):
    """Return how much memory a worker shares whose merged part takes so many bytes at most."""
    return BOARD + (n_bytes + BOARD - 1) // BOARD * BOARD


cdef class Rates:
    """A rate that follows from the steps so far: the last of *rates*, on straight lines between them at steps *knots*.

    With *decay* it falls from the first of two to the last one over so many steps, exponentially where it *bends*.
    """

    cdef cdq_rate c
    cdef object memory

    def __init__(
        self, const double[::1] rates not None, const int64_t[::1] knots=None, double decay=0.0, bint bends=False
    ):
        cdef int64_t n = rates.shape[0]
        if n < 1 or (decay and n < 2) or (knots is not None and (knots.shape[0] != n or knots[0] != 0)):
            raise ValueError("a rate has knots from 0 on, or two rates, and a decay")
        self.memory = rates, knots
        self.c.kind = CDQ_TABULATED if knots is not None else CDQ_CONSTANT
        if decay:
            self.c.kind = CDQ_EXPONENTIAL if bends else CDQ_LINEAR
        self.c.first, self.c.last, self.c.decay, self.c.n = rates[0], rates[n - 1], decay, n
        self.c.rates, self.c.knots = &rates[0], &knots[0] if knots is not None else NULL

    def at(self, int64_t steps) -> float:
        """Return the rate after so many steps."""
        return cdq_rate_at(&self.c, steps)


cdef class Pace:
    """Lengths of windows and rates, which follow from the steps and the rounds so far.

    Windows keep a pooled *mass* between *floor* and *longest*, or stay as they are where it is 0. Where step sizes
    follow from the steps, a round may add *clock_mass* to a clock, and each is multiplied by *scale*.
    """

    cdef cdq_lengths c
    cdef Rates exploration, step_size
    cdef double clock_mass, scale

    def __init__(
        self, double mass, double floor, double longest, Rates exploration not None, Rates step_size=None,
        double clock_mass=0.0, double scale=1.0,
    ):
        self.c.mass, self.c.floor, self.c.longest = mass, floor, longest
        self.exploration, self.step_size, self.clock_mass, self.scale = exploration, step_size, clock_mass, scale


cdef class Seat:
    """Place of a worker among those of its process, or of one alone.

    *loop* learns on *rows*, with lanes in the memory *lanes*; *lanes_before* gets what they were before the window in
    hand. *visits*, an entry per pair, are those of the process where this worker keeps them, else None; of a table
    alone, those beyond its clocks. *records* (n, 9) get a row per round and *tallies* (m, 8) the parts of its window.
    *shared* is memory that other processes see, where they merge with this worker, whose table they see too:
    `board_bytes` for as much as it may have merged.
    """

    cdef Windows loop
    cdef Rows rows
    cdef HashedRows hashed          # the same, where states get rows as they are met; else None
    cdef object memory
    cdef uint8_t *lanes
    cdef uint8_t *lanes_before
    cdef int64_t lane_bytes
    cdef int64_t *visits
    cdef cdq_record *records
    cdef double *tallies
    cdef int64_t n_records, n_tallies
    cdef unsigned char *part
    cdef int64_t room
    cdef cdq_board *board
    cdef object shared
    cdef bint shares, elsewhere     # whether other processes see board and part, and whether it is a worker of one
    cdef cdq_own_board own          # apart from what is above, which others read, and below, which they do not
    cdef int rule
    cdef bint needs_mass
    cdef cdq_law law                # of the window in hand
    cdef cdq_decay decay
    cdef int64_t size, wait, target  # of the call of play in hand
    cdef void **others              # seats of all, their tables, and what they have merged
    cdef const cdq_rows **tables
    cdef unsigned char **parts
    cdef readonly int64_t rank
    cdef readonly int64_t rounds    # of the last call of play
    cdef readonly int64_t steps, bytes_sent
    cdef readonly double window
    cdef readonly bint asked        # whether a rank asked all to end

    def __init__(
        self, int64_t rank, Windows loop not None, Rows rows not None, uint8_t[::1] lanes, uint8_t[::1] lanes_before,
        int64_t[::1] visits, int64_t[:, ::1] records, double[:, ::1] tallies, shared=None,
    ):
        if lanes.shape[0] != lanes_before.shape[0] or 8 * records.shape[1] != sizeof(cdq_record) or (
                tallies.shape[1] != CDQ_TALLY_WIDTH or tallies.shape[0] < MOST_PARTS or records.shape[0] < 1):
            raise ValueError("lanes, records or tallies do not have the size that they should")
        if visits is not None and visits.shape[0] != rows.c.n_states * rows.c.n_actions:
            raise ValueError("visits do not have the size of the table")
        self.rank, self.loop, self.rows = rank, loop, rows
        self.hashed = rows if isinstance(rows, HashedRows) else None
        self.memory = (lanes, lanes_before, visits, records, tallies)
        self.lanes, self.lanes_before, self.lane_bytes = &lanes[0], &lanes_before[0], lanes.shape[0]
        self.visits = &visits[0] if visits is not None and visits.shape[0] else NULL
        self.records, self.n_records = <cdq_record *> &records[0, 0], records.shape[0]
        self.tallies, self.n_tallies = &tallies[0, 0], tallies.shape[0]
        self.board = &self.own.board
        cdef unsigned char[::1] own = shared  # it is written to
        if own is not None:
            self._share(own)

    def __dealloc__(self):
        if not self.shares:
            free(self.part)

    @staticmethod
    def elsewhere_of(int64_t rank, Rows rows not None, shared not None):
        """Return the place of a worker of another process, of whose *rows* and *shared* memory this one reads."""
        cdef Seat seat = Seat.__new__(Seat)
        seat.rank, seat.rows, seat.elsewhere = rank, rows, True
        seat._share(shared)
        return seat

    cdef int _share(self, const unsigned char[::1] shared) except -1:
        if shared.shape[0] < BOARD:
            raise ValueError("the memory that is shared is too short")
        self.shared, self.shares = shared, True
        self.board = <cdq_board *> &shared[0]
        self.part, self.room = <unsigned char *> &shared[0] + BOARD, shared.shape[0] - BOARD
        return 0

    def play(
        self, list seats not None, Barrier barrier, double timeout, *, Law law not None, int rule, bint needs_mass,
        Pace pace not None, int64_t steps, double window, int64_t target, int64_t bytes_sent,
        const int32_t[::1] finish, int64_t look_at, double seconds=0.0, int64_t steps_per_look=0,
        int64_t most_rows=1, bint unseen=False, int64_t seen=0, const uint8_t[::1] known=None, bint counts=False,
    ):
        """Play rounds with the workers of *seats*, in rank order, from *steps* and a window of *window* steps on.

        Ends at *target* steps, or after a round where a rank found the flag *finish* set, or rank 0 has steps of
        *look_at* and more, has played for so many *seconds*, or has no room to record another one.

        Rank 0 looks at the table where *steps_per_look* is above 0: at every change of ``steps >> bits``, where that
        and one of *most_rows* parts of the steps have so many bits, or where it is *unseen*. Recorded are its clocks,
        where it *counts* them, and the *known* pairs (None: all) that were visited, of which it has *seen* so many.

        Returns ENDED, INTERRUPTED, NO_MEMORY, GROWN, or what the barrier said; unless it is ENDED, the round in hand is
        not merged. *rounds*, *steps*, *window*, *bytes_sent* and *asked* say how far it came.
        """
        cdef int64_t size = len(seats), i
        cdef cdq_look look
        cdef int status
        if not 0 <= self.rank < size or seats[self.rank] is not self or self.elsewhere or (
                size > 1 and barrier.size != size):
            raise ValueError("the seats are not those of the ranks that meet at the barrier")
        if law.real_size != self.rows.c.real_size or self.rows.c.own_rows or (size > 1 and self.rows.c.alone):
            raise ValueError("the law and the table differ in type, or the table cannot be merged here")
        cdef int64_t[::1] memory = memoryview(bytearray(24 * size)).cast("q")
        self.tables, self.parts = <const cdq_rows **> &memory[0], <unsigned char **> &memory[size]
        self.others = <void **> &memory[2 * size]
        for i in range(size):
            self.tables[i] = &(<Seat?> seats[i]).rows.c
            self.others[i] = <void *> seats[i]
        self.size, self.wait, self.target = size, nanoseconds_of(timeout), target
        self.rule, self.needs_mass = rule, needs_mass
        look.at, look.until = look_at, cdq_now() + nanoseconds_of(seconds) if seconds else 0
        look.steps_per_look, look.most_rows = steps_per_look, most_rows
        look.unseen, look.counts, look.seen, look.tables = unseen, counts, seen, self.rows.tables
        look.known, look.n_known = NULL, self.rows.c.n_states * self.rows.c.n_actions // look.tables
        if known is not None:
            if known.shape[0] != look.n_known:
                raise ValueError("known pairs are not those of the table")
            look.known, look.n_known = &known[0], 0
            for i in range(known.shape[0]):
                look.n_known += known[i] != 0
        self.law, self.decay.rate.n = law.c, 0
        if pace.step_size is not None:
            self.decay.rate, self.decay.now = pace.step_size.c, NAN
            self.decay.mass, self.decay.scale = pace.clock_mass, pace.scale
        self.rounds, self.steps, self.window, self.bytes_sent, self.asked = 0, steps, window, bytes_sent, False
        with nogil:
            turn.release()
            status = self._play(barrier, pace, <const volatile int32_t *> &finish[0], &look)
            turn.take()
        return status

    cdef int _play(self, Barrier barrier, Pace pace, const volatile int32_t *finish, cdq_look *look) noexcept nogil:
        cdef int64_t begun = cdq_now(), made = 0, after, taken, mass, total
        cdef int status
        cdef bint due, goes_on = True
        while goes_on and self.steps < self.target:
            after = self._learn(pace, made)
            if after < 0:
                return _INTERRUPTED
            due = self.rank == 0 and look.steps_per_look and cdq_is_due(look, self.steps, after)
            made += self.records[self.rounds].parts
            self._ask(finish, look, after, self.n_tallies - made)
            status = self._merge(barrier, &mass, &total, &goes_on)
            if status:
                return status
            if after < self.target:
                taken = (after - self.steps) // self.size
                self.window = cdq_next_window(&pace.c, <double> taken, mass / 1048576.0 / total if total else 0.0)
            self._record(look if due else NULL, after, begun)
        return _ENDED

    cdef int64_t _learn(self, Pace pace, int64_t made) noexcept nogil:
        """Learn for a window; return the steps of all workers after it, or -1 where it was ended early."""
        cdef int64_t lanes = self.loop.n_lanes
        cdef int64_t sweeps = cdq_sweeps(self.window, self.target - self.steps, self.size, lanes)
        cdef int64_t after = self.steps + sweeps * lanes * self.size
        cdef int64_t n_parts = min(max(sweeps * lanes // SHORTEST_PART, 1), MOST_PARTS)
        cdef cdq_record *record = self.records + self.rounds
        cdef double *rows = self.tallies + CDQ_TALLY_WIDTH * made
        cdef cdq_tally tally
        cdef cdq_episodes whole
        cdef double first, last
        memcpy(self.lanes_before, self.lanes, self.lane_bytes)
        tally = cdq_begin_tally(rows, n_parts, lanes, sweeps)
        cdq_put_together(&tally, self.steps, self.size, cdq_cell_bits(after))
        if self.decay.rate.n:
            self.law = cdq_law_at(&self.decay, self.steps, self.rows.c.real_size)
        first, last = cdq_rate_at(&pace.exploration.c, self.steps), cdq_rate_at(&pace.exploration.c, after)
        if not self.loop.learn(&self.law, sweeps, first, last, &tally):
            return -1
        whole = cdq_whole(&tally)
        record.episodes, record.return_sum = whole.episodes, whole.return_sum
        record.parts, record.bytes = tally.n_rows, self.bytes_sent
        return after

    cdef void _ask(self, const volatile int32_t *finish, cdq_look *look, int64_t after, int64_t room) noexcept nogil:
        """Say what this rank wants after the round in hand, of which *room* tallies are left."""
        cdef bint full = room < MOST_PARTS or self.rounds + 2 > self.n_records
        self.board.n_log, self.board.request = self.rows.c.n_log, GO_ON
        self.board.grown = self.hashed is not None and self.hashed.c.n_states > self.hashed.agreed
        if finish[0]:
            self.board.request = STOP_AFTER
        elif self.rank == 0 and (full or after >= look.at or (look.until and cdq_now() > look.until)):
            self.board.request = LOOK_AFTER

    cdef int _merge(self, Barrier barrier, int64_t *mass, int64_t *total, bint *goes_on) noexcept nogil:
        """Merge the window with those of all others, and make that the table; return 0, or why it could not be."""
        cdef int64_t i, size = self.size, sent = self.rows.c.n_log * (self.rows.c.real_size + 8)
        cdef int status
        mass[0] = total[0] = 0
        if size == 1:
            goes_on[0], self.asked = self.board.request == GO_ON, self.board.request == STOP_AFTER
            if self.board.grown:
                return _GROWN
            if self.rows.c.alone:
                close_alone(&self.rows.c, self.visits)
            else:
                commit_sole(&self.rows.c, self.visits)
            return 0
        status = barrier.meet(self.rank, self.wait)
        if status:
            return status
        for i in range(size):
            goes_on[0] = goes_on[0] and (<Seat> self.others[i]).board.request == GO_ON
            self.asked = self.asked or (<Seat> self.others[i]).board.request == STOP_AFTER
            status = _GROWN if (<Seat> self.others[i]).board.grown else status
            if (<Seat> self.others[i]).elsewhere:
                (<Seat> self.others[i]).rows.c.n_log = cdq_told_log((<Seat> self.others[i]).board, &self.rows.c)
        if status:
            return status
        if merge_part(self.tables, size, self.rank, self.rule, &self.law, self.needs_mass, &self.part, &self.room):
            return _NO_MEMORY
        status = barrier.meet(self.rank, self.wait)
        if status:
            return status
        for i in range(size):
            self.parts[i] = (<Seat> self.others[i]).part
        commit_parts(&self.rows.c, self.parts, self.room if self.shares else 0, size, self.visits, mass, total)
        self.bytes_sent += sent * (size - 1) // size
        return 0

    cdef void _record(self, cdq_look *look, int64_t after, int64_t begun) noexcept nogil:
        """Record the round, which is in the table; with a *look* at that where there is one."""
        cdef cdq_record *record = self.records + self.rounds
        cdq_record_look(record, &self.rows.c, self.visits, look)
        record.steps, record.nanoseconds = after, cdq_now() - begun
        self.steps = after
        self.rounds += 1
