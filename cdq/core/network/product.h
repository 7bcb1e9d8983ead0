/* Products of matrices; included once per instruction set (sets.h): LANES, VECTOR, NAME.
 *
 *     out[m][n] = start[m][n] + sum over k of a(m, k) b[k][n]
 *
 * where every element adds over k in order, so that the result does not depend on how the matrix is cut into tiles. */

#ifndef CDQ_PRODUCT_H
#define CDQ_PRODUCT_H
/* The left factor, or a transposed one: element (m, k) is at m * row_step + k * step. */
typedef struct {
    const float *element;
    int64_t row_step, step;
} cdq_factor;

/* Right factor and sums, whose rows have *width* numbers, and what the sums start from: NULL, zeros; the step between
 * its rows is 0 where all rows start from the same one. */
typedef struct {
    const float *b, *start;
    int64_t start_step, width, depth;
    float *out;
} cdq_sums;
#endif

CDQ_INLINE VECTOR NAME(cdq_load)(const float *at)
{
    VECTOR v;
    memcpy(&v, at, sizeof v);
    return v;
}

CDQ_INLINE void NAME(cdq_store)(float *at, VECTOR v) { memcpy(at, &v, sizeof v); }

/* Rows m and on of the columns n and on: as many rows and vectors as the registers hold. */
CDQ_INLINE void NAME(cdq_tile)(const int rows, const int vectors, cdq_factor a, const cdq_sums *sums, int64_t m,
                               int64_t n)
{
    const int64_t width = sums->width, depth = sums->depth, step = a.step;
    const float *left = a.element + m * a.row_step, *b = sums->b + n;
    const float *start = sums->start ? sums->start + m * sums->start_step + n : NULL;
    float *out = sums->out + m * width + n;
    VECTOR sum[8][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sum[r][v] = start ? NAME(cdq_load)(start + r * sums->start_step + v * LANES) : (VECTOR){0};
    for (int64_t k = 0; k < depth; k++) {
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[r][v] += left[r * a.row_step] * NAME(cdq_load)(b + v * LANES);
        left += step;
        b += width;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            NAME(cdq_store)(out + r * width + v * LANES, sum[r][v]);
}

CDQ_INLINE void NAME(cdq_columns)(const int vectors, int64_t rows, cdq_factor a, const cdq_sums *sums, int64_t n)
{
    const int tall = 8 / vectors; /* eight sums at a time, which do not wait for each other */
    int64_t m = 0;
    for (; m + tall <= rows; m += tall)
        NAME(cdq_tile)(tall, vectors, a, sums, m, n);
    for (; m < rows; m++)
        NAME(cdq_tile)(1, vectors, a, sums, m, n);
}

/* All rows; the width is a multiple of 8. */
static void NAME(cdq_product)(int64_t rows, cdq_factor a, const cdq_sums *sums)
{
    int64_t n = 0;
    CDQ_CHECK(sums->width % 8 == 0);
    for (; n + 2 * LANES <= sums->width; n += 2 * LANES)
        NAME(cdq_columns)(2, rows, a, sums, n);
    if (n < sums->width)
        NAME(cdq_columns)(1, rows, a, sums, n);
}
