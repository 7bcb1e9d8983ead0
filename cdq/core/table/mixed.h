/* The hash of a number of 64 bits. */
#ifndef CDQ_MIXED_H
#define CDQ_MIXED_H

#include "base.h"

/* MurmurHash3's finalizer (A. Appleby): every bit of the argument moves half of the bits of the result. */
CDQ_INLINE uint64_t cdq_mixed(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ (x >> 33);
}

#endif
