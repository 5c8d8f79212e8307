/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/restore_impl.h"

bool restore_begins(const uint8_t *key, size_t key_len, const struct buf *prefix)
{
	return key_len >= prefix->len && (prefix->len == 0 || memcmp(key, prefix->data, prefix->len) == 0);
}

static size_t prefix_of(const struct entry *entry)
{
	size_t prefix_len = 0, name_len;
	const uint8_t *name;
	entry_key_split(entry->key, entry->key_len, &prefix_len, &name, &name_len);
	return prefix_len;
}

const uint8_t *restore_name(const struct entry *entry, size_t *ret_len)
{
	size_t prefix_len = prefix_of(entry);
	*ret_len = entry->key_len - prefix_len - 1;
	return entry->key + prefix_len + 1;
}

/* Steps behind everything that begins with a prefix, which ends in 00: to the first key from prefix-with-01 on. */
static int pass_over(struct tree_cursor *c, const uint8_t *prefix, size_t len, struct error *err)
{
	struct buf behind = {0};
	buf_put(&behind, prefix, len);
	if (buf_failed(&behind))
		return error_no_memory(err, "a path");
	behind.data[len - 1] = 1;
	int status = tree_cursor_seek(c, behind.data, behind.len, err);
	buf_release(&behind);
	return status;
}

/* One entry, in its folder. *ret_skip: the cursor is to pass over that folder. */
static int visit(struct restore *r, const struct restore_pass *pass, const struct tree_cursor *c, struct buf *current,
	bool *inside, bool *ret_skip, struct error *err)
{
	const struct entry *e = tree_cursor_entry(c);
	size_t prefix_len = prefix_of(e);
	int status = 0;
	*ret_skip = false;
	if (!*inside || current->len != prefix_len || memcmp(current->data, e->key, prefix_len) != 0) {
		buf_clear(current);
		buf_put(current, e->key, prefix_len);
		if (buf_failed(current))
			return error_no_memory(err, "a path");
		*inside = true;
		status = pass->enter(r, e->key, prefix_len, ret_skip, err);
	}
	return status == 0 && !*ret_skip ? pass->entry(r, e, tree_cursor_rank(c), err) : status;
}

/*
 * A part of the tree from `rank` on cannot be read. Places the cursor at the first entry behind it that can: what lies
 * there need not be lost with it. Nodes mostly hold some hundred entries, so steps are short at first.
 */
static int pass_damage(struct tree_cursor *c, uint64_t rank, uint64_t entries, uint64_t *ret_good, struct error *err)
{
	enum { SHORT_STEP = 256, SHORT_STEPS = 100 };
	uint64_t bad = rank, good = entries, step = 1;
	for (unsigned tries = 0; bad + step < entries; tries++) {
		error_clear(err);
		int status = tree_cursor_seek_rank(c, bad + step, err);
		if (status == 0) {
			good = bad + step;
			break;
		}
		if (!restore_is_damage(status))
			return status;
		bad += step;
		if (step < SHORT_STEP || tries > SHORT_STEPS)
			step *= 2;
	}
	while (good > bad + 1) {
		uint64_t mid = bad + (good - bad) / 2;
		error_clear(err);
		int status = tree_cursor_seek_rank(c, mid, err);
		if (status != 0 && !restore_is_damage(status))
			return status;
		if (status == 0)
			good = mid;
		else
			bad = mid;
	}
	error_clear(err);
	*ret_good = good;
	return tree_cursor_seek_rank(c, good, err);
}

/* Goes on behind the damage that begins at `rank` and of which `why` tells. Status as of a step: ERR_NOT_FOUND at the
 * end. */
static int step_over(
	struct restore *r, const struct restore_pass *pass, struct tree_cursor *c, uint64_t rank, struct error *why)
{
	uint64_t good = rank;
	struct error step = ERROR_INIT;
	int status = pass_damage(c, rank, r->snapshot->root.entries, &good, &step);
	if (!pass->quiet && (status == 0 || status == ERR_NOT_FOUND))
		restore_lose_stretch(r, good - rank, why);
	if (status != 0)
		*why = step;
	return status;
}

static int next_entry(struct restore *r, const struct restore_pass *pass, struct tree_cursor *c, const struct buf *skip,
	struct error *err)
{
	int status = skip ? pass_over(c, skip->data, skip->len, err) : tree_cursor_next(c, err);
	/* A node that is missing is ERR_CORRUPT: this is the end. */
	if (status == ERR_NOT_FOUND || skip || !restore_is_damage(status))
		return status;
	return step_over(r, pass, c, tree_cursor_rank(c) + 1, err);
}

/* A cursor at the first entry of what is restored, or the first behind it that can be read; without entry: the end. */
static int first_entry(
	struct restore *r, const struct restore_pass *pass, struct tree_cursor **ret_cursor, struct error *err)
{
	struct error why = ERROR_INIT;
	int status = tree_cursor_new_nowhere(r->nodes, &r->snapshot->root, ret_cursor, err);
	if (status != 0)
		return status;
	status = tree_cursor_seek(*ret_cursor, r->base.data, r->base.len, &why);
	/* A root that is the only leaf has nothing behind it. */
	if (status != ERR_NOT_FOUND && restore_is_damage(status) && r->snapshot->root.level > 0)
		status = step_over(r, pass, *ret_cursor, tree_cursor_rank(*ret_cursor), &why);
	if (status == ERR_NOT_FOUND)
		return 0;
	if (status != 0 && err)
		*err = why;
	return status;
}

int restore_walk(struct restore *r, const struct restore_pass *pass, struct error *err)
{
	struct tree_cursor *c = NULL;
	struct buf current = {0};
	struct error end = ERROR_INIT;
	bool inside = false, skip = false;
	if (r->snapshot->root.entries == 0)
		return 0;
	buf_put_u8(&current, 0); /* never NULL from here on, for memcmp */
	int status = first_entry(r, pass, &c, err);
	while (status == 0) {
		const struct entry *e = tree_cursor_entry(c);
		if (!e || !restore_begins(e->key, e->key_len, &r->base))
			break;
		status = restore_stopped(r);
		if (status == 0)
			status = visit(r, pass, c, &current, &inside, &skip, err);
		if (status != 0)
			break;
		/* The root's prefix is empty: what follows it is nothing. */
		if (skip && current.len == 0)
			break;
		error_clear(&end);
		int step = next_entry(r, pass, c, skip ? &current : NULL, &end);
		if (step == ERR_NOT_FOUND)
			break;
		if (step != 0 && err)
			*err = end;
		status = step;
	}
	tree_cursor_free(c);
	buf_release(&current);
	return status;
}

int rank_list_add(struct rank_list *l, uint64_t rank, struct error *err)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		uint64_t *more = reallocarray(l->list, cap, sizeof(*more));
		if (!more)
			return error_no_memory(err, "the list of folders");
		l->list = more;
		l->cap = cap;
	}
	l->list[l->count++] = rank;
	return 0;
}

static struct link_place *place_of(const struct link_map *m, uint64_t group)
{
	size_t at = (size_t)(group * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (m->slots - 1);
	while (m->places[at].rank1 != 0 && m->places[at].group != group)
		at = (at + 1) & (m->slots - 1);
	return &m->places[at];
}

static int link_map_grow(struct link_map *m, struct error *err)
{
	struct link_map bigger = {.slots = m->slots ? m->slots * 2 : 256, .count = m->count};
	bigger.places = calloc(bigger.slots, sizeof(*bigger.places));
	if (!bigger.places)
		return error_no_memory(err, "the list of hard links");
	for (size_t i = 0; i < m->slots; i++)
		if (m->places[i].rank1 != 0)
			*place_of(&bigger, m->places[i].group) = m->places[i];
	free(m->places);
	*m = bigger;
	return 0;
}

int link_map_meet(
	struct link_map *m, uint64_t group, uint64_t rank, bool *ret_known, uint64_t *ret_first, struct error *err)
{
	if (m->count * 2 >= m->slots) {
		int status = link_map_grow(m, err);
		if (status != 0)
			return status;
	}
	struct link_place *p = place_of(m, group);
	*ret_known = p->rank1 != 0;
	if (*ret_known) {
		*ret_first = p->rank1 - 1;
	} else {
		*p = (struct link_place){group, rank + 1};
		m->count++;
	}
	return 0;
}

void link_map_release(struct link_map *m)
{
	free(m->places);
	*m = (struct link_map){0};
}
