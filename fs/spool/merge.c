/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/hex.h"
#include "fs/spool/merge_impl.h"

/* A folder of the overlay on the way down. */
struct level {
	struct level *parent;
	uint64_t ino;
	struct buf prefix;     /* of its entries' keys, without the 00 before the name */
	struct buf from;       /* the same in the base, where its names show through */
	struct buf pending;    /* names whose subtree in the base is not taken over, in order: ino, length, name */
	size_t next;           /* in pending */
	uint64_t at, own, end; /* ranks in the base: told up to here; end of its own entries; end of its subtree */
};

/* What a walk over names is given. */
struct naming {
	struct merge *m;
	struct level *l;
};

void merge_progress(const struct merge_options *o)
{
	if (o->progress != NULL)
		atomic_fetch_add(o->progress, 1);
}

char *merge_path(const struct buf *prefix, const char *name)
{
	struct buf path = {0};
	char *text = NULL;

	buf_put(&path, prefix->data, prefix->len);
	for (size_t i = 0; i < path.len; i++)
		if (path.data[i] == 0)
			path.data[i] = '/';
	buf_put(&path, name, strlen(name));
	if (!buf_failed(&path))
		text = hex_printable(path.data, path.len);
	buf_release(&path);
	return text;
}

static void level_free(struct level *l)
{
	buf_release(&l->prefix);
	buf_release(&l->from);
	buf_release(&l->pending);
	free(l);
}

/* Where the folder's entries and those below it stand in the base. */
static int level_ranks(struct merge *m, struct level *l, uint64_t lower, struct error *err)
{
	if (m->base == NULL || lower == INDEX_NONE)
		return 0;
	int r = merge_lower_prefix(m, lower, &l->from, err);
	if (r == 0)
		r = merge_rank(m, &l->from, "\0", 1, &l->at, err);
	if (r == 0)
		r = merge_rank(m, &l->from, "\1", 1, &l->own, err);
	if (r < 0 || l->from.len == 0) {
		l->end = m->base->root.entries;
		return r;
	}
	struct buf behind = {.data = l->from.data, .len = l->from.len - 1}; /* borrowed: not released */
	return merge_rank(m, &behind, "\1", 1, &l->end, err);
}

static int level_new(struct merge *m, struct level *parent, const char *name, const struct index_inode *inode,
	struct level **ret_level, struct error *err)
{
	struct level *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return error_no_memory(err, "a folder");
	l->parent = parent;
	l->ino = inode->ino;
	if (parent != NULL) {
		buf_put(&l->prefix, parent->prefix.data, parent->prefix.len);
		buf_put(&l->prefix, name, strlen(name) + 1);
	}
	int r = buf_failed(&l->prefix) ? error_no_memory(err, "a folder") : level_ranks(m, l, inode->lower, err);
	if (r < 0) {
		level_free(l);
		return r;
	}
	*ret_level = l;
	return 0;
}

static int put_pending(struct level *l, const char *name, uint64_t ino, struct error *err)
{
	buf_put_u64(&l->pending, ino);
	buf_put_u16(&l->pending, (uint16_t)strlen(name));
	buf_put(&l->pending, name, strlen(name) + 1);
	return buf_failed(&l->pending) ? error_no_memory(err, "the names of a folder") : 0;
}

/* Tells the base's entries before this name, and steps over the one that has it. */
static int pass_base(struct merge *m, struct level *l, const char *name, bool *ret_folder, struct error *err)
{
	struct buf tail = {0};
	uint64_t pos = 0, after = 0;
	int r = 0;

	*ret_folder = false;
	if (l->at >= l->own)
		return 0;
	buf_put_u8(&tail, 0);
	buf_put(&tail, name, strlen(name) + 1); /* no key lies between a name and that name with a 00 behind it */
	if (buf_failed(&tail))
		r = error_no_memory(err, "a name");
	if (r == 0)
		r = merge_rank(m, &l->from, tail.data, tail.len - 1, &pos, err);
	if (r == 0)
		r = merge_rank(m, &l->from, tail.data, tail.len, &after, err);
	if (r == 0)
		r = merge_range(m, l->at, pos, &l->from, &l->prefix, err);
	if (r == 0 && after > pos)
		r = merge_is_folder(m, pos, ret_folder, err);
	l->at = after;
	buf_release(&tail);
	return r;
}

static int get_inode(struct merge *m, uint64_t ino, struct index_inode *ret, struct error *err)
{
	int r = index_get(m->index, ino, ret, err);

	if (r == ERR_NOT_FOUND && ino < INDEX_NEW) {
		error_clear(err);
		r = index_alias(m->index, ino, &ino, err);
		if (r == 0)
			r = index_get(m->index, ino, ret, err);
	}
	if (r == ERR_NOT_FOUND) {
		error_clear(err);
		return error_set(err, ERR_CORRUPT, "the index has a name of an inode that it does not have");
	}
	return r;
}

/* False when the entry is left out, which is noted. */
static bool is_told(struct merge *m, const struct level *l, const char *name, const struct index_inode *inode)
{
	bool too_long = l->prefix.len + 1 + strlen(name) > ENTRY_KEY_MAX;
	bool open_new = (inode->flags & INDEX_OPEN_NEW) != 0;

	if (!too_long && !open_new)
		return true;
	char *path = merge_path(&l->prefix, name);
	feed_note(m->feed, path == NULL ? "?" : path,
		too_long ? "left out: its path is too long" : "left out: it was still being written", too_long);
	free(path);
	return false;
}

static int own_name(void *arg, const struct index_name *name, struct error *err)
{
	struct naming *n = arg;
	struct index_inode inode = INDEX_INODE_INIT;
	bool covers = false, enter = false;
	int r = pass_base(n->m, n->l, name->name, &covers, err);

	if (r == 0 && name->ino != INDEX_NONE) {
		r = get_inode(n->m, name->ino, &inode, err);
		if (r == 0 && is_told(n->m, n->l, name->name, &inode)) {
			r = merge_tell(n->m, &n->l->prefix, name->name, &inode, err);
			enter = S_ISDIR(inode.mode);
		}
	}
	if (r == 0 && (enter || covers))
		r = put_pending(n->l, name->name, enter ? name->ino : INDEX_NONE, err);
	index_inode_release(&inode);
	return r;
}

/* A folder's own entries come before everything below it. */
static int tell_own(struct merge *m, struct level *l, struct error *err)
{
	struct naming n = {.m = m, .l = l};
	int r = index_list_sorted(m->index, l->ino, own_name, &n, err);

	if (r == 0)
		r = merge_range(m, l->at, l->own, &l->from, &l->prefix, err);
	l->at = max_u64(l->at, l->own);
	return r;
}

/* Tells the base's subtrees before that of `name`, and steps over it. */
static int pass_subtree(struct merge *m, struct level *l, const char *name, struct error *err)
{
	struct buf below = {0};
	uint64_t first = 0;
	int r;

	if (l->at >= l->end)
		return 0;
	buf_put(&below, l->from.data, l->from.len);
	buf_put(&below, name, strlen(name));
	r = buf_failed(&below) ? error_no_memory(err, "a name") : merge_rank(m, &below, "\0", 1, &first, err);
	if (r == 0)
		r = merge_range(m, l->at, first, &l->from, &l->prefix, err);
	if (r == 0)
		r = merge_rank(m, &below, "\1", 1, &l->at, err);
	buf_release(&below);
	return r;
}

/* The next folder of the overlay in l; NULL: there is none left. What of the base stands before it is told. */
static int next_child(struct merge *m, struct level *l, struct level **ret_child, struct error *err)
{
	struct index_inode inode = INDEX_INODE_INIT;
	int r = 0;

	*ret_child = NULL;
	while (r == 0 && *ret_child == NULL && l->next < l->pending.len) {
		struct cursor c = cursor_of(l->pending.data + l->next, l->pending.len - l->next);
		uint64_t ino = cursor_u64(&c);
		size_t len = cursor_u16(&c);
		const char *name = (const char *)cursor_bytes(&c, len + 1);
		if (name == NULL)
			return error_set(err, ERR_BUG, "the names of a folder do not decode");
		l->next += 8 + 2 + len + 1;
		r = pass_subtree(m, l, name, err);
		if (r < 0 || ino == INDEX_NONE)
			continue;
		r = get_inode(m, ino, &inode, err);
		if (r == 0)
			r = level_new(m, l, name, &inode, ret_child, err);
	}
	index_inode_release(&inode);
	return r;
}

static int walk(struct merge *m, struct level *l, struct error *err)
{
	int r = tell_own(m, l, err);

	while (r == 0 && l != NULL) {
		struct level *child;
		r = next_child(m, l, &child, err);
		if (r == 0 && child != NULL) {
			l = child;
			r = tell_own(m, l, err);
		} else if (r == 0) {
			struct level *parent = l->parent;
			r = merge_range(m, l->at, l->end, &l->from, &l->prefix, err);
			level_free(l);
			l = parent;
		}
	}
	while (l != NULL) { /* after a failure */
		struct level *parent = l->parent;
		level_free(l);
		l = parent;
	}
	return r;
}

/* Nothing of the root was touched: all is the base's. */
static int tell_base(struct merge *m, struct error *err)
{
	static const struct buf none = {0};

	if (m->base == NULL)
		return error_set(err, ERR_CORRUPT, "the index has no root folder");
	int r = merge_root(m, NULL, err);
	return r < 0 ? r : merge_range(m, 0, m->base->root.entries, &none, &none, err);
}

static int tell_all(struct merge *m, struct error *err)
{
	struct index_inode root = INDEX_INODE_INIT;
	struct level *l = NULL;
	int r = index_get(m->index, INDEX_ROOT, &root, err);

	if (r == ERR_NOT_FOUND) {
		error_clear(err);
		return tell_base(m, err);
	}
	if (r == 0)
		r = merge_root(m, &root, err);
	if (r == 0)
		r = level_new(m, NULL, "", &root, &l, err);
	if (r == 0)
		r = walk(m, l, err);
	index_inode_release(&root);
	return r;
}

int merge_run(const struct merge_options *options, struct feed *f, struct merge_sums *ret_sums, struct error *err)
{
	const struct snapshot *base = options->frozen->base;
	struct merge m = {
		.o = options,
		.feed = f,
		.index = options->frozen->index,
		.base = base,
		.nodes = reader_nodes(options->reader),
		.next_group = base == NULL ? 1 : base->link_max + 1,
	};
	struct error local = ERROR_INIT; /* a NULL err would hide what is looked at on the way */

	if (base != NULL && base->root_sealed.len > 0)
		reader_seed_root(
			options->reader, &base->root, base->root_sealed.data, base->root_sealed.len, base->root_key);
	int r = tell_all(&m, err == NULL ? &local : err);
	if (r == 0)
		*ret_sums = m.sums;
	free(m.groups);
	return r;
}
