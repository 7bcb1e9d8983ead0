/* The features of an observation: phi of a linear Q-function.
 *
 * Tile coding (R. S. Sutton and A. G. Barto, "Reinforcement Learning", 2018, section 9.5.4): every tiling has one
 * feature that is 1, all others are 0. Tiling t is displaced in input j by t (2 j + 1) / tilings of a tile, modulo one
 * (after W. T. Miller and F. H. Glanz, 1996), so that each tiling needs one more tile in every input. A cell number
 * beyond the features is hashed to one. Bases (section 9.5.1 and 9.5.2): products over the inputs, of powers of a
 * number in [-1, 1], or cos(pi c . x) for x in [0, 1]^d (G. Konidaris, S. Osentoski, P. Thomas, 2011), all at once as
 * the real parts of products of exp(i pi k x_j). */
#ifndef CDQ_FEATURE_VECTOR_H
#define CDQ_FEATURE_VECTOR_H

#include <math.h>

#include "table/mixed.h"

#define CDQ_MOST_INPUTS 1024

typedef struct {
    int64_t width; /* inputs, that is, numbers in an observation */
    int64_t n_features;
    int64_t n_active; /* the tilings, or all features of a basis */
    int64_t order; /* order of a basis; 0: tile coding */
    const double *low, *high, *scale; /* (width,): bounds, and what an input above its low is multiplied by */
    const double *offset; /* (width, tilings) */
    const uint64_t *stride; /* (width + 1,): cells between two of an input; the last, between two tilings */
    const double *norm; /* (n_features,): what the products of a basis are multiplied by; NULL: a polynomial one */
    int hashed;
} cdq_features;

/* Clip to the bounds and scale; whether all inputs are finite. */
CDQ_INLINE int cdq_scale_inputs(const cdq_features *features, const double *observation, double *scaled)
{
    int finite = 1;
    for (int64_t j = 0; j < features->width; j++) {
        double low = features->low[j], high = features->high[j], x = observation[j];
        finite &= x - x == 0;
        x = x < low ? low : x > high ? high : x;
        scaled[j] = (x - low) * features->scale[j];
    }
    return finite;
}

/* The finaliser of splitmix64 (Steele, Lea, Flood, 2014): every bit of a cell's number moves every bit of its hash. */
CDQ_INLINE uint64_t cdq_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

CDQ_INLINE void cdq_hashed_tiles(const cdq_features *features, const double *scaled, uint32_t *restrict index)
{
    const int64_t width = features->width, tilings = features->n_active;
    for (int64_t t = 0; t < tilings; t++) {
        uint64_t cell = (uint64_t)t * features->stride[width];
        for (int64_t j = 0; j < width; j++)
            cell += features->stride[j] * (uint64_t)(int64_t)(scaled[j] + features->offset[j * tilings + t]);
        index[t] = (uint32_t)(((cdq_mix(cell) >> 32) * (uint64_t)features->n_features) >> 32);
    }
}

CDQ_INLINE void cdq_exact_tiles(const cdq_features *features, const double *scaled, uint32_t *restrict index)
{
    const int64_t width = features->width, tilings = features->n_active;
    for (int64_t t = 0; t < tilings; t++)
        index[t] = (uint32_t)t * (uint32_t)features->stride[width];
    for (int64_t j = 0; j < width; j++) {
        const double *restrict offset = features->offset + j * tilings;
        const uint32_t stride = (uint32_t)features->stride[j];
        const double x = scaled[j];
        for (int64_t t = 0; t < tilings; t++)
            index[t] += stride * (uint32_t)(int32_t)(x + offset[t]);
    }
}

/* The tiles of an observation; 0 if it is not finite. */
CDQ_INLINE int cdq_tiles(const cdq_features *features, const double *observation, uint32_t *restrict index)
{
    double scaled[CDQ_MOST_INPUTS];
    if (!cdq_scale_inputs(features, observation, scaled))
        return 0;
    if (features->hashed)
        cdq_hashed_tiles(features, scaled, index);
    else
        cdq_exact_tiles(features, scaled, index);
    return 1;
}

/* The key of the cell of a single tiling: its number, or, where 64 bits do not hold that, its hash; 0 as above. */
CDQ_INLINE int cdq_cell_key(const cdq_features *features, const double *observation, int hashed, uint64_t *key)
{
    double scaled[CDQ_MOST_INPUTS];
    if (!cdq_scale_inputs(features, observation, scaled))
        return 0;
    *key = 0;
    for (int64_t j = 0; j < features->width; j++) {
        uint64_t bin = (uint64_t)(int64_t)scaled[j];
        *key = hashed ? cdq_mixed(*key ^ cdq_mixed(bin + (uint64_t)j)) : *key + features->stride[j] * bin;
    }
    return 1;
}

CDQ_INLINE void cdq_polynomials(const cdq_features *features, const double *scaled, double *restrict phi)
{
    int64_t length = 1;
    phi[0] = 1;
    for (int64_t j = 0; j < features->width; j++) {
        double power = 1;
        for (int64_t k = 1; k <= features->order; k++) {
            power *= scaled[j] - 1;
            for (int64_t i = 0; i < length; i++)
                phi[k * length + i] = phi[i] * power;
        }
        length *= features->order + 1;
    }
}

/* phi and imaginary: the real and imaginary parts of exp(i pi c . x), c counting in base order + 1. */
CDQ_INLINE void cdq_cosines(const cdq_features *features, const double *scaled, double *restrict phi,
                            double *restrict imaginary)
{
    int64_t length = 1;
    phi[0] = 1;
    imaginary[0] = 0;
    for (int64_t j = 0; j < features->width; j++) {
        for (int64_t k = 1; k <= features->order; k++) {
            double real = cos(3.14159265358979323846 * (double)k * scaled[j]);
            double other = sin(3.14159265358979323846 * (double)k * scaled[j]);
            for (int64_t i = 0; i < length; i++) {
                phi[k * length + i] = phi[i] * real - imaginary[i] * other;
                imaginary[k * length + i] = phi[i] * other + imaginary[i] * real;
            }
        }
        length *= features->order + 1;
    }
    for (int64_t i = 0; i < length; i++)
        phi[i] *= features->norm[i];
}

/* The basis functions of an observation, into phi, the first half of 2 n_features numbers; 0 if it is not finite. */
CDQ_INLINE int cdq_basis(const cdq_features *features, const double *observation, double *phi)
{
    double scaled[CDQ_MOST_INPUTS];
    if (!cdq_scale_inputs(features, observation, scaled))
        return 0;
    if (features->norm)
        cdq_cosines(features, scaled, phi, phi + features->n_features);
    else
        cdq_polynomials(features, scaled, phi);
    return 1;
}

#endif
