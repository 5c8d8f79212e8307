/* SPDX-License-Identifier: MIT */
#include "archive/node_wire.h"
#include "archive/tree_walk.h"

const uint8_t *tree_first_key(const struct node *node, size_t *ret_len)
{
	*ret_len = node->level > 0 ? node->children[0].key_len : node->list[0].key_len;
	return node->level > 0 ? node->children[0].key : node->list[0].key;
}

static bool node_fits(const struct node *node, const struct tree_root *want, const uint8_t *key, size_t key_len)
{
	size_t first_len;
	if (node->type != (want->level > 0 ? NODE_INNER : NODE_LEAF) || node->level != want->level)
		return false;
	if (node->entries != want->entries || node->dirs != want->dirs || node->bytes != want->bytes)
		return false;
	if (!key)
		return true;
	const uint8_t *first = tree_first_key(node, &first_len);
	return node_key_compare(first, first_len, key, key_len) == 0;
}

int tree_node_get(struct node_source *source, const struct tree_root *want, const uint8_t *key, size_t key_len,
	const struct node **ret_node, struct error *err)
{
	const struct node *node;
	int status = source->get(source, &want->ref, &node, err);
	if (status == ERR_NOT_FOUND) {
		/* To whoever looks for an entry this must not read as "there is no such entry". */
		if (err)
			err->code = ERR_CORRUPT;
		return error_wrap(err, ERR_CORRUPT, "a tree node is missing");
	}
	if (status != 0)
		return status;
	if (!node_fits(node, want, key, key_len)) {
		source->put(source, node);
		return error_set(err, ERR_CORRUPT, "a tree node is not what the node above says of it");
	}
	*ret_node = node;
	return 0;
}

struct tree_root tree_child_root(const struct node *parent, uint32_t index)
{
	const struct node_child *child = &parent->children[index];
	return (struct tree_root){.ref = parent->refs[child->ref],
		.level = (uint8_t)(parent->level - 1),
		.entries = child->entries,
		.dirs = child->dirs,
		.bytes = child->bytes};
}

int tree_child_get(struct node_source *source, const struct node *parent, uint32_t index, const struct node **ret_node,
	struct error *err)
{
	struct tree_root want = tree_child_root(parent, index);
	return tree_node_get(
		source, &want, parent->children[index].key, parent->children[index].key_len, ret_node, err);
}

uint32_t tree_child_at_rank(const struct node *node, uint64_t rank)
{
	uint32_t low = 0, high = node->count;
	/* Children below low begin at or before rank, those from high on behind it. */
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (node->children[mid].before <= rank)
			low = mid + 1;
		else
			high = mid;
	}
	return low - 1;
}

/* Goes from *node to its child, letting the parent go; on failure it is let go too. */
static int step_down(struct node_source *source, const struct node **node, uint32_t index, struct error *err)
{
	const struct node *child;
	int status = tree_child_get(source, *node, index, &child, err);
	source->put(source, *node);
	if (status == 0)
		*node = child;
	return status;
}

/*
 * The leaf in which `key` stands or would stand, and the rank of that leaf's first entry. NULL when the tree is empty
 * or begins behind key.
 */
static int leaf_for_key(struct node_source *source, const struct tree_root *root, const uint8_t *key, size_t key_len,
	const struct node **ret_leaf, uint64_t *ret_base, struct error *err)
{
	const struct node *node = NULL;
	uint64_t base = 0;
	int status = root->entries > 0 ? tree_node_get(source, root, NULL, 0, &node, err) : 0;
	while (status == 0 && node) {
		int32_t at = node_search(node, key, key_len);
		if (at < 0) {
			source->put(source, node);
			node = NULL;
			break;
		}
		if (node->level == 0)
			break;
		base += node->children[at].before;
		status = step_down(source, &node, (uint32_t)at, err);
	}
	if (status != 0)
		return status;
	*ret_leaf = node;
	*ret_base = base;
	return 0;
}

int tree_find(struct node_source *source, const struct tree_root *root, const uint8_t *key, size_t key_len,
	const struct node **ret_leaf, const struct entry **ret_entry, uint64_t *ret_rank, struct error *err)
{
	const struct node *leaf;
	uint64_t base;
	int status = leaf_for_key(source, root, key, key_len, &leaf, &base, err);
	if (status != 0)
		return status;
	if (!leaf)
		return error_set(err, ERR_NOT_FOUND, "no such entry");
	int32_t at = node_search(leaf, key, key_len);
	const struct entry *entry = &leaf->list[at];
	if (node_key_compare(entry->key, entry->key_len, key, key_len) != 0) {
		source->put(source, leaf);
		return error_set(err, ERR_NOT_FOUND, "no such entry");
	}
	*ret_leaf = leaf;
	*ret_entry = entry;
	if (ret_rank)
		*ret_rank = base + (uint64_t)at;
	return 0;
}

int tree_at(struct node_source *source, const struct tree_root *root, uint64_t rank, const struct node **ret_leaf,
	const struct entry **ret_entry, struct error *err)
{
	const struct node *node;
	if (rank >= root->entries)
		return error_set(err, ERR_NOT_FOUND, "no such entry");
	int status = tree_node_get(source, root, NULL, 0, &node, err);
	while (status == 0 && node->level > 0) {
		uint32_t at = tree_child_at_rank(node, rank);
		rank -= node->children[at].before;
		status = step_down(source, &node, at, err);
	}
	if (status != 0)
		return status;
	*ret_leaf = node;
	*ret_entry = &node->list[rank];
	return 0;
}

int tree_rank(struct node_source *source, const struct tree_root *root, const uint8_t *key, size_t key_len,
	uint64_t *ret_rank, struct error *err)
{
	const struct node *leaf;
	uint64_t base;
	int status = leaf_for_key(source, root, key, key_len, &leaf, &base, err);
	if (status != 0)
		return status;
	if (!leaf) {
		*ret_rank = 0;
		return 0;
	}
	int32_t at = node_search(leaf, key, key_len);
	bool there = node_key_compare(leaf->list[at].key, leaf->list[at].key_len, key, key_len) == 0;
	source->put(source, leaf);
	*ret_rank = base + (uint64_t)at + !there;
	return 0;
}
