/* Words that threads share, pauses, files that tell of an end, and the monotonic clock in nanoseconds. */
#ifndef CDQ_ATOMICS_H
#define CDQ_ATOMICS_H

#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t cdq_load(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void cdq_store(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
static inline int cdq_swap(uint64_t *word, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline void cdq_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}
static inline int64_t cdq_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline void cdq_sleep(int64_t nanoseconds) {
    struct timespec t = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    nanosleep(&t, NULL);
}
/* 1 if one of *n* files has something to be read, else 0. */
static inline int cdq_is_readable(struct pollfd *files, size_t n) {
    return n && poll(files, (nfds_t)n, 0) > 0;
}
static inline uint64_t *cdq_lines(size_t count) {
    void *lines = NULL;
    if (posix_memalign(&lines, 64, count * 64)) return NULL;
    return (uint64_t *)memset(lines, 0, count * 64);
}

#endif
