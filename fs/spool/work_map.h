/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_WORK_MAP_H
#define FS_SPOOL_WORK_MAP_H

/*
 * A table of numbers by number, for small facts about inodes. Keys UINT64_MAX
 * and UINT64_MAX - 1 cannot be in it. Best effort: without memory a put is
 * forgotten, and says so. A zeroed one is valid and empty. Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
	uint64_t key, value;
};
struct map {
	struct map_slot *slots;   /* owned; a power of two of them */
	size_t size, used, count; /* used: with those that were taken out */
};

bool map_get(const struct map *m, uint64_t key, uint64_t *ret_value);
/* Puts or replaces. */
bool map_put(struct map *m, uint64_t key, uint64_t value);
void map_drop(struct map *m, uint64_t key);
/* Empties it and gives its memory back. */
void map_clear(struct map *m);
/* Steps through: *at begins at 0. False at the end. */
bool map_next(const struct map *m, size_t *at, struct map_slot *ret);

#endif
