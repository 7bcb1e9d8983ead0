/* A multilayer perceptron with layer normalisation: D -> H1 -> LayerNorm -> ReLU -> ... -> A, in float32.
 *
 *     z = x W + b,   n = (z - mean(z)) / sqrt(variance(z) + 1e-5),   x' = max(g n + e, 0);   the last layer: Q = x W + b
 *
 * Results are the same bits on every machine: each sum over inputs or samples goes through them in order, each sum over
 * the units of a layer through eight partial sums that are added as a tree, no product is fused with a sum, and of the
 * C library nothing is called but the square root, which is exact. tests/reference/network.py is the same in NumPy. */
#ifndef CDQ_NETWORK_H
#define CDQ_NETWORK_H

#include <math.h>

#include "base.h"

#define CDQ_MOST_HIDDEN 3
#define CDQ_LARGEST_HIDDEN 512
#define CDQ_NORM_EPSILON 1e-5f
#define CDQ_CHUNK 64 /* samples that go through the network at a time: what is between the layers stays in the cache */

/* Layer sizes, and where each tensor begins in the array of parameters. Kernels are (inputs, outputs). */
typedef struct {
    int64_t n_hidden, size;
    int64_t width[CDQ_MOST_HIDDEN + 2]; /* inputs, hidden units, actions */
    int64_t padded; /* actions, rounded up to whole vectors: a row of values */
    int64_t kernel[CDQ_MOST_HIDDEN + 1], bias[CDQ_MOST_HIDDEN + 1];
    int64_t gain[CDQ_MOST_HIDDEN], shift[CDQ_MOST_HIDDEN];
} cdq_network;

/* Scratch of a pass: what is between the layers for CDQ_CHUNK samples, and kernels laid out in other ways. */
typedef struct {
    float *input; /* (CDQ_CHUNK, inputs) */
    float *value; /* (CDQ_CHUNK, padded) */
    float *normal[CDQ_MOST_HIDDEN], *active[CDQ_MOST_HIDDEN]; /* (CDQ_CHUNK, units): n and x' */
    float *inverse[CDQ_MOST_HIDDEN]; /* (CDQ_CHUNK,): 1 / sqrt(variance + epsilon) */
    float *sum, *error; /* (CDQ_CHUNK, most units): z, and gradients of the loss by it and by x' */
    float *difference; /* (CDQ_CHUNK,): gradient by the value of the action taken */
    float *last, *last_bias; /* (units, padded), (padded,): last layer */
    float *by_action, *by_action_gradient; /* (actions, units): the last kernel transposed */
    float *transposed[CDQ_MOST_HIDDEN]; /* kernels of layer 1, 2, ... but for the last, (outputs, inputs) */
} cdq_pass;

/* Samples of which a gradient is the mean: rows of a rollout, in the order that says which. */
typedef struct {
    const float *input; /* (., inputs) */
    const uint32_t *action;
    const float *target;
    const int32_t *order;
    int64_t n;
} cdq_samples;

CDQ_INLINE int64_t cdq_last(const cdq_network *net) { return net->width[net->n_hidden]; }

static int64_t cdq_most_units(const cdq_network *net)
{
    int64_t most = 0;
    for (int64_t l = 1; l <= net->n_hidden; l++)
        most = net->width[l] > most ? net->width[l] : most;
    return most;
}

/* Take so many floats, whole lines of the cache; only count them where there is no memory. */
CDQ_INLINE float *cdq_take(float *memory, int64_t *used, int64_t n)
{
    float *taken = memory ? memory + *used : NULL;
    *used += (n + 15) / 16 * 16;
    return taken;
}

/* Lay the scratch out in memory, or, without any, return how many floats it needs. */
static int64_t cdq_lay_out_pass(const cdq_network *net, cdq_pass *pass, float *memory)
{
    const int64_t most = cdq_most_units(net), last = cdq_last(net), actions = net->width[net->n_hidden + 1];
    int64_t used = 0;
    pass->input = cdq_take(memory, &used, CDQ_CHUNK * net->width[0]);
    pass->value = cdq_take(memory, &used, CDQ_CHUNK * net->padded);
    for (int64_t l = 0; l < net->n_hidden; l++) {
        const int64_t units = net->width[l + 1];
        pass->normal[l] = cdq_take(memory, &used, CDQ_CHUNK * units);
        pass->active[l] = cdq_take(memory, &used, CDQ_CHUNK * units);
        pass->inverse[l] = cdq_take(memory, &used, CDQ_CHUNK);
        pass->transposed[l] = l ? cdq_take(memory, &used, net->width[l] * units) : NULL;
    }
    pass->sum = cdq_take(memory, &used, CDQ_CHUNK * most);
    pass->error = cdq_take(memory, &used, CDQ_CHUNK * most);
    pass->difference = cdq_take(memory, &used, CDQ_CHUNK);
    pass->last = cdq_take(memory, &used, last * net->padded);
    pass->last_bias = cdq_take(memory, &used, net->padded);
    pass->by_action = cdq_take(memory, &used, actions * last);
    pass->by_action_gradient = cdq_take(memory, &used, actions * last);
    return used;
}

/* The last layer with rows of whole vectors. */
CDQ_INLINE void cdq_pad_last(const cdq_network *net, const float *parameters, cdq_pass *pass)
{
    const int64_t l = net->n_hidden, units = net->width[l], actions = net->width[l + 1];
    const float *kernel = parameters + net->kernel[l];
    for (int64_t i = 0; i < units; i++) {
        for (int64_t a = 0; a < actions; a++)
            pass->last[i * net->padded + a] = kernel[i * actions + a];
        for (int64_t a = actions; a < net->padded; a++)
            pass->last[i * net->padded + a] = 0.0f;
    }
    for (int64_t a = 0; a < net->padded; a++)
        pass->last_bias[a] = a < actions ? parameters[net->bias[l] + a] : 0.0f;
}

#endif
