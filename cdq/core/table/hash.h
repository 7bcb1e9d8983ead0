/* Keys of 64 bits and the row numbers that they have: open addressing with linear probing.
 *
 * A slot holds the upper half of a key's hash and, plus one, its row; 0 is an empty slot. The slots lie as if the keys
 * had been put in one after another in the order of their rows, so that the last ones can be taken out again by
 * emptying their slots, the last first. */
#ifndef CDQ_HASH_H
#define CDQ_HASH_H

#include "table/mixed.h"
#include "table/rows.h"

/* Keys are looked up so many at a time: slots, then keys and rows, are asked for before any is needed. */
#define CDQ_LOOKUPS 64
#define CDQ_NO_ROW 0xffffffffu

typedef struct {
    uint64_t *keys; /* the key of each row */
    uint64_t *slots;
    uint64_t mask; /* number of slots, a power of two, less one */
    int64_t n, most; /* keys that there are, and that there may be */
} cdq_index;

CDQ_INLINE uint32_t cdq_row_in(uint64_t slot)
{
    return (uint32_t)slot - 1;
}

/* The slot of a key: an empty one if the key is not there. */
CDQ_INLINE uint64_t *cdq_slot_of(const cdq_index *index, uint64_t key)
{
    uint64_t hash = cdq_mixed(key);
    for (uint64_t i = hash & index->mask;; i = (i + 1) & index->mask) {
        uint64_t slot = index->slots[i];
        if (!slot || (slot >> 32 == hash >> 32 && index->keys[cdq_row_in(slot)] == key))
            return index->slots + i;
    }
}

CDQ_INLINE uint32_t cdq_find(const cdq_index *index, uint64_t key)
{
    return cdq_row_in(*cdq_slot_of(index, key)); /* an empty slot gives CDQ_NO_ROW */
}

CDQ_INLINE uint32_t cdq_insert(cdq_index *index, uint64_t key)
{
    uint64_t *slot = cdq_slot_of(index, key);
    if (!*slot) {
        CDQ_CHECK(index->n < index->most);
        index->keys[index->n++] = key;
        *slot = (cdq_mixed(key) & 0xffffffff00000000u) | (uint64_t)index->n;
    }
    return cdq_row_in(*slot);
}

/* Put all keys into empty slots. */
static void cdq_fill_slots(cdq_index *index)
{
    for (int64_t row = 0; row < index->n; row++) {
        int64_t ahead = row + CDQ_LOOKUPS < index->n ? row + CDQ_LOOKUPS : index->n - 1;
        CDQ_PREFETCH(index->slots + (cdq_mixed(index->keys[ahead]) & index->mask));
        uint64_t hash = cdq_mixed(index->keys[row]), i = hash & index->mask;
        while (index->slots[i])
            i = (i + 1) & index->mask;
        index->slots[i] = (hash & 0xffffffff00000000u) | (uint64_t)(row + 1);
    }
}

/* Take out all keys from row n on. */
static void cdq_truncate(cdq_index *index, int64_t n)
{
    while (index->n > n) {
        uint64_t *slot = cdq_slot_of(index, index->keys[index->n - 1]);
        *slot = 0;
        index->n--;
    }
}

/* The rows that keys may have, by the upper half of their hashes alone; asks for what tells whether it is so. */
CDQ_INLINE void cdq_guess(const cdq_index *index, const cdq_rows *rows, const uint64_t *keys, uint32_t *located,
                          int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        CDQ_PREFETCH(index->slots + (cdq_mixed(keys[i]) & index->mask));
    for (int64_t i = 0; i < count; i++) {
        uint64_t hash = cdq_mixed(keys[i]), at = hash & index->mask, slot;
        while ((slot = index->slots[at]) && slot >> 32 != hash >> 32)
            at = (at + 1) & index->mask;
        located[i] = cdq_row_in(slot);
        if (slot) {
            CDQ_PREFETCH(index->keys + located[i]);
            CDQ_PREFETCH(cdq_row(rows, located[i]));
        }
    }
}

/* A row that nobody has updated. */
static void cdq_fresh_row(const cdq_rows *rows, int64_t row, double initial_value)
{
    unsigned char *data = rows->data + row * rows->stride;
    for (int64_t a = 0; a < rows->n_actions; a++) {
        if (rows->real_size == 4)
            ((float *)data)[a] = (float)initial_value;
        else
            ((double *)data)[a] = initial_value;
    }
    memset(data + rows->n_actions * rows->real_size, 0, (size_t)(rows->stride - rows->n_actions * rows->real_size));
}

/* The rows of keys; a new key gets the next row. */
static void cdq_locate_or_insert(cdq_index *index, cdq_rows *rows, const uint64_t *keys, uint32_t *located,
                                 int64_t count, double initial_value)
{
    for (; count > 0; keys += CDQ_LOOKUPS, located += CDQ_LOOKUPS, count -= CDQ_LOOKUPS) {
        int64_t n = count < CDQ_LOOKUPS ? count : CDQ_LOOKUPS;
        cdq_guess(index, rows, keys, located, n);
        for (int64_t i = 0; i < n; i++) {
            if (located[i] != CDQ_NO_ROW && index->keys[located[i]] == keys[i])
                continue;
            located[i] = cdq_insert(index, keys[i]);
            if (index->n > rows->n_states) {
                cdq_fresh_row(rows, rows->n_states, initial_value);
                rows->n_states = index->n;
            }
        }
    }
}

/* The rows of keys; those that are not there get row *unknown*. */
static void cdq_locate_known(const cdq_index *index, const cdq_rows *rows, const uint64_t *keys, uint32_t *located,
                             int64_t count, uint32_t unknown)
{
    for (; count > 0; keys += CDQ_LOOKUPS, located += CDQ_LOOKUPS, count -= CDQ_LOOKUPS) {
        int64_t n = count < CDQ_LOOKUPS ? count : CDQ_LOOKUPS;
        cdq_guess(index, rows, keys, located, n);
        for (int64_t i = 0; i < n; i++) {
            if (located[i] == CDQ_NO_ROW || index->keys[located[i]] != keys[i])
                located[i] = cdq_find(index, keys[i]);
            if (located[i] == CDQ_NO_ROW)
                located[i] = unknown;
        }
    }
}
#endif
