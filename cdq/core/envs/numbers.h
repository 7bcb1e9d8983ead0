/* Numbers of any type in a contiguous buffer, as int64 or as double: an observation's, a mask's, a batch of rewards'.
 * Buffers of foreign objects need not be aligned. */
#ifndef CDQ_NUMBERS_H
#define CDQ_NUMBERS_H

#include "table/mixed.h"

/* `rows` rows of `width` numbers; row i goes to out + i * stride, a cell of 8 bytes for each number. */
#define CDQ_COPY_NUMBERS(type)                                                                      \
    for (int64_t i = 0; i < rows; i++)                                                              \
        for (int64_t j = 0; j < width; j++) {                                                       \
            type number;                                                                            \
            memcpy(&number, from + (i * width + j) * (int64_t)sizeof(type), sizeof(type));          \
            if (real)                                                                               \
                ((double *)out)[i * stride + j] = (double)number;                                   \
            else                                                                                    \
                ((int64_t *)out)[i * stride + j] = (int64_t)number;                                 \
        }                                                                                           \
    return 0

/* `format` is that of Python's buffers, native types alone; -1 if there is no such type, or none without fractions
 * where int64 is asked for. */
static int cdq_read_numbers(const void *source, char format, int64_t rows, int64_t width, int64_t stride, int real,
                            void *out)
{
    const char *from = (const char *)source;
    switch (format) {
    case '?': case 'B': CDQ_COPY_NUMBERS(unsigned char);
    case 'b': CDQ_COPY_NUMBERS(signed char);
    case 'h': CDQ_COPY_NUMBERS(short);
    case 'H': CDQ_COPY_NUMBERS(unsigned short);
    case 'i': CDQ_COPY_NUMBERS(int);
    case 'I': CDQ_COPY_NUMBERS(unsigned int);
    case 'l': CDQ_COPY_NUMBERS(long);
    case 'L': CDQ_COPY_NUMBERS(unsigned long);
    case 'q': CDQ_COPY_NUMBERS(long long);
    case 'Q': CDQ_COPY_NUMBERS(unsigned long long);
    }
    if (real)
        switch (format) {
        case 'f': CDQ_COPY_NUMBERS(float);
        case 'd': CDQ_COPY_NUMBERS(double);
        }
    return -1;
}

#endif
