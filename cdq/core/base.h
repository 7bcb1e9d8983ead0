/* Basis of all kernels: types, inlining, clones for newer instruction sets, bodies per number of actions, checks of
 * the debug build. */
#ifndef CDQ_BASE_H
#define CDQ_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A caller with AVX2 that may know which registers a function leaves alone keeps vectors across the call, and SSE after AVX
 * lets Intel's processors wait, 0.1 to 0.3 us a call: a tenth of a window of 10,000 steps. */
#if defined(__GNUC__) && !defined(__clang__)
#define CDQ_NOINLINE __attribute__((noipa))
#elif defined(__GNUC__)
#define CDQ_NOINLINE __attribute__((noinline))
#else
#define CDQ_NOINLINE
#endif

#if defined(__GNUC__)
#define CDQ_INLINE static inline __attribute__((always_inline))
#define CDQ_PREFETCH(address) __builtin_prefetch(address)
#define CDQ_PREFETCH_TO_SECOND(address) __builtin_prefetch(address, 0, 2)
#else
#define CDQ_INLINE static inline
#define CDQ_PREFETCH(address) ((void)0)
#define CDQ_PREFETCH_TO_SECOND(address) ((void)0)
#endif

/* Wheels are for the baseline instruction set; the hot loops carry a second body for AVX2 that the loader picks
 * (68-78 against 113-118 million steps/s on FrozenLake8x8). Same bits: contraction is off, so neither fuses. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__GLIBC__)
#define CDQ_CLONES __attribute__((target_clones("default", "arch=x86-64-v3")))
#else
#define CDQ_CLONES
#endif

/* Ask for memory that is to be written: no other core has it then. Processors that do not know how leave it alone. */
#if defined(__GNUC__) && defined(__x86_64__)
#define CDQ_PREFETCH_TO_WRITE(address) __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(address)))
#elif defined(__GNUC__)
#define CDQ_PREFETCH_TO_WRITE(address) __builtin_prefetch(address, 1)
#else
#define CDQ_PREFETCH_TO_WRITE(address) ((void)0)
#endif

/* Intel's processors let few lines be on their way to the first-level cache at a time, and more to the second. */
#if defined(__GNUC__) && defined(__x86_64__)
#define CDQ_IS_INTEL __builtin_cpu_is("intel")
#else
#define CDQ_IS_INTEL 0
#endif

#ifdef CDQ_DEBUG
#define CDQ_CHECK(condition)                                                                        \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            fprintf(stderr, "%s:%d: out of bounds: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                                \
        }                                                                                           \
    } while (0)
#else
#define CDQ_CHECK(condition) ((void)0)
#endif

/* A body per common number of actions, as a constant, which unrolls the loops over a row (76 -> 113 million steps/s);
 * `body` is a macro of one argument, a call of an inline function. */
#define CDQ_UNROLLED(n_actions, body)                                                                               \
    switch (n_actions) {                                                                                            \
    case 2: body(2); break;                                                                                         \
    case 3: body(3); break;                                                                                         \
    case 4: body(4); break;                                                                                         \
    case 6: body(6); break;                                                                                         \
    case 8: body(8); break;                                                                                         \
    default: body(n_actions);                                                                                       \
    }

/* NAME(window) -> window_float or window_double, for the kernels that are included once per type. */
#define CDQ_PASTE2(name, type) name##_##type
#define CDQ_PASTE(name, type) CDQ_PASTE2(name, type)

#endif
