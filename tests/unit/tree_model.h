/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_TREE_MODEL_H
#define TESTS_UNIT_TREE_MODEL_H

/*
 * What the tests of trees stand on: nodes kept in memory, entries drawn at
 * random, and a sorted array of them as the naive model of a tree. Failures
 * are cmocka's.
 */

#include "archive/tree.h"

/* A small fast generator, so that a failure can be run again by its seed. */
struct draw {
	uint64_t state;
};
uint64_t draw_u64(struct draw *d);
uint64_t draw_below(struct draw *d, uint64_t n); /* 0 .. n-1 */
void draw_bytes(struct draw *d, void *dst, size_t len);

/* Source and sink over memory. Every get decodes anew; `pinned` must be 0 in the end. */
struct node_memory {
	struct node_source source; /* first, so that it is cast to its owner */
	struct node_sink sink;
	struct stored {
		struct id id;
		uint8_t *plain;
		size_t len;
	} * list;
	size_t count, cap;
	uint32_t *slots; /* index + 1 by id; 0 free */
	size_t slot_count;
	unsigned gets, prefetched;
	int pinned;
	int fail_after; /* > 0: that get fails; counted down */
};
void node_memory_init(struct node_memory *m);
void node_memory_release(struct node_memory *m);

/* Sorted by key, no key twice. Each entry owns what it points to. */
struct model {
	struct entry **list;
	size_t count, cap;
};
struct entry *model_entry_new(struct draw *d, const uint8_t *key, size_t key_len);
struct entry *model_entry_copy(const struct entry *e);
void model_entry_free(struct entry *e);
void model_draw(struct model *m, struct draw *d, size_t count);
void model_put(struct model *m, struct entry *e); /* appends; model_sort() follows */
void model_sort(struct model *m);                 /* and drops later ones of equal keys */
void model_copy(struct model *dst, const struct model *src);
/* Changes, drops and adds about `count` entries in a few places. */
void model_mutate(struct model *m, struct draw *d, size_t count);
void model_release(struct model *m);
/* Index of the first entry with key >= key. */
size_t model_rank(const struct model *m, const uint8_t *key, size_t key_len);

int key_order(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);
/* Every field that is stored is equal; references by id and by locator. */
bool entry_same(const struct entry *a, const struct entry *b);
void assert_entry_same(const struct entry *a, const struct entry *b);

struct tree_root model_build(const struct model *m, const struct tree_keys *keys, struct node_memory *nodes);
extern const uint8_t model_id_key[32], model_cut_key[32];
struct tree_keys model_keys(uint32_t target);

#endif
