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

/* Means of rows z. A loop over rows for each step: what one row waits for, the processor does for the next. */
CDQ_INLINE void NAME(cdq_means)(int64_t rows, int64_t units, const float *z, float *mean)
{
    for (int64_t i = 0; i < rows; i++, z += units) {
        VECTOR partial[8 / LANES] = {0};
        for (int64_t j = 0; j < units; j += 8)
            for (int v = 0; v < 8 / LANES; v++)
                partial[v] += NAME(cdq_load)(z + j + v * LANES);
        mean[i] = NAME(cdq_tree)(partial) / (float)units;
    }
}

/* 1 / sqrt(variance + epsilon) of rows z with these means. */
CDQ_INLINE void NAME(cdq_inverses)(int64_t rows, int64_t units, const float *z, const float *mean, float *inverse)
{
    for (int64_t i = 0; i < rows; i++, z += units) {
        VECTOR partial[8 / LANES] = {0};
        for (int64_t j = 0; j < units; j += 8)
            for (int v = 0; v < 8 / LANES; v++) {
                VECTOR d = NAME(cdq_load)(z + j + v * LANES) - mean[i];
                partial[v] += d * d;
            }
        const float variance = NAME(cdq_tree)(partial) / (float)units;
        inverse[i] = 1.0f / sqrtf(variance + CDQ_NORM_EPSILON);
    }
}

/* Normalise rows z into n and x'; keep 1 / sqrt(variance + epsilon). */
CDQ_INLINE void NAME(cdq_normalise)(int64_t rows, int64_t units, const float *z, const float *gain, const float *shift,
                                    float *normal, float *active, float *inverse)
{
    float mean[CDQ_CHUNK];
    NAME(cdq_means)(rows, units, z, mean);
    NAME(cdq_inverses)(rows, units, z, mean, inverse);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < units; j += LANES) {
            const int64_t at = i * units + j;
            VECTOR n = (NAME(cdq_load)(z + at) - mean[i]) * inverse[i];
            NAME(cdq_store)(normal + at, n);
            n = n * NAME(cdq_load)(gain + j) + NAME(cdq_load)(shift + j);
            NAME(cdq_store)(active + at, NAME(cdq_rectified)(n));
        }
}

/* Backwards through rows: the gradient by x' becomes the one by z; those by gain, shift and bias grow. */
CDQ_INLINE void NAME(cdq_normalise_back)(int64_t rows, int64_t units, const float *inverse, const float *normal,
                                         const float *active, const float *gain, float *error, float *gain_gradient,
                                         float *shift_gradient, float *bias_gradient)
{
    float mean[CDQ_CHUNK], slope[CDQ_CHUNK];
    for (int64_t i = 0; i < rows; i++) {
        VECTOR partial[8 / LANES] = {0}, weighted[8 / LANES] = {0};
        for (int64_t j = 0; j < units; j += 8)
            for (int v = 0; v < 8 / LANES; v++) {
                const int64_t k = j + v * LANES, at = i * units + k;
                VECTOR n = NAME(cdq_load)(normal + at);
                VECTOR e = NAME(cdq_where_positive)(NAME(cdq_load)(active + at), NAME(cdq_load)(error + at));
                NAME(cdq_store)(gain_gradient + k, NAME(cdq_load)(gain_gradient + k) + e * n);
                NAME(cdq_store)(shift_gradient + k, NAME(cdq_load)(shift_gradient + k) + e);
                e *= NAME(cdq_load)(gain + k);
                partial[v] += e;
                weighted[v] += e * n;
                NAME(cdq_store)(error + at, e);
            }
        mean[i] = NAME(cdq_tree)(partial) / (float)units;
        slope[i] = NAME(cdq_tree)(weighted) / (float)units;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < units; j += LANES) {
            const int64_t at = i * units + j;
            VECTOR e = NAME(cdq_load)(error + at) - mean[i] - NAME(cdq_load)(normal + at) * slope[i];
            e *= inverse[i];
            NAME(cdq_store)(error + at, e);
            NAME(cdq_store)(bias_gradient + j, NAME(cdq_load)(bias_gradient + j) + e);
        }
}
