/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "fs/spool/merge_impl.h"

static int fail(const struct merge *m, int code, struct error *err)
{
	return error_wrap(err, code, "reading the tree of '%s/%s'", m->base->dataset, m->base->name);
}

int merge_rank(struct merge *m, const struct buf *prefix, const void *tail, size_t tail_len, uint64_t *ret_rank,
	struct error *err)
{
	struct buf key = {0};

	buf_put(&key, prefix->data, prefix->len);
	buf_put(&key, tail, tail_len);
	int r = buf_failed(&key) ? error_no_memory(err, "the key of an entry")
				 : tree_rank(m->nodes, &m->base->root, key.data, key.len, ret_rank, err);
	buf_release(&key);
	return r < 0 ? fail(m, r, err) : 0;
}

static int add(struct merge *m, uint64_t bytes)
{
	if (!checked_add_u64(m->sums.bytes, bytes, &m->sums.bytes))
		m->sums.bytes = UINT64_MAX;
	return 0;
}

static int add_node(void *arg, const struct tree_root *node, const uint8_t *first_key, size_t first_key_len,
	bool *ret_taken, struct error *err)
{
	(void)first_key;
	(void)first_key_len;
	(void)err;
	*ret_taken = true;
	return add(arg, node->bytes);
}

static int add_entry(void *arg, const struct entry *entry, struct error *err)
{
	(void)err;
	return S_ISREG(entry->mode) ? add(arg, entry->size) : 0;
}

/* Adds up the bytes of a stretch by the sums that nodes carry. */
static int sum(struct merge *m, uint64_t first, uint64_t end, struct error *err)
{
	if (first == 0 && end == m->base->root.entries)
		return add(m, m->base->root.bytes);
	return tree_range(m->nodes, &m->base->root, first, end, add_node, add_entry, m, err);
}

int merge_range(
	struct merge *m, uint64_t first, uint64_t end, const struct buf *from, const struct buf *to, struct error *err)
{
	struct feed_rename rename = {.old_prefix_len = from->len, .new_prefix = to->data, .new_prefix_len = to->len};

	if (first >= end)
		return 0;
	int r = sum(m, first, end, err);
	if (r < 0)
		return fail(m, r, err);
	if (from->len == to->len && (to->len == 0 || memcmp(from->data, to->data, to->len) == 0))
		rename = (struct feed_rename){0};
	else
		m->sums.renamed += end - first;
	merge_progress(m->o);
	return feed_range(m->feed, first, end, &rename, err);
}

int merge_lower_prefix(struct merge *m, uint64_t lower, struct buf *prefix, struct error *err)
{
	const struct node *leaf;
	const struct entry *e;

	if (lower == INDEX_ROOT)
		return 0;
	int r = tree_at(m->nodes, &m->base->root, lower - 1, &leaf, &e, err);
	if (r < 0)
		return fail(m, r, err);
	if (!S_ISDIR(e->mode) || !entry_key_to_prefix(prefix, e->key, e->key_len))
		r = error_set(err, ERR_CORRUPT, "the index takes entry %llu of '%s/%s' for a folder",
			(unsigned long long)lower, m->base->dataset, m->base->name);
	else if (buf_failed(prefix))
		r = error_no_memory(err, "the key of a folder");
	m->nodes->put(m->nodes, leaf);
	return r;
}

int merge_is_folder(struct merge *m, uint64_t rank, bool *ret_folder, struct error *err)
{
	const struct node *leaf;
	const struct entry *e;
	int r = tree_at(m->nodes, &m->base->root, rank, &leaf, &e, err);

	if (r < 0)
		return fail(m, r, err);
	*ret_folder = S_ISDIR(e->mode);
	m->nodes->put(m->nodes, leaf);
	return 0;
}
