"""Linear Q-functions: features of observations, and the weights of every action."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from cdq.core.table.qfunction cimport STATE, QFunction
from cdq.core.table.rows cimport Rows, cdq_law, cdq_rows, cdq_rule


cdef extern from *:
    ctypedef struct cdq_outcomes:
        const uint32_t *action
        const double *reward
        const double *discount
        const uint8_t *masks
        const uint8_t *active

    int CDQ_MOST_INPUTS
    void cdq_fill_bit_tables()
    int64_t cdq_locate_lanes_float(
        const cdq_rows *rows, const cdq_features *features, const double *observations,
        const cdq_located *located, int64_t first, int64_t count, double *phi64) nogil
    int64_t cdq_locate_lanes_double(
        const cdq_rows *rows, const cdq_features *features, const double *observations,
        const cdq_located *located, int64_t first, int64_t count, double *phi64) nogil
    void cdq_choose_float(
        const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear, const uint8_t *masks,
        uint32_t *action) nogil
    void cdq_choose_double(
        const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear, const uint8_t *masks,
        uint32_t *action) nogil
    void cdq_choose_lowest_float(
        const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear, const uint8_t *masks,
        uint32_t *action) nogil
    void cdq_choose_lowest_double(
        const cdq_rows *rows, const cdq_rule *rule, const cdq_linear *linear, const uint8_t *masks,
        uint32_t *action) nogil
    void cdq_learn_float(
        cdq_rows *rows, const cdq_rule *rule, const cdq_law *law, cdq_linear *linear,
        const cdq_outcomes *steps) nogil
    void cdq_learn_double(
        cdq_rows *rows, const cdq_rule *rule, const cdq_law *law, cdq_linear *linear,
        const cdq_outcomes *steps) nogil
    const float *cdq_values_float(
        const cdq_rows *rows, const cdq_linear *linear, const cdq_located *located, int64_t lane,
        int64_t n_actions) nogil
    const double *cdq_values_double(
        const cdq_rows *rows, const cdq_linear *linear, const cdq_located *located, int64_t lane,
        int64_t n_actions) nogil


cdq_fill_bit_tables()

MOST_INPUTS = CDQ_MOST_INPUTS

# A Q-function has diverged once a value is beyond so many times what rewards can add up to, those that this worker met:
# others, whose weights it has merged, may have met larger ones. It is beyond soon after what is exponential began.
cdef double EXPLODING = 1e6
# Number of steps whose rewards may add up where there is no discount.
cdef double UNDISCOUNTED_STEPS = 10_000.0


cdef class Features:
    """The features of observations, as the kernels compute them (feature_vector.h); made by `cdq.features`.

    *low*, *high* and *scale* are (width,): the bounds to which inputs are clipped, and what they are scaled by.
    With an *offset*, (width, tilings), and a *stride*, (width + 1,), they are tiles, otherwise a basis of so high an
    *order*: of cosines, multiplied by *norm*, (n_features,), or of powers without one.
    """

    def __init__(
        self, int64_t n_features, const double[::1] low not None, const double[::1] high not None,
        const double[::1] scale not None, const double[:, ::1] offset=None, const uint64_t[::1] stride=None,
        const double[::1] norm=None, *, int64_t order=0, bint hashed=False, double step_scale, str fingerprint,
    ):
        cdef int64_t width = low.shape[0]
        if not (0 < width <= CDQ_MOST_INPUTS and high.shape[0] == scale.shape[0] == width):
            raise ValueError("the bounds differ in length, or are too many")
        if offset is not None:
            if offset.shape[0] != width or stride is None or stride.shape[0] != width + 1:
                raise ValueError("offset or stride do not have an entry per input")
            self.c.offset, self.c.stride = &offset[0, 0], &stride[0]
        elif n_features != (order + 1) ** width or (norm is not None and norm.shape[0] != n_features):
            raise ValueError("a basis has a feature for every product")
        elif norm is not None:
            self.c.norm = &norm[0]
        self.arrays = (low, high, scale, offset, stride, norm)
        self.c.low, self.c.high, self.c.scale = &low[0], &high[0], &scale[0]
        self.c.width, self.c.n_features, self.c.order, self.c.hashed = width, n_features, order, hashed
        self.c.n_active = n_features if offset is None else offset.shape[1]
        self.step_scale, self.fingerprint = step_scale, fingerprint

    @property
    def width(self):
        """Number of numbers in an observation."""
        return self.c.width

    @property
    def n_features(self):
        """Number of weights of an action."""
        return self.c.n_features

    @property
    def tiles(self):
        """True if features are 1 or 0; else they are those of a basis, whose first one is 1 everywhere."""
        return self.c.offset != NULL

    @property
    def n_active(self):
        """Number of features of an observation that are not 0."""
        return self.c.n_active

    def action_values(self, Rows weights not None, const double[:, ::1] observations not None,
                      double[:, ::1] values not None):
        """Write the values of *observations*, a row each, to *values*; return the first that is not finite, or -1."""
        cdef int64_t i, a, n = observations.shape[0]
        cdef LinearQ q = LinearQ(weights, max(n, 1), self)
        if observations.shape[1] != self.c.width or values.shape[0] != n or values.shape[1] != q.n_actions:
            raise ValueError("observations or values do not have the size they should")
        cdef int64_t wrong = q.locate(&observations[0, 0], STATE, 0, n) if n else -1
        for i in range(n if wrong < 0 else wrong):
            if weights.c.real_size == 4:
                cdq_values_float(&weights.c, &q.c, &q.c.state, i, q.n_actions)
            else:
                cdq_values_double(&weights.c, &q.c, &q.c.state, i, q.n_actions)
            for a in range(q.n_actions):
                values[i, a] = (<float *> q.c.q)[a] if weights.c.real_size == 4 else (<double *> q.c.q)[a]
        return wrong


cdef class LinearQ(QFunction):
    """A Q-function whose rows are features and whose observations are float64 vectors."""

    def __init__(self, Rows rows not None, int64_t n, Features features not None):
        cdef int64_t slot = n * features.c.n_active, q = rows.c.n_actions + n
        cdef double[::1] memory
        cdef bint tiles = features.c.offset != NULL
        if n < 1 or rows.c.n_states < rows.own + features.c.n_features or (
                not rows.own and rows.c.n_states != features.c.n_features):
            raise ValueError(f"{n} lanes, {rows.c.n_states} rows for {features.c.n_features} features")
        self.lay_out(rows, n)
        self.width, self.continuous, self.features = features.c.width, True, features
        self.plain = type(self) is LinearQ
        phi64 = 0 if tiles else 2 * features.c.n_features
        self.memory = memory = memoryview(bytearray(8 * (2 * slot + q + phi64))).cast("d")
        self.c.n, self.c.n_active, self.c.n_actions = n, features.c.n_active, self.n_actions
        self.c.q, self.c.target = &memory[0], &memory[rows.c.n_actions]
        if tiles:
            self.c.state.index = <uint32_t *> &memory[q]
            self.c.successor.index = <uint32_t *> &memory[q + slot]
        else:
            self.c.state.phi, self.c.successor.phi = &memory[q], &memory[q + slot]
            self.phi64 = &memory[q + 2 * slot]
        self.c.first_value = -1

    cdef int64_t locate(self, const void *observations, int slot, int64_t first, int64_t count) noexcept nogil:
        cdef const double *all = <const double *> observations
        cdef cdq_located *located = &self.c.state if slot == STATE else &self.c.successor
        if self.rows.c.real_size == 4:
            return cdq_locate_lanes_float(
                &self.rows.c, &self.features.c, all, located, first, count, self.phi64)
        return cdq_locate_lanes_double(&self.rows.c, &self.features.c, all, located, first, count, self.phi64)

    cdef void choose(
            self, uint64_t threshold, const uint64_t *bits, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        self.rule.c.threshold, self.rule.c.random = threshold, bits
        if self.rows.c.real_size == 4:
            cdq_choose_float(&self.rows.c, &self.rule.c, &self.c, masks, actions)
        else:
            cdq_choose_double(&self.rows.c, &self.rule.c, &self.c, masks, actions)

    cdef void greedy(self, const uint8_t *masks, uint32_t *actions) noexcept nogil:
        if self.rows.c.real_size == 4:
            cdq_choose_lowest_float(&self.rows.c, &self.rule.c, &self.c, masks, actions)
        else:
            cdq_choose_lowest_double(&self.rows.c, &self.rule.c, &self.c, masks, actions)

    cdef void learn(
            self, const cdq_law *law, const uint32_t *actions, const double *rewards, const double *discounts,
            const uint8_t *masks, const uint8_t *active) noexcept nogil:
        cdef cdq_outcomes steps = cdq_outcomes(actions, rewards, discounts, masks, active)
        if self.rows.c.real_size == 4:
            cdq_learn_float(&self.rows.c, &self.rule.c, law, &self.c, &steps)
        else:
            cdq_learn_double(&self.rows.c, &self.rule.c, law, &self.c, &steps)

    cdef void advance(self) noexcept nogil:
        self.c.state, self.c.successor = self.c.successor, self.c.state

    cdef bint diverged(self) noexcept nogil:
        """Return whether a value is beyond what rewards add up to; finite values and targets leave finite weights."""
        cdef double discount = self.c.largest_discount
        cdef double horizon = 1 / (1 - discount) if discount < 1 else UNDISCOUNTED_STEPS
        cdef double most = INFINITY
        if self.c.largest_reward > 0:
            most = EXPLODING * (self.c.largest_reward * horizon + self.c.first_value)
        return not (self.c.largest_value <= most and self.c.largest_value < INFINITY)
