"""Hashed tables: a row for every key of 64 bits that was met, in the order in which they were."""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport UINT32_MAX, UINT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cdq.core.table.qfunction cimport TableQ
from cdq.core.table.rows cimport Rows, cdq_rows

from cdq.core.table.rows import row_size


cdef extern from "table/hash.h":
    uint32_t CDQ_NO_ROW
    uint32_t cdq_find(const cdq_index *index, uint64_t key) nogil
    uint32_t cdq_insert(cdq_index *index, uint64_t key) nogil
    void cdq_fill_slots(cdq_index *index) nogil
    void cdq_truncate(cdq_index *index, int64_t n) nogil
    void cdq_fresh_row(const cdq_rows *rows, int64_t row, double initial_value) nogil


# Slots are at most so full, in eighths: a key is then found at the second look or before, on average.
cdef int64_t FULL = 6
cdef int64_t LEAST = 1024


cdef class HashIndex:
    """The row numbers of keys: 0, 1, 2, ... in the order in which the keys came.

    *allocate* returns zeroed memory of so many bytes, as an array of uint8.
    """

    def __init__(self, allocate, int64_t capacity=LEAST):
        self.allocate = allocate
        self.reserve(max(capacity, LEAST))

    def __len__(self):
        return self.c.n

    cdef int64_t n_slots(self):
        return <int64_t> self.c.mask + 1

    @property
    def load(self):
        """The part of the slots that is taken."""
        return self.c.n / <double> self.n_slots()

    @property
    def keys(self):
        """The keys, by row: a view, (n,) uint64, until keys are added or forgotten."""
        return self.keys_memory[:self.c.n]

    def reserve(self, int64_t capacity):
        """Make room for so many keys."""
        cdef int64_t slots = LEAST
        cdef uint64_t[::1] memory
        if capacity > self.capacity:
            keys = self.allocate(8 * capacity).view("u8")
            keys[:self.c.n] = self.keys_memory[:self.c.n] if self.c.n else 0
            memory = keys
            self.c.keys, self.keys_memory, self.capacity = &memory[0], keys, capacity
        while slots * FULL // 8 < capacity:
            slots *= 2
        if self.slots_memory is None or slots > self.n_slots():
            memory = self.allocate(8 * slots).view("u8")
            self.slots_memory = memory  # the former ones serve as long as there are no others
            self.c.slots, self.c.mask = &memory[0], <uint64_t> slots - 1
            with nogil:
                cdq_fill_slots(&self.c)
        self.c.most = capacity

    def insert(self, const uint64_t[::1] keys, uint32_t[::1] rows=None):
        """Add the keys that are new, each at the next row, and write the row of each."""
        cdef int64_t n = keys.shape[0], i
        cdef uint32_t row
        if rows is not None and rows.shape[0] != n:
            raise ValueError("keys and rows differ in length")
        if self.c.n + n > self.c.most:
            self.reserve(max(2 * self.capacity, self.c.n + n))
        with nogil:
            for i in range(n):
                row = cdq_insert(&self.c, keys[i])
                if rows is not None:
                    rows[i] = row

    def find(self, key):
        """Return the row of a key, or -1."""
        cdef uint32_t row = cdq_find(&self.c, <uint64_t> key)
        return -1 if row == CDQ_NO_ROW else row

    def truncate(self, int64_t n):
        """Forget the keys of the rows from *n* on."""
        if not 0 <= n <= self.c.n:
            raise ValueError(f"there are no {n} keys")
        with nogil:
            cdq_truncate(&self.c, n)


cdef class HashedRows(Rows):
    """A worker's table with a row for every key that it met.

    It starts as the merged table, whose *values* and *clock* are (n, n_actions) and whose *keys* (n,); all workers
    have those rows, the agreed ones. Further rows hold the *initial_value* until they are learnt.
    """

    def __init__(self, values, clock, keys, double initial_value, allocate):
        cdef int64_t n = len(keys), n_actions = values.shape[1], size = values.itemsize
        self.allocate, self.initial_value = allocate, initial_value
        self.index = HashIndex(allocate, 2 * n)
        self.index.insert(keys)
        if len(self.index) != n:
            raise ValueError("a key occurs twice")
        self._lay_out(n_actions, row_size(n_actions, size), size)
        self.reserve(self.index.capacity)
        self.data[:n, :n_actions * size].view(values.dtype)[:] = values
        self.data[:n, n_actions * size:n_actions * (size + 4)].view("u4")[:] = clock
        self.c.n_states = self.agreed = n
        self.share(values.reshape(-1), clock.reshape(-1))

    def share(self, base, uint32_t[::1] clock):
        """Take over the base and the clocks of the process, where they have moved: one entry a pair."""
        cdef unsigned char[::1] raw = memoryview(base).cast("B") if len(base) else bytearray(8)
        cdef int64_t n_pairs = self.c.n_states * self.c.n_actions
        if len(base) != n_pairs or clock.shape[0] != n_pairs or base.itemsize != self.c.real_size:
            raise ValueError("base or clock do not have the size of the table")
        self.shared = (base, clock, raw)
        self.c.base = &raw[0]
        self.c.clock = &clock[0] if n_pairs else NULL

    def reserve(self, int64_t capacity):
        """Make room for so many rows; raises `MemoryError` where pairs would need more than 32 bits."""
        if capacity * self.c.n_actions >= UINT32_MAX:
            capacity = UINT32_MAX // self.c.n_actions - 1
            if capacity <= self.capacity:
                raise MemoryError(f"a hashed table holds at most {capacity} rows of {self.c.n_actions} actions")
        self.index.reserve(capacity)
        if capacity > self.capacity:
            data = self.allocate(capacity * self.c.stride).reshape(capacity, self.c.stride)
            self.move_to(data, self.allocate(4 * (capacity * self.c.n_actions + 1)).view("u4"), capacity)

    cdef void move_to(self, data, log, int64_t capacity):
        cdef unsigned char[:, ::1] rows = data
        cdef uint32_t[::1] pairs = log
        if self.c.n_states:
            memcpy(&rows[0, 0], self.c.data, self.c.n_states * self.c.stride)
        if self.c.n_log:
            memcpy(&pairs[0], self.c.log, self.c.n_log * sizeof(uint32_t))
        self.c.data, self.c.log = &rows[0, 0], &pairs[0]
        self.data, self.log, self.capacity = data, log, capacity

    @property
    def new_keys(self):
        """The keys that this worker has beyond the agreed ones, in the order in which it met them; a view."""
        return self.index.keys[self.agreed:]

    def settle(self, list keys):
        """Give the new keys of all workers, in rank order, the same rows everywhere: in the order of that list.

        *keys* are arrays of uint64, this worker's own among them. Until `accept`, the rows can be undone.
        """
        cdef int64_t first = self.agreed, own = self.c.n_states - first, i
        cdef int64_t stride = self.c.stride, n_actions = self.c.n_actions
        cdef uint32_t[::1] row
        cdef uint32_t pair
        mine = self.new_keys.copy()
        rows = bytearray(4 * own)
        moved = bytearray(own * stride)
        memcpy(PyByteArray_AS_STRING(moved), self.c.data + first * stride, own * stride)
        self.index.truncate(first)
        self.reserve(max(self.capacity, first + sum(map(len, keys))))
        for part in keys:
            self.index.insert(part)
        row = memoryview(rows).cast("I")
        total = len(self.index)
        self.index.insert(mine, row)
        if len(self.index) != total:
            raise ValueError("the keys of all workers lack some of this one")
        self.c.n_states = self.index.c.n
        for i in range(first, self.c.n_states):
            cdq_fresh_row(&self.c, i, self.initial_value)
        for i in range(own):
            memcpy(self.c.data + row[i] * stride, PyByteArray_AS_STRING(moved) + i * stride, stride)
        for i in range(self.c.n_log):
            pair = self.c.log[i]
            if pair >= first * n_actions:
                self.c.log[i] = row[pair // n_actions - first] * <uint32_t> n_actions + pair % n_actions

    def accept(self, int64_t agreed):
        """Take note that so many rows are agreed and merged."""
        if not self.agreed <= agreed <= self.c.n_states:
            raise ValueError(f"{agreed} rows cannot be agreed")
        self.agreed = agreed

    def roll_back(self):
        """Undo the window: the agreed rows return to the base, the others are gone, and their keys."""
        cdef int64_t i, kept = 0, n_pairs = self.agreed * self.c.n_actions
        for i in range(self.c.n_log):
            if self.c.log[i] < n_pairs:
                self.c.log[kept] = self.c.log[i]
                kept += 1
        self.c.n_log = kept
        Rows.roll_back(self)
        self.index.truncate(self.agreed)
        self.c.n_states = self.agreed


cdef class HashQ(TableQ):
    """A hashed table whose observations are keys; new keys get rows."""

    def __init__(self, HashedRows rows not None, int64_t n):
        TableQ.__init__(self, rows, n)
        self.hashed, self.plain = rows, True

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        cdq_locate_or_insert(
            &self.hashed.index.c, &self.hashed.c, <const uint64_t *> observations + first,
            self.located[slot] + first, count, self.hashed.initial_value)
        return -1

    cdef uint64_t name_of(self, uint32_t row) noexcept nogil:
        return self.hashed.index.c.keys[row]

    cdef int64_t room(self) noexcept nogil:
        return self.hashed.capacity - self.hashed.c.n_states

    cpdef make_room(self):
        self.hashed.reserve(max(2 * self.hashed.capacity, self.hashed.capacity + 4 * self.n))


cdef class KnownQ(TableQ):
    """A hashed table that is only read: what is not in *index* is looked up in the last of the rows."""

    def __init__(self, Rows rows not None, int64_t n, HashIndex index not None):
        TableQ.__init__(self, rows, n)
        if rows.c.n_states != index.c.n + 1:
            raise ValueError(f"{rows.c.n_states} rows for {index.c.n} keys and a row for all others")
        self.index = index

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        cdq_locate_known(
            &self.index.c, &self.rows.c, <const uint64_t *> observations + first, self.located[slot] + first, count,
            <uint32_t> (self.rows.c.n_states - 1))
        return -1

    cdef uint64_t name_of(self, uint32_t row) noexcept nogil:
        return self.index.c.keys[row] if row < self.index.c.n else UINT64_MAX
