/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/node_wire.h"
#include "archive/tree_walk.h"

enum { CURSOR_AHEAD = 8 }; /* leaves told to the source before they are reached */

/*
 * path[level] is the pinned node at that level and the place in it. Nodes are there from the root down to some level
 * and NULL below it; each is the child at `index` of the one above it. `at` is set while the cursor stands on an entry.
 */
struct step {
	const struct node *node;
	uint32_t index;
};

struct tree_cursor {
	struct node_source *source;
	struct tree_root root;
	struct step path[NODE_LEVEL_MAX + 1];
	uint64_t rank;
	const struct entry *at;
	const struct node *ahead_of; /* the node whose children were told to the source, up to ahead_to */
	uint32_t ahead_to;
};

/* Lets go of everything at `level` and below. */
static void path_drop(struct tree_cursor *c, int level)
{
	if (level >= 1)
		c->ahead_of = NULL;
	for (int i = level; i >= 0 && c->path[i].node; i--) {
		c->source->put(c->source, c->path[i].node);
		c->path[i].node = NULL;
	}
}

static int path_root(struct tree_cursor *c, struct error *err)
{
	struct step *top = &c->path[c->root.level];
	return top->node ? 0 : tree_node_get(c->source, &c->root, NULL, 0, &top->node, err);
}

/* Makes child `index` of the node at `level` the node below, keeping it when it is. */
static int path_down(struct tree_cursor *c, int level, uint32_t index, struct error *err)
{
	struct step *s = &c->path[level];
	if (s->index == index && c->path[level - 1].node)
		return 0;
	path_drop(c, level - 1);
	s->index = index;
	return tree_child_get(c->source, s->node, index, &c->path[level - 1].node, err);
}

static int cursor_end(struct tree_cursor *c, struct error *err)
{
	c->rank = c->root.entries;
	c->at = NULL;
	return error_set(err, ERR_NOT_FOUND, "no more entries");
}

int tree_cursor_seek_rank(struct tree_cursor *c, uint64_t rank, struct error *err)
{
	uint64_t left = rank;
	if (rank >= c->root.entries)
		return cursor_end(c, err);
	c->at = NULL;
	int status = path_root(c, err);
	for (int level = c->root.level; status == 0 && level > 0; level--) {
		const struct node *node = c->path[level].node;
		uint32_t index = tree_child_at_rank(node, left);
		left -= node->children[index].before;
		status = path_down(c, level, index, err);
	}
	if (status != 0)
		return status;
	c->path[0].index = (uint32_t)left;
	c->at = &c->path[0].node->list[left];
	c->rank = rank;
	return 0;
}

int tree_cursor_seek(struct tree_cursor *c, const uint8_t *key, size_t key_len, struct error *err)
{
	uint64_t base = 0;
	if (c->root.entries == 0)
		return cursor_end(c, err);
	c->at = NULL;
	int status = path_root(c, err);
	for (int level = c->root.level; status == 0 && level > 0; level--) {
		const struct node *node = c->path[level].node;
		int32_t index = node_search(node, key, key_len);
		index = index < 0 ? 0 : index;
		base += node->children[index].before;
		status = path_down(c, level, (uint32_t)index, err);
	}
	if (status != 0) {
		c->rank = base;
		return status;
	}
	const struct node *leaf = c->path[0].node;
	int32_t index = node_search(leaf, key, key_len);
	if (index < 0 || node_key_compare(leaf->list[index].key, leaf->list[index].key_len, key, key_len) != 0)
		index++;
	return tree_cursor_seek_rank(c, base + (uint64_t)index, err);
}

int tree_cursor_new_nowhere(
	struct node_source *source, const struct tree_root *root, struct tree_cursor **ret_cursor, struct error *err)
{
	if (root->level > NODE_LEVEL_MAX)
		return error_set(err, ERR_CORRUPT, "a tree claims %u levels", root->level);
	struct tree_cursor *c = calloc(1, sizeof(*c));
	if (!c)
		return error_no_memory(err, "a cursor");
	c->source = source;
	c->root = *root;
	*ret_cursor = c;
	return 0;
}

int tree_cursor_new_at(struct node_source *source, const struct tree_root *root, const uint8_t *key, size_t key_len,
	struct tree_cursor **ret_cursor, struct error *err)
{
	struct tree_cursor *c = NULL;
	struct error why = ERROR_INIT;
	int status = tree_cursor_new_nowhere(source, root, &c, err);
	if (status != 0)
		return status;
	/* Nodes that are missing are ERR_CORRUPT, so this can only mean the end. */
	status = tree_cursor_seek(c, key, key_len, &why);
	if (status != 0 && status != ERR_NOT_FOUND) {
		tree_cursor_free(c);
		if (err)
			*err = why;
		return status;
	}
	*ret_cursor = c;
	return 0;
}

int tree_cursor_new(
	struct node_source *source, const struct tree_root *root, struct tree_cursor **ret_cursor, struct error *err)
{
	struct tree_cursor *c = NULL;
	int status = tree_cursor_new_nowhere(source, root, &c, err);
	if (status != 0)
		return status;
	status = root->entries > 0 ? tree_cursor_seek_rank(c, 0, err) : 0;
	if (status != 0)
		tree_cursor_free(c);
	else
		*ret_cursor = c;
	return status;
}

void tree_cursor_free(struct tree_cursor *c)
{
	if (!c)
		return;
	for (int level = c->root.level; level >= 0; level--) {
		if (c->path[level].node)
			c->source->put(c->source, c->path[level].node);
	}
	free(c);
}

const struct entry *tree_cursor_entry(const struct tree_cursor *c)
{
	return c->at;
}

uint64_t tree_cursor_rank(const struct tree_cursor *c)
{
	return c->rank;
}

/* Tells the source the leaves that come next: when half of those told before are used up, so many again. */
static void tell_ahead(struct tree_cursor *c)
{
	if (c->root.level == 0 || !c->source->prefetch)
		return;
	const struct step *s = &c->path[1];
	uint32_t from = s->index + 1;
	if (c->ahead_of == s->node && c->ahead_to > from)
		from = c->ahead_to;
	else if (c->ahead_of != s->node)
		c->ahead_to = from;
	uint32_t to = s->index + 1 + CURSOR_AHEAD;
	to = to < s->node->count ? to : s->node->count;
	if (to > from && (to - from >= CURSOR_AHEAD / 2 || to == s->node->count)) {
		c->source->prefetch(c->source, &s->node->refs[from], to - from);
		c->ahead_to = to;
	}
	c->ahead_of = s->node;
	/* Where a node of leaves ends, the next such node is what will be waited for. */
	if (s->index + 1 == s->node->count && c->root.level >= 2) {
		const struct step *up = &c->path[2];
		if (up->index + 1 < up->node->count)
			c->source->prefetch(c->source, &up->node->refs[up->index + 1], 1);
	}
}

int tree_cursor_next(struct tree_cursor *c, struct error *err)
{
	if (c->at && c->path[0].index + 1 < c->path[0].node->count) {
		c->path[0].index++;
		c->at++;
		c->rank++;
		return 0;
	}
	if (c->rank >= c->root.entries)
		return cursor_end(c, err);
	/* After a failed step the cursor stands nowhere, and the same step is tried again. */
	int status = tree_cursor_seek_rank(c, c->rank + 1, err);
	if (status == 0)
		tell_ahead(c);
	return status;
}

/* Does the node at `level` begin under the cursor? */
static bool begins_here(const struct tree_cursor *c, int level)
{
	for (int i = 0; i <= level; i++)
		if (c->path[i].index != 0)
			return false;
	return true;
}

bool tree_cursor_subtree_upto(const struct tree_cursor *c, int max_level, struct tree_root *ret_node,
	const uint8_t **ret_first_key, size_t *ret_first_key_len)
{
	int level = -1;
	bool right_edge = true;
	if (!c->at)
		return false;
	/* From the top: the first that is not on the right edge, begins here and is no stem. */
	for (int i = c->root.level; i > 0 && level < 0; i--) {
		const struct node *below = c->path[i - 1].node;
		right_edge = right_edge && c->path[i].index + 1 == c->path[i].node->count;
		if (!right_edge && i - 1 <= max_level && begins_here(c, i - 1) &&
			(below->level == 0 || below->count > 1))
			level = i - 1;
	}
	if (level < 0)
		return false;
	*ret_node = tree_child_root(c->path[level + 1].node, c->path[level + 1].index);
	*ret_first_key = c->at->key;
	*ret_first_key_len = c->at->key_len;
	return true;
}

bool tree_cursor_subtree(const struct tree_cursor *c, struct tree_root *ret_node, const uint8_t **ret_first_key,
	size_t *ret_first_key_len)
{
	return tree_cursor_subtree_upto(c, NODE_LEVEL_MAX, ret_node, ret_first_key, ret_first_key_len);
}

int tree_cursor_skip(struct tree_cursor *c, const struct tree_root *node, struct error *err)
{
	uint64_t rank;
	if (!c->at || __builtin_add_overflow(c->rank, node->entries, &rank))
		return error_set(err, ERR_BUG, "a cursor at the end was told to skip");
	int status = tree_cursor_seek_rank(c, rank, err);
	if (status == 0)
		tell_ahead(c);
	return status;
}
