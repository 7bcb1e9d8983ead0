/* Layer normalisation and the rectifier after it; included once per instruction set (sets.h): LANES, VECTOR, MASK, NAME. */

/* Sum of eight partial sums. */
CDQ_INLINE float NAME(cdq_tree)(const VECTOR *partial)
{
    float s[8];
    memcpy(s, partial, sizeof s);
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

/* x where it is positive or not a number, else 0: what is not a number must not get lost. */
CDQ_INLINE VECTOR NAME(cdq_rectified)(VECTOR x)
{
    return (VECTOR)(~(MASK)(x < (VECTOR){0}) & (MASK)x);
}

/* x where another number is positive, else 0. */
CDQ_INLINE VECTOR NAME(cdq_where_positive)(VECTOR other, VECTOR x)
{
    return (VECTOR)((MASK)(other > (VECTOR){0}) & (MASK)x);
}

/* Normalise a row z into n and x'; return 1 / sqrt(variance + epsilon). */
CDQ_INLINE float NAME(cdq_normalise)(int64_t units, const float *z, const float *gain, const float *shift,
                                     float *normal, float *active)
{
    VECTOR partial[8 / LANES] = {0}, square[8 / LANES] = {0};
    for (int64_t i = 0; i < units; i += 8)
        for (int v = 0; v < 8 / LANES; v++)
            partial[v] += NAME(cdq_load)(z + i + v * LANES);
    const float mean = NAME(cdq_tree)(partial) / (float)units;
    for (int64_t i = 0; i < units; i += 8)
        for (int v = 0; v < 8 / LANES; v++) {
            VECTOR d = NAME(cdq_load)(z + i + v * LANES) - mean;
            square[v] += d * d;
        }
    const float variance = NAME(cdq_tree)(square) / (float)units, inverse = 1.0f / sqrtf(variance + CDQ_NORM_EPSILON);
    for (int64_t i = 0; i < units; i += LANES) {
        VECTOR n = (NAME(cdq_load)(z + i) - mean) * inverse;
        NAME(cdq_store)(normal + i, n);
        NAME(cdq_store)(active + i, NAME(cdq_rectified)(n * NAME(cdq_load)(gain + i) + NAME(cdq_load)(shift + i)));
    }
    return inverse;
}

/* Backwards through a row: the gradient by x' becomes the one by z; those by gain and shift grow. */
CDQ_INLINE void NAME(cdq_normalise_back)(int64_t units, float inverse, const float *normal, const float *active,
                                         const float *gain, float *error, float *gain_gradient, float *shift_gradient)
{
    VECTOR partial[8 / LANES] = {0}, weighted[8 / LANES] = {0};
    for (int64_t i = 0; i < units; i += 8)
        for (int v = 0; v < 8 / LANES; v++) {
            const int64_t j = i + v * LANES;
            VECTOR n = NAME(cdq_load)(normal + j);
            VECTOR e = NAME(cdq_where_positive)(NAME(cdq_load)(active + j), NAME(cdq_load)(error + j));
            NAME(cdq_store)(gain_gradient + j, NAME(cdq_load)(gain_gradient + j) + e * n);
            NAME(cdq_store)(shift_gradient + j, NAME(cdq_load)(shift_gradient + j) + e);
            e *= NAME(cdq_load)(gain + j);
            partial[v] += e;
            weighted[v] += e * n;
            NAME(cdq_store)(error + j, e);
        }
    const float mean = NAME(cdq_tree)(partial) / (float)units, slope = NAME(cdq_tree)(weighted) / (float)units;
    for (int64_t i = 0; i < units; i += LANES) {
        VECTOR e = NAME(cdq_load)(error + i) - mean - NAME(cdq_load)(normal + i) * slope;
        NAME(cdq_store)(error + i, e * inverse);
    }
}
