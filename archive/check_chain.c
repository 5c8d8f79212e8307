/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/id_list.h"
#include "archive/snapset_internal.h"

enum { NUMBERS_MAX = 64 };

static int compare_chain(const void *a, const void *b)
{
	const struct snapshot *x = *(const struct snapshot *const *)a, *y = *(const struct snapshot *const *)b;
	int order = id_compare(&x->slot, &y->slot);
	return order != 0 ? order : x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void name_of(const struct snapshot *s, char dst[static FORMAT_NAME_MAX])
{
	object_name(KIND_SNAPSHOT, 0, &s->id, dst);
}

/* Snapshots with a forget mark whose statement is gone: so many gaps are explained. */
static uint64_t count_gone(const struct snapset *set, const struct id_list *ids)
{
	uint64_t gone = 0;
	for (size_t i = 0; i < set->forgotten_count; i++) {
		bool doubled = i > 0 && id_equal(&set->forgotten[i - 1], &set->forgotten[i]);
		gone += doubled || id_list_has(ids, &set->forgotten[i]) ? 0 : 1;
	}
	return gone;
}

/* A number whose object is there and does not open is missed for that reason, which is told beside it. */
static const char *perhaps_unread(const struct check *c)
{
	return c->set->fault_count > 0 ? "; or it is one of those that do not open" : "";
}

/* "snapshot number 3" or "snapshots number 3 to 5". */
static void number_text(uint64_t from, uint64_t to, char dst[static NUMBERS_MAX])
{
	if (from == to)
		snprintf(dst, NUMBERS_MAX, "snapshot number %llu", (unsigned long long)from);
	else
		snprintf(dst, NUMBERS_MAX, "snapshots number %llu to %llu", (unsigned long long)from,
			(unsigned long long)to);
}

/* `s` is what shows that they must have been there; `how`: by what. */
static void tell_missing(
	struct check *c, const struct snapshot *s, const struct id *slot, uint64_t from, uint64_t to, const char *how)
{
	char name[FORMAT_NAME_MAX], hex[ID_HEX_MAX], numbers[NUMBERS_MAX];
	name_of(s, name);
	id_hex(slot, hex);
	number_text(from, to, numbers);
	check_tell(c, CHECK_ERROR, name,
		"of the key slot '%.8s', %s, %s, %s missing, and no forget mark says why: someone deleted from the "
		"store, or put an older state of it back%s; bring 'snapshots/' and 'wraps/' back from a copy, and see "
		"who may delete there",
		hex, numbers, how, from == to ? "is" : "are", perhaps_unread(c));
}

/* Is one of the slot's statements that bear the number before it the one that it names? */
static bool follows(const struct snapshot *const *all, size_t at)
{
	const struct snapshot *s = all[at];
	while (at-- > 0 && id_equal(&all[at]->slot, &s->slot) && all[at]->seq + 1 >= s->seq)
		if (all[at]->seq + 1 == s->seq && id_equal(&s->previous, &all[at]->statement_hash))
			return true;
	return false;
}

static void tell_other(struct check *c, const struct snapshot *s, const char *name)
{
	char slot[ID_HEX_MAX];
	id_hex(&s->slot, slot);
	check_tell(c, CHECK_ERROR, name,
		"it names another snapshot number %llu of the key slot '%.8s' before it than the one that is there: an "
		"older state of the store was put back and written on, or someone deleted the other one%s; bring "
		"'snapshots/' and 'wraps/' back from a copy, and see who may write there",
		(unsigned long long)(s->seq - 1), slot, perhaps_unread(c));
}

/* One of the ordered list, in view of what stands before it. Two hosts with one key may draw one number at a time. */
static void check_step(struct check *c, const struct snapshot *const *all, size_t at, uint64_t *gone)
{
	const struct snapshot *s = all[at];
	char name[FORMAT_NAME_MAX];
	bool first = at == 0 || !id_equal(&all[at - 1]->slot, &s->slot);
	uint64_t last = first ? 0 : all[at - 1]->seq;
	name_of(s, name);
	if (s->seq > last + 1) {
		uint64_t missing = s->seq - last - 1;
		if (missing > *gone)
			tell_missing(c, s, &s->slot, last + 1, s->seq - 1, "written before it");
		*gone -= missing > *gone ? *gone : missing;
	} else if (s->seq > 1 && !follows(all, at)) {
		/* Of two that drew one number, the one it names may be forgotten, and its statement gone. */
		if (*gone > 0)
			--*gone;
		else
			tell_other(c, s, name);
	}
}

/* The highest number that is there of a slot; 0: none. */
static uint64_t highest(const struct snapshot *const *all, size_t count, const struct id *slot)
{
	uint64_t seq = 0;
	for (size_t i = 0; i < count; i++)
		if (id_equal(&all[i]->slot, slot) && all[i]->seq > seq)
			seq = all[i]->seq;
	return seq;
}

/* Takes in what a writer had seen of a slot. False when that was known, or more. */
static bool add_seen(struct snapshot_seen **seen, unsigned *count, const struct snapshot_seen *s)
{
	unsigned i = 0;
	while (i < *count && !id_equal(&(*seen)[i].slot, &s->slot))
		i++;
	if (i < *count && (*seen)[i].seq >= s->seq)
		return false;
	if (i == *count) {
		struct snapshot_seen *more = reallocarray(*seen, *count + 1, sizeof(*more));
		if (!more)
			return false;
		*seen = more;
		(*count)++;
	}
	(*seen)[i] = *s;
	return true;
}

/*
 * Who is revoked may have written on until all had heard of it. What it wrote then does not count, stands there all the
 * same, and is told where it stands.
 */
static bool is_revoked(const struct check *c, const struct id *slot, uint64_t missing)
{
	if (missing > c->set->fault_count)
		return false;
	for (size_t i = 0; i < c->set->priv->mark_count; i++)
		if (c->set->priv->marks[i]->kind == MARK_REVOKED && id_equal(&c->set->priv->marks[i]->subject, slot))
			return true;
	return false;
}

static void check_one_seen(struct check *c, const struct snapshot *by, const struct snapshot_seen *s, uint64_t there)
{
	char name[FORMAT_NAME_MAX], slot[ID_HEX_MAX], numbers[NUMBERS_MAX];
	if (!is_revoked(c, &s->slot, s->seq - there)) {
		tell_missing(c, by, &s->slot, there + 1, s->seq, "seen by its writer");
		return;
	}
	name_of(by, name);
	id_hex(&s->slot, slot);
	number_text(there + 1, s->seq, numbers);
	check_tell(c, CHECK_WARNING, name,
		"its writer saw %s of the key slot '%.8s', which was revoked since: that does not count", numbers,
		slot);
}

/* What each snapshot's writer had seen of other slots must be there. */
static void check_seen_numbers(struct check *c, const struct snapshot *const *all, size_t count, uint64_t gone)
{
	struct snapshot_seen *seen = NULL;
	unsigned seen_count = 0;
	for (size_t i = 0; i < count; i++) {
		for (unsigned k = 0; k < all[i]->seen_count; k++) {
			const struct snapshot_seen *s = &all[i]->seen[k];
			if (!add_seen(&seen, &seen_count, s))
				continue;
			uint64_t there = highest(all, count, &s->slot);
			if (s->seq > there + gone)
				check_one_seen(c, all[i], s, there);
		}
	}
	free(seen);
}

/* What it was built beside must be there too, or be forgotten. */
static void check_parent(struct check *c, const struct snapshot *s, const struct id_list *ids)
{
	const struct id_list forgotten = {.ids = c->set->forgotten, .count = c->set->forgotten_count};
	char name[FORMAT_NAME_MAX], parent[ID_HEX_MAX];
	if (id_is_zero(&s->parent) || id_list_has(ids, &s->parent) || id_list_has(&forgotten, &s->parent))
		return;
	name_of(s, name);
	id_hex(&s->parent, parent);
	check_tell(c, CHECK_WARNING, name,
		"the snapshot that it was built beside, 'snapshots/%s', is not there and no mark forgets it", parent);
}

/* All statements, forgotten ones among them, and their ids. */
static const struct snapshot **gather(const struct snapset *set, struct id_list *ids, size_t *ret_count)
{
	size_t count = 0;
	const struct snapshot **all = calloc(set->count + set->priv->hidden_count + 1, sizeof(*all));
	bool ok = all != NULL;
	for (size_t i = 0; ok && i < set->count; i++)
		all[count++] = set->list[i];
	for (size_t i = 0; ok && i < set->priv->hidden_count; i++)
		all[count++] = set->priv->hidden[i];
	for (size_t i = 0; ok && i < count; i++)
		ok = id_list_add(ids, &all[i]->id);
	if (!ok) {
		free(all);
		return NULL;
	}
	id_list_sort(ids);
	qsort(all, count, sizeof(*all), compare_chain);
	*ret_count = count;
	return all;
}

/* What this host saw of the repository before, and is there no more. */
static void check_host_saw(struct check *c)
{
	struct seen *seen = c->options->seen;
	seen_look(seen, c->set);
	for (size_t i = 0; seen && i < seen->count; i++) {
		char name[FORMAT_NAME_MAX], text[SEEN_TEXT_MAX];
		if (!seen->rows[i].lost)
			continue;
		object_name(KIND_SNAPSHOT, 0, &seen->rows[i].snapshot, name);
		seen_text(seen, &seen->rows[i], text);
		check_tell(c, CHECK_ERROR, name, "%s", text);
	}
}

int check_chain(struct check *c, struct error *err)
{
	size_t count = 0;
	struct id_list ids = {0};
	const struct snapshot **all = gather(c->set, &ids, &count);
	if (all) {
		uint64_t gone = count_gone(c->set, &ids), left = gone;
		for (size_t i = 0; i < count; i++)
			check_step(c, all, i, &left);
		for (size_t i = 0; i < c->set->count; i++)
			check_parent(c, c->set->list[i], &ids);
		check_seen_numbers(c, all, count, gone);
		check_host_saw(c);
	}
	free(all);
	id_list_release(&ids);
	return all ? 0 : error_no_memory(err, "the snapshots");
}
