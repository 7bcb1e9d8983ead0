"""The shipped compiled environments, as the addresses of their functions; their parameters are in the headers."""

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t, uintptr_t

from cdq.core.lane cimport cdq_call, cdq_lane


cdef extern from "envs/env_grid.h":
    void cdq_grid_step() noexcept nogil
    void cdq_grid_reset() noexcept nogil
    void cdq_garnet_step() noexcept nogil
    void cdq_garnet_reset() noexcept nogil
    void cdq_river_step() noexcept nogil
    void cdq_river_reset() noexcept nogil
    void cdq_sea_step() noexcept nogil
    void cdq_sea_reset() noexcept nogil

cdef extern from "envs/env_classic.h":
    void cdq_car_step() noexcept nogil
    void cdq_car_reset() noexcept nogil
    void cdq_pole_step() noexcept nogil
    void cdq_pole_reset() noexcept nogil
    void cdq_acrobot_step() noexcept nogil
    void cdq_acrobot_reset() noexcept nogil

cdef extern from "envs/env_signals.h":
    void cdq_signals_step() noexcept nogil
    void cdq_signals_reset() noexcept nogil

cdef extern from "envs/env_routing.h":
    void cdq_routing_step() noexcept nogil
    void cdq_routing_reset() noexcept nogil

cdef extern from "envs/env_games.h":
    void cdq_tictactoe_step() noexcept nogil
    void cdq_tictactoe_reset() noexcept nogil
    void cdq_nim_step() noexcept nogil
    void cdq_nim_reset() noexcept nogil
    void cdq_connectfour_step() noexcept nogil
    void cdq_connectfour_reset() noexcept nogil


# Name -> (step, reset).
FUNCTIONS = {
    "grid": (<uintptr_t> cdq_grid_step, <uintptr_t> cdq_grid_reset),
    "garnet": (<uintptr_t> cdq_garnet_step, <uintptr_t> cdq_garnet_reset),
    "river": (<uintptr_t> cdq_river_step, <uintptr_t> cdq_river_reset),
    "sea": (<uintptr_t> cdq_sea_step, <uintptr_t> cdq_sea_reset),
    "car": (<uintptr_t> cdq_car_step, <uintptr_t> cdq_car_reset),
    "pole": (<uintptr_t> cdq_pole_step, <uintptr_t> cdq_pole_reset),
    "acrobot": (<uintptr_t> cdq_acrobot_step, <uintptr_t> cdq_acrobot_reset),
    "signals": (<uintptr_t> cdq_signals_step, <uintptr_t> cdq_signals_reset),
    "routing": (<uintptr_t> cdq_routing_step, <uintptr_t> cdq_routing_reset),
    "tictactoe": (<uintptr_t> cdq_tictactoe_step, <uintptr_t> cdq_tictactoe_reset),
    "nim": (<uintptr_t> cdq_nim_step, <uintptr_t> cdq_nim_reset),
    "connectfour": (<uintptr_t> cdq_connectfour_step, <uintptr_t> cdq_connectfour_reset),
}


def capsule(pointer):
    """Return the address in a PyCapsule, and the capsule's name."""
    cdef const char *name = PyCapsule_GetName(pointer)
    return <uintptr_t> PyCapsule_GetPointer(pointer, name), "" if name == NULL else name.decode()


def call(uintptr_t function, uint8_t[::1] lanes not None, uintptr_t context, uintptr_t memory=0):
    """Call a function of an environment on its lanes (each as long as the struct)."""
    cdef int64_t i, agents = lanes.shape[0] // <int64_t> sizeof(cdq_lane)
    if function == 0 or not agents or lanes.shape[0] != agents * <int64_t> sizeof(cdq_lane):
        raise ValueError("there is no function, or no lane")
    cdef cdq_lane *own = <cdq_lane *> &lanes[0]
    for i in range(agents):
        own[i].context, own[i].memory = <const void *> context, <void *> memory
    with nogil:
        (<cdq_call> <void *> function)(own)
