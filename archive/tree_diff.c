/* SPDX-License-Identifier: MIT */
#include "archive/node_wire.h"
#include "archive/tree_walk.h"

/*
 * Each tree is walked by a pointer that goes down only when it must. It stands
 * on an element: an entry of a leaf (height 0), or a node that was not gone into (height = its
 * level + 1). The two walks are kept in step by key; where both stand on the
 * same node, both step over it.
 */
struct walk {
	struct node_source *source;
	struct tree_root root;
	/* path[level].node, for levels from `at` up to the root's, is pinned. */
	struct {
		const struct node *node;
		uint32_t index;
	} path[NODE_LEVEL_MAX + 2];
	int height;
	bool end;
};

/* Before the first step the walk stands on the root as a whole, which is read for its first key. */
static int walk_begin(struct walk *w, struct node_source *source, const struct tree_root *root, struct error *err)
{
	w->source = source;
	w->root = *root;
	w->height = root->level + 1;
	w->end = root->entries == 0;
	return w->end ? 0 : tree_node_get(source, root, NULL, 0, &w->path[root->level].node, err);
}

static void walk_end(struct walk *w)
{
	for (int i = 0; i <= NODE_LEVEL_MAX; i++)
		if (w->path[i].node)
			w->source->put(w->source, w->path[i].node);
}

static bool walk_on_root(const struct walk *w)
{
	return w->height > w->root.level;
}

static const uint8_t *walk_key(const struct walk *w, size_t *ret_len)
{
	int level = walk_on_root(w) ? w->root.level : w->height;
	const struct node *node = w->path[level].node;
	uint32_t i = w->path[level].index;
	*ret_len = level > 0 ? node->children[i].key_len : node->list[i].key_len;
	return level > 0 ? node->children[i].key : node->list[i].key;
}

static const struct id *walk_node_id(const struct walk *w)
{
	if (walk_on_root(w))
		return &w->root.ref.id;
	return &w->path[w->height].node->refs[w->path[w->height].index].id;
}

static const struct entry *walk_entry(const struct walk *w)
{
	return &w->path[0].node->list[w->path[0].index];
}

/* From a node to its first element. */
static int walk_down(struct walk *w, struct error *err)
{
	int status = 0;
	if (!walk_on_root(w))
		status = tree_child_get(w->source, w->path[w->height].node, w->path[w->height].index,
			&w->path[w->height - 1].node, err);
	if (status != 0)
		return status;
	w->height--;
	w->path[w->height].index = 0;
	return 0;
}

/* Over the element. */
static void walk_next(struct walk *w)
{
	while (!walk_on_root(w)) {
		int level = w->height;
		if (++w->path[level].index < w->path[level].node->count)
			return;
		w->source->put(w->source, w->path[level].node);
		w->path[level].node = NULL;
		w->height++;
	}
	w->end = true;
}

/* ---- equality of entries ---- */

static bool same_ref(const struct entry *a, uint32_t x, const struct entry *b, uint32_t y)
{
	if (x == EXTENT_HOLE || y == EXTENT_HOLE)
		return x == y;
	return id_equal(&a->refs[x].id, &b->refs[y].id);
}

static bool same_body(const struct entry *a, const struct entry *b)
{
	if (a->extent_count != b->extent_count || a->piece_count != b->piece_count)
		return false;
	for (uint32_t i = 0; i < a->extent_count; i++)
		if (a->extents[i].length != b->extents[i].length || a->extents[i].offset != b->extents[i].offset ||
			!same_ref(a, a->extents[i].ref, b, b->extents[i].ref))
			return false;
	for (uint32_t i = 0; i < a->piece_count; i++)
		if (a->pieces[i].length != b->pieces[i].length || !same_ref(a, a->pieces[i].ref, b, b->pieces[i].ref))
			return false;
	return true;
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_time(const struct entry_time *a, const struct entry_time *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

static bool same_entry(const struct entry *a, const struct entry *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && strcmp(a->user, b->user) == 0 &&
	       strcmp(a->group, b->group) == 0 && same_time(&a->mtime, &b->mtime) && same_time(&a->ctime, &b->ctime) &&
	       a->inode == b->inode && a->size == b->size && a->disk_bytes == b->disk_bytes &&
	       a->link_group == b->link_group && a->nlink == b->nlink && a->rdev_major == b->rdev_major &&
	       a->rdev_minor == b->rdev_minor && a->flags == b->flags && id_equal(&a->content, &b->content) &&
	       same_bytes(a->target, a->target_len, b->target, b->target_len) &&
	       same_bytes(a->xattrs, a->xattrs_len, b->xattrs, b->xattrs_len) &&
	       same_ref(a, a->xattr_ref, b, b->xattr_ref) && same_body(a, b);
}

/* ---- the two in step ---- */

struct diff {
	struct walk old, new;
	tree_diff_fn *fn;
	void *arg;
};

/* Only one side has what it stands on, as far as the other side's key. */
static int one_side(struct diff *d, struct walk *w, struct error *err)
{
	if (w->height > 0)
		return walk_down(w, err);
	const struct entry *entry = walk_entry(w);
	int status = w == &d->old ? d->fn(d->arg, entry, NULL, err) : d->fn(d->arg, NULL, entry, err);
	walk_next(w);
	return status;
}

/* Both stand on the same key. */
static int both_sides(struct diff *d, struct error *err)
{
	struct walk *a = &d->old, *b = &d->new;
	int status = 0;
	if (a->height == b->height && a->height > 0 && id_equal(walk_node_id(a), walk_node_id(b))) {
		walk_next(a);
		walk_next(b);
		return 0;
	}
	if (a->height > 0 || b->height > 0) {
		int to = a->height > b->height ? a->height : b->height;
		if (a->height == to)
			status = walk_down(a, err);
		if (status == 0 && b->height == to)
			status = walk_down(b, err);
		return status;
	}
	if (!same_entry(walk_entry(a), walk_entry(b)))
		status = d->fn(d->arg, walk_entry(a), walk_entry(b), err);
	walk_next(a);
	walk_next(b);
	return status;
}

static int diff_step(struct diff *d, struct error *err)
{
	size_t old_len, new_len;
	if (d->old.end || d->new.end)
		return one_side(d, d->old.end ? &d->new : &d->old, err);
	const uint8_t *old_key = walk_key(&d->old, &old_len), *new_key = walk_key(&d->new, &new_len);
	int order = node_key_compare(old_key, old_len, new_key, new_len);
	if (order == 0)
		return both_sides(d, err);
	return one_side(d, order < 0 ? &d->old : &d->new, err);
}

int tree_diff(struct node_source *source, const struct tree_root *old_root, const struct tree_root *new_root,
	tree_diff_fn *fn, void *arg, struct error *err)
{
	struct diff d = {.fn = fn, .arg = arg};
	int status;
	if (old_root->level > NODE_LEVEL_MAX || new_root->level > NODE_LEVEL_MAX)
		return error_set(err, ERR_CORRUPT, "a tree claims too many levels");
	if (old_root->entries == new_root->entries && id_equal(&old_root->ref.id, &new_root->ref.id))
		return 0;
	status = walk_begin(&d.old, source, old_root, err);
	if (status == 0)
		status = walk_begin(&d.new, source, new_root, err);
	while (status == 0 && !(d.old.end && d.new.end))
		status = diff_step(&d, err);
	walk_end(&d.old);
	walk_end(&d.new);
	return status;
}
