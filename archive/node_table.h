/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_NODE_TABLE_H
#define ARCHIVE_NODE_TABLE_H

/*
 * A hash table from "seen before" to the index it was seen at: open
 * addressing, nothing is ever removed. The caller keeps the things themselves
 * and compares them. A zeroed table is empty. Private to the encoder of nodes.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Slots hold hash << 32 | index + 1; 0 is free. cap is a power of two, at most half used. */
struct node_table {
	uint64_t *slots;
	uint32_t cap, used;
};

static inline void node_table_put(struct node_table *t, uint32_t hash, uint32_t index)
{
	uint32_t at = hash & (t->cap - 1);
	while (t->slots[at] != 0)
		at = (at + 1) & (t->cap - 1);
	t->slots[at] = (uint64_t)hash << 32 | (index + 1);
	t->used++;
}

/* Room for one more. */
static inline int node_table_reserve(struct node_table *t, struct error *err)
{
	if (t->used < t->cap / 2)
		return 0;
	struct node_table bigger = {.cap = t->cap ? t->cap * 2 : 64};
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return error_no_memory(err, "a node's table");
	for (uint32_t i = 0; i < t->cap; i++)
		if (t->slots[i] != 0)
			node_table_put(&bigger, (uint32_t)(t->slots[i] >> 32), (uint32_t)t->slots[i] - 1);
	free(t->slots);
	*t = bigger;
	return 0;
}

/*
 * Steps through the indexes that were put with this hash: *at starts at `hash`. False when there are no more. Bounded,
 * since half of the slots are free.
 */
static inline bool node_table_next(const struct node_table *t, uint32_t hash, uint32_t *at, uint32_t *ret_index)
{
	if (t->cap == 0)
		return false;
	for (;;) {
		uint64_t slot = t->slots[*at & (t->cap - 1)];
		if (slot == 0)
			return false;
		(*at)++;
		if ((uint32_t)(slot >> 32) == hash) {
			*ret_index = (uint32_t)slot - 1;
			return true;
		}
	}
}

static inline void node_table_clear(struct node_table *t)
{
	if (t->used > 0)
		memset(t->slots, 0, t->cap * sizeof(*t->slots));
	t->used = 0;
}

static inline void node_table_release(struct node_table *t)
{
	free(t->slots);
	*t = (struct node_table){0};
}

#endif
