/* An environment that the compiled loop steps: a state, of 64 bytes or more, and functions that step and reset it.
 *
 * Include this header in C or C++, or `from cdq.core.lane cimport cdq_lane` in Cython; cdq.envs.lane_dtype() is the
 * same for NumPy and Numba. It needs nothing else of cdq.
 *
 * step     takes `action` and writes the next state, `reward`, and `terminated` or `truncated` (both come as 0), and,
 *          where the usual ones are not meant, `discount` and `successor`;
 * reset    writes the first state of an episode;
 * both     write `allowed` where states do not have every action, and the environment says that it writes them;
 * both     write what is observed: `index` (tables: 0 .. n_states - 1; hashed tables: a key) or `observation` (linear
 *          functions), unless the environment has
 * encode   which is called after either and writes them from the state.
 *
 * The index or observation of a state that terminates an episode is read, so it must be a valid one; its value is
 * never used. Randomness comes from `uniform` and nowhere else: then a run is a function of its seed, and goes on from
 * a checkpoint as if it had not stopped. All that an episode has besides its parameters is in `state` and `memory`, for
 * the same reason. Functions are called without the GIL, for different lanes in different threads: they write to their
 * lane alone.
 *
 * Where several agents act at the same time, each has a lane. Those of an environment lie side by side, and its
 * functions get a pointer to the first of them: lane[0], lane[1], ... The memory is that of all. The episode of all
 * agents ends where that of one does. */
#ifndef CDQ_LANE_H
#define CDQ_LANE_H

#include <stdint.h>

typedef struct {
    union { /* the environment's state: yours, zeroed before the first episode */
        double state[8];
        int64_t integer[8];
        unsigned char bytes[64];
    };
    double uniform[4]; /* fresh before each call, uniform on [0, 1): as many as the environment says that it uses */
    const void *context; /* the environment's parameters, the same for all lanes; only read */
    int64_t action; /* 0 .. n_actions - 1 */
    double reward; /* finite */
    int64_t index; /* row or key of the state */
    double observation[8]; /* finite */
    uint8_t terminated; /* nonzero: the episode ended in a state without a future */
    uint8_t truncated; /* nonzero: it was cut off; the state has a future */
    uint8_t seat; /* the loop's own: 1 where the opponent of the first player moves, as discounts below 0 tell */
    double discount; /* 1 before each call: what gamma is multiplied by for this step, -1 to 1 */
    int64_t successor; /* -1 before each call: the target bootstraps from `index`; else from this row or key (tables) */
    uint64_t allowed; /* all bits before each call: bit a says that action a may come next, and counts in the target */
    void *memory; /* more of the state, zeroed like it: as many bytes as the environment says that it needs */
} cdq_lane;

typedef void (*cdq_call)(cdq_lane *lane);

#endif
