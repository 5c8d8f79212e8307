/* SPDX-License-Identifier: MIT */
#include "fs/spool/work_map.h"

#include <stdlib.h>

#define FREE UINT64_MAX
#define TAKEN_OUT (UINT64_MAX - 1)
enum { MAP_LEAST = 64 };

static size_t place_of(const struct map *m, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (m->size - 1);
}

/* The slot of the key, or a free one; the table is never full. */
static struct map_slot *seek(const struct map *m, uint64_t key)
{
	size_t at = place_of(m, key);
	while (m->slots[at].key != key && m->slots[at].key != FREE)
		at = (at + 1) & (m->size - 1);
	return &m->slots[at];
}

bool map_get(const struct map *m, uint64_t key, uint64_t *ret_value)
{
	if (m->count == 0)
		return false;
	const struct map_slot *slot = seek(m, key);
	if (slot->key != key)
		return false;
	*ret_value = slot->value;
	return true;
}

static bool resize(struct map *m)
{
	struct map bigger = {.size = MAP_LEAST};
	while (bigger.size < m->count * 4)
		bigger.size *= 2;
	bigger.slots = malloc(bigger.size * sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return false;
	for (size_t i = 0; i < bigger.size; i++)
		bigger.slots[i].key = FREE;
	for (size_t i = 0; i < m->size; i++) {
		if (m->slots[i].key < TAKEN_OUT)
			*seek(&bigger, m->slots[i].key) = m->slots[i];
	}
	bigger.used = bigger.count = m->count;
	free(m->slots);
	*m = bigger;
	return true;
}

bool map_put(struct map *m, uint64_t key, uint64_t value)
{
	if (key >= TAKEN_OUT || ((m->used + 1) * 2 > m->size && !resize(m)))
		return false;
	struct map_slot *slot = seek(m, key);
	if (slot->key != key) {
		m->used++;
		m->count++;
	}
	*slot = (struct map_slot){.key = key, .value = value};
	return true;
}

void map_drop(struct map *m, uint64_t key)
{
	if (m->count == 0 || key >= TAKEN_OUT)
		return;
	struct map_slot *slot = seek(m, key);
	if (slot->key == key) {
		slot->key = TAKEN_OUT;
		m->count--;
	}
}

void map_clear(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

bool map_next(const struct map *m, size_t *at, struct map_slot *ret)
{
	while (*at < m->size && m->slots[*at].key >= TAKEN_OUT)
		++*at;
	if (*at >= m->size)
		return false;
	*ret = m->slots[(*at)++];
	return true;
}
