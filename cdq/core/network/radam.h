/* RAdam (Liu et al., 2020) with the global norm of gradients clipped; included once per instruction set (sets.h). */

#ifndef CDQ_RADAM_H
#define CDQ_RADAM_H
#define CDQ_BETA_1 0.9
#define CDQ_BETA_2 0.999
#define CDQ_RADAM_EPSILON 1e-8f
#define CDQ_MOST_NORM 10.0

/* beta_1^t and beta_2^t, by repeated multiplication. */
typedef struct {
    int64_t updates;
    double first, second;
} cdq_powers;

/* Factors of an update: of gradients, of the step and, where the variance is known, of the root of the second moment. */
typedef struct {
    float scale, step, root;
    int adaptive;
} cdq_update;

/* Bring the powers to so many updates; they stay as they are once they are too small to change. */
static void cdq_raise(cdq_powers *powers, int64_t updates)
{
    if (powers->updates > updates)
        *powers = (cdq_powers){0, 1.0, 1.0};
    for (; powers->updates < updates; powers->updates++) {
        const double first = powers->first * CDQ_BETA_1, second = powers->second * CDQ_BETA_2;
        if (first == powers->first && second == powers->second)
            break;
        powers->first = first;
        powers->second = second;
    }
    powers->updates = updates;
}

/* Factors of update t, whose powers of beta these are, for a gradient with such a sum of squares. */
static cdq_update cdq_rectify(const cdq_powers *powers, double squares, double step_size)
{
    const double norm = sqrt(squares), t = (double)powers->updates;
    const double most = 2.0 / (1.0 - CDQ_BETA_2) - 1.0;
    const double length = most - 2.0 * t * powers->second / (1.0 - powers->second); /* of the moving average */
    double step = step_size / (1.0 - powers->first);
    cdq_update update = {norm > CDQ_MOST_NORM ? (float)(CDQ_MOST_NORM / norm) : 1.0f, 0.0f, 0.0f, length > 5.0};
    if (update.adaptive) {
        step *= sqrt((length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length));
        update.root = (float)(1.0 / sqrt(1.0 - powers->second));
    }
    update.step = (float)step;
    return update;
}
#endif

/* The mean of the gradients of all ranks, added in rank order. */
static void NAME(cdq_mean)(int64_t size, int64_t ranks, const float *const *gradients, float *mean)
{
    const float n = (float)ranks;
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES) {
        VECTOR sum = NAME(cdq_load)(gradients[0] + i);
        for (int64_t k = 1; k < ranks; k++)
            sum += NAME(cdq_load)(gradients[k] + i);
        NAME(cdq_store)(mean + i, sum / n);
    }
    for (; i < size; i++) {
        float sum = gradients[0][i];
        for (int64_t k = 1; k < ranks; k++)
            sum += gradients[k][i];
        mean[i] = sum / n;
    }
}

/* The sum of squares, as eight partial sums: of the numbers 0, 8, 16 ..., of 1, 9, 17 ... and so on. */
static double NAME(cdq_squares)(int64_t size, const float *gradient)
{
    double s[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= size; i += 8)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            s[j] += (double)gradient[i + j] * (double)gradient[i + j];
    for (int j = 0; i + j < size; j++)
        s[j] += (double)gradient[i + j] * (double)gradient[i + j];
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/* Update some parameters and their moments. */
CDQ_INLINE void NAME(cdq_step_some)(const cdq_update *update, const float *gradient, float *parameters, float *first,
                                    float *second)
{
    const VECTOR g = NAME(cdq_load)(gradient) * update->scale;
    const VECTOR m = 0.9f * NAME(cdq_load)(first) + 0.1f * g;
    const VECTOR v = 0.999f * NAME(cdq_load)(second) + 0.001f * g * g;
    VECTOR step = update->step * m;
    if (update->adaptive)
        step /= NAME(cdq_root)(v) * update->root + CDQ_RADAM_EPSILON;
    NAME(cdq_store)(first, m);
    NAME(cdq_store)(second, v);
    NAME(cdq_store)(parameters, NAME(cdq_load)(parameters) - step);
}

static void NAME(cdq_step)(int64_t size, const cdq_update *update, const float *gradient, float *parameters,
                           float *first, float *second)
{
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES)
        NAME(cdq_step_some)(update, gradient + i, parameters + i, first + i, second + i);
    if (i == size)
        return;
    float rest[4][LANES] = {{0}}; /* less than a vector */
    float *const all[3] = {parameters + i, first + i, second + i};
    const size_t bytes = (size_t)(size - i) * sizeof(float);
    memcpy(rest[3], gradient + i, bytes);
    for (int k = 0; k < 3; k++)
        memcpy(rest[k], all[k], bytes);
    NAME(cdq_step_some)(update, rest[3], rest[0], rest[1], rest[2]);
    for (int k = 0; k < 3; k++)
        memcpy(all[k], rest[k], bytes);
}
