"""The struct of an environment that the compiled loop steps; lane.h says what each function does with it."""

from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "lane.h":
    ctypedef struct cdq_lane:
        double state[8]             # the environment's state; the same 64 bytes as the two below
        int64_t integer[8]
        unsigned char bytes[64]
        double uniform[4]           # fresh before each call, uniform on [0, 1)
        const void *context         # the environment's parameters
        int64_t action
        double reward
        int64_t index               # the state's row of a table, or its key
        double observation[8]       # for linear functions
        uint8_t terminated
        uint8_t truncated
        uint8_t seat                # of who moves, in games
        double discount             # gamma is multiplied by it
        int64_t successor           # what the target bootstraps from; -1: index
        void *memory                # more of the state
        uint64_t allowed            # a bit for each action that may come next

    ctypedef void (*cdq_call)(cdq_lane *lane) noexcept nogil
