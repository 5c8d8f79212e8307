/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_TREE_WALK_H
#define ARCHIVE_TREE_WALK_H

/*
 * Single nodes, for those who read and write trees. Going down, each node is
 * held against what its parent said of it, so that a tree that was put
 * together wrongly is an error and not an endless or a false answer. Private
 * to the tree.
 */

#include "archive/tree.h"

/*
 * Reads the node `want` speaks of. key (NULL: not known): its first key. ERR_CORRUPT when level, sums or first key are
 * others. The caller gives the node back with source->put().
 */
int tree_node_get(struct node_source *source, const struct tree_root *want, const uint8_t *key, size_t key_len,
	const struct node **ret_node, struct error *err);
/* Reads child `index` of an inner node. */
int tree_child_get(struct node_source *source, const struct node *parent, uint32_t index, const struct node **ret_node,
	struct error *err);
/* What there is to say of child `index` of an inner node. */
struct tree_root tree_child_root(const struct node *parent, uint32_t index);
/* Index of the child in which that rank (counted from the node's first entry) lies; rank < node->entries. */
uint32_t tree_child_at_rank(const struct node *node, uint64_t rank);
/* Ends the encoder's node, takes its id and stores it. `scratch` is for the encoding. */
int tree_node_store(const struct tree_keys *keys, struct node_sink *sink, struct node_encoder *encoder,
	struct buf *scratch, struct chunk_ref *ret_ref, struct error *err);
/* The first key of a node. */
const uint8_t *tree_first_key(const struct node *node, size_t *ret_len);

#endif
