/* SPDX-License-Identifier: MIT */
#include "archive/tree_walk.h"

enum { RANGE_AHEAD = 8 }; /* leaves told to the source before they are reached */

/* A stretch of a tree on its way to a caller. */
struct range {
	struct node_source *source;
	uint64_t first, end;
	tree_range_node_fn *node;
	tree_range_entry_fn *entry;
	void *arg;
};

static int tell_entries(const struct range *g, const struct node *leaf, uint64_t base, struct error *err)
{
	uint64_t from = g->first > base ? g->first - base : 0;
	uint64_t to = g->end - base < leaf->count ? g->end - base : leaf->count;
	int r = 0;

	for (uint64_t i = from; r == 0 && g->entry != NULL && i < to; i++)
		r = g->entry(g->arg, &leaf->list[i], err);
	return r;
}

/* Leaves that will be read whole arrive in groups. */
static void tell_ahead(const struct range *g, const struct node *node, uint32_t index, uint64_t base)
{
	uint32_t n = 0;

	if (g->source->prefetch == NULL || node->level != 1 || g->node != NULL || index % RANGE_AHEAD != 0)
		return;
	while (index + n < node->count && n < RANGE_AHEAD && base + node->children[index + n].before < g->end)
		n++;
	g->source->prefetch(g->source, &node->refs[index], n);
}

static int tell_node(const struct range *g, const struct node *node, uint64_t base, bool right_edge, struct error *err);

/*
 * A child that lies in the stretch from end to end may be taken over unread, if a cut ended it. Whether an inner node
 * is a stem only it can tell; there is one for some thousand leaves.
 */
static int tell_child(const struct range *g, const struct node *parent, uint32_t index, uint64_t base, bool right_edge,
	struct error *err)
{
	const struct node_child *child = &parent->children[index];
	const struct tree_root root = tree_child_root(parent, index);
	bool whole = g->node != NULL && !right_edge && base >= g->first && child->entries <= g->end - base;
	const struct node *node = NULL;
	bool taken = false;
	int r = 0;

	if (whole && root.level == 0)
		r = g->node(g->arg, &root, child->key, child->key_len, &taken, err);
	if (r < 0 || taken)
		return r;
	r = tree_child_get(g->source, parent, index, &node, err);
	if (r < 0)
		return r;
	if (whole && root.level > 0 && node->count > 1)
		r = g->node(g->arg, &root, child->key, child->key_len, &taken, err);
	if (r == 0 && !taken)
		r = tell_node(g, node, base, right_edge, err);
	g->source->put(g->source, node);
	return r;
}

/* `base` is the rank of the node's first entry. As deep as the tree has levels. */
static int tell_node(const struct range *g, const struct node *node, uint64_t base, bool right_edge, struct error *err)
{
	int r = 0;

	if (node->level == 0)
		return tell_entries(g, node, base, err);
	uint32_t i = g->first > base ? tree_child_at_rank(node, g->first - base) : 0;
	for (; r == 0 && i < node->count && base + node->children[i].before < g->end; i++) {
		tell_ahead(g, node, i, base);
		r = tell_child(g, node, i, base + node->children[i].before, right_edge && i + 1 == node->count, err);
	}
	return r;
}

int tree_range(struct node_source *source, const struct tree_root *root, uint64_t first, uint64_t end,
	tree_range_node_fn *node_fn, tree_range_entry_fn *entry_fn, void *arg, struct error *err)
{
	const struct range g = {
		.source = source, .first = first, .end = end, .node = node_fn, .entry = entry_fn, .arg = arg};
	const struct node *top = NULL;

	if (first > end || end > root->entries)
		return error_set(err, ERR_USAGE, "a stretch of a tree ends behind it");
	if (first == end)
		return 0;
	int r = tree_node_get(source, root, NULL, 0, &top, err);
	if (r < 0)
		return r;
	r = tell_node(&g, top, 0, true, err);
	source->put(source, top);
	return r;
}
