/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/feed_impl.h"

/* ---- the walker ---- */

/* Notes that the base's entries of these ranks stay where they are. */
static int add_span(struct feed *f, uint64_t first, uint64_t end, struct error *err)
{
	struct span *last = f->span_count == 0 ? NULL : &f->spans[f->span_count - 1];

	if (last != NULL && first < last->end)
		return error_set(err, ERR_BUG, "stretches of the base were told out of order");
	if (last != NULL && first == last->end) {
		last->end = end;
		return 0;
	}
	if (f->spans == NULL || f->span_count == f->span_cap) {
		size_t cap = f->span_cap == 0 ? 16 : f->span_cap * 2;
		struct span *bigger = reallocarray(f->spans, cap, sizeof(*bigger));
		if (bigger == NULL)
			return error_no_memory(err, "a list of stretches");
		f->spans = bigger;
		f->span_cap = cap;
	}
	f->spans[f->span_count++] = (struct span){.first = first, .end = end};
	return 0;
}

static bool is_rename(const struct feed_rename *rename)
{
	return rename != NULL && (rename->old_prefix_len > 0 || rename->new_prefix_len > 0);
}

static int check_range(const struct feed *f, uint64_t first, uint64_t end, struct error *err)
{
	const struct snapshot *base = f->b->parent;

	if (!f->rooted)
		return error_set(err, ERR_BUG, "the root folder must be told first");
	if (base == NULL || f->b->reader == NULL || first > end || end > base->root.entries)
		return error_set(err, ERR_BUG, "a stretch was told that the base has not");
	return 0;
}

int feed_range(struct feed *f, uint64_t first, uint64_t end, const struct feed_rename *rename, struct error *err)
{
	int r = check_range(f, first, end, err);

	if (r < 0 || first == end)
		return r;
	r = is_rename(rename) ? dump_meet_move(f, first, end, rename, err) : add_span(f, first, end, err);
	if (r < 0)
		return r;
	struct item *item = item_new();
	struct told *told = item == NULL ? NULL : calloc(1, sizeof(*told));
	if (told == NULL) {
		item_free(f->b, item);
		return error_no_memory(err, "a stretch of the base");
	}
	item->told = told;
	*told = (struct told){.is_range = true, .first = first, .end = end, .renamed = is_rename(rename)};
	if (told->renamed) {
		told->old_prefix_len = rename->old_prefix_len;
		buf_put(&told->new_prefix, rename->new_prefix, rename->new_prefix_len);
	}
	if (!buf_failed(&told->new_prefix))
		return queue_put(f->b, item);
	item_free(f->b, item);
	return error_no_memory(err, "a stretch of the base");
}

/* ---- the caller's thread, which has the builder ---- */

struct taking {
	struct backup *b;
	const struct told *told;
	struct buf key;
	unsigned steps;
};

/* A run that was stopped does not go on through a million entries. */
static int stopped(struct taking *t, struct error *err)
{
	if (++t->steps % 256 != 0 || !backup_stopped(t->b))
		return 0;
	return error_set(err, ERR_CANCELLED, "stopped on request");
}

static int take_node(void *arg, const struct tree_root *node, const uint8_t *first_key, size_t first_key_len,
	bool *ret_taken, struct error *err)
{
	struct taking *t = arg;
	const struct session *s = t->b->session;
	int r = stopped(t, err);

	*ret_taken = false;
	for (unsigned d = 0; r == 0 && d <= node->ref.depth; d++)
		if (session_pack_banned(s, &node->ref.chain[d].pack))
			return 0;
	return r < 0 ? r : tree_builder_add_subtree(t->b->builder, node, first_key, first_key_len, ret_taken, err);
}

/* An entry some of whose chunks are condemned: they are stored anew. */
static int add_rescued(struct taking *t, const struct entry *entry, struct error *err)
{
	struct backup *b = t->b;
	struct item *item = item_new();
	struct told told = {.taken = true};
	int r = item == NULL ? error_no_memory(err, "an entry") : 0;

	if (r == 0) {
		item->entry = *entry;
		item->entry.xattr_ref = EXTENT_HOLE;
		item->told = &told;
		r = item_copy_content(item, entry, err);
		buf_put(&item->key, entry->key, entry->key_len);
		buf_put(&item->target, entry->target, entry->target_len);
		if (r == 0 && (buf_failed(&item->key) || buf_failed(&item->target)))
			r = error_no_memory(err, "an entry");
		item->entry.link_group = entry->link_group;
	}
	if (r == 0)
		r = feed_allow(b, item, err);
	if (r == 0) {
		item_seal(item);
		r = tree_builder_add(b->builder, &item->entry, err);
	}
	if (item != NULL)
		item->told = NULL;
	item_free(b, item);
	return r;
}

/* Under its new name nothing can name it. It is told; what lies below it follows, as its path is longer still. */
static int leave_out(struct taking *t, struct error *err)
{
	struct buf path = {0};

	entry_key_to_path(&path, t->key.data, t->key.len);
	buf_put_u8(&path, 0);
	int r = buf_failed(&path) ? error_no_memory(err, "a path") : 0;
	if (r == 0)
		walk_warn(t->b, (const char *)path.data, "left out: its path is too long");
	buf_release(&path);
	return r;
}

static int add_entry(void *arg, const struct entry *entry, struct error *err)
{
	struct taking *t = arg;
	struct entry own = *entry;
	int r = stopped(t, err);

	if (r == 0 && t->told->renamed) {
		if (own.key_len < t->told->old_prefix_len)
			return error_set(err, ERR_BUG, "a stretch of the base has keys without the prefix to replace");
		buf_clear(&t->key);
		buf_put(&t->key, t->told->new_prefix.data, t->told->new_prefix.len);
		buf_put(&t->key, own.key + t->told->old_prefix_len, own.key_len - t->told->old_prefix_len);
		if (buf_failed(&t->key))
			return error_no_memory(err, "a key");
		if (t->key.len > ENTRY_KEY_MAX)
			return leave_out(t, err);
		own.key = t->key.data;
		own.key_len = t->key.len;
		t->b->result->others += !S_ISDIR(own.mode) && !S_ISREG(own.mode) ? 1 : 0;
	}
	if (r < 0)
		return r;
	return feed_allowed(t->b, &own) ? tree_builder_add(t->b->builder, &own, err) : add_rescued(t, &own, err);
}

int feed_build_range(struct backup *b, const struct told *told, struct error *err)
{
	struct taking t = {.b = b, .told = told};
	bool whole = b->feed->whole && !told->renamed;
	int r = tree_range(reader_nodes(b->reader), &b->parent->root, told->first, told->end, whole ? take_node : NULL,
		add_entry, &t, err);

	buf_release(&t.key);
	return r;
}

/* ---- what is neither file nor folder ---- */

static int count_other(void *arg, const struct entry *entry, struct error *err)
{
	uint64_t *count = arg;

	(void)err;
	*count += !S_ISDIR(entry->mode) && !S_ISREG(entry->mode) ? 1 : 0;
	return 0;
}

static int count_in(const struct feed *f, uint64_t first, uint64_t end, uint64_t *count, struct error *err)
{
	return tree_range(reader_nodes(f->b->reader), &f->b->parent->root, first, end, NULL, count_other, count, err);
}

/* The base says how many it has: counted are those that stay, or those that do not, whichever is less to read. */
int feed_count_others(const struct feed *f, uint64_t *ret_count, struct error *err)
{
	const struct snapshot *base = f->b->parent;
	uint64_t stay = 0, count = 0, at = 0;
	int r = 0;

	*ret_count = 0;
	if (base == NULL || base->others == 0 || f->span_count == 0)
		return 0;
	for (size_t i = 0; i < f->span_count; i++)
		stay += f->spans[i].end - f->spans[i].first;
	bool gaps = stay > base->root.entries / 2;
	for (size_t i = 0; r == 0 && i < f->span_count; i++) {
		const struct span *s = &f->spans[i];
		r = gaps ? count_in(f, at, s->first, &count, err) : count_in(f, s->first, s->end, &count, err);
		at = s->end;
	}
	if (r == 0 && gaps)
		r = count_in(f, at, base->root.entries, &count, err);
	*ret_count = gaps ? base->others - min_u64(base->others, count) : count;
	return r;
}
