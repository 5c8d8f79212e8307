/* SPDX-License-Identifier: MIT */
#include "archive/snapset.h"

#include <stdlib.h>
#include <string.h>

#include "archive/snapset_internal.h"
#include "base/clock.h"

const struct snapset *snapset_ref(const struct snapset *set)
{
	__atomic_add_fetch(&((struct snapset *)set)->refs, 1, __ATOMIC_RELAXED);
	return set;
}

static void private_free(struct snapset_private *p)
{
	if (!p)
		return;
	id_list_release(&p->names.snapshots);
	id_list_release(&p->names.summaries);
	id_list_release(&p->names.marks);
	for (size_t i = 0; i < p->info_count; i++)
		id_list_release(&p->infos[i].covers);
	for (size_t i = 0; i < p->hidden_count; i++)
		snapshot_free(p->hidden[i]);
	for (size_t i = 0; i < p->mark_count; i++)
		mark_free(p->marks[i]);
	free(p->infos);
	free(p->hidden);
	free(p->marks);
	free(p->by_name);
	free(p->by_number);
	free(p->by_id);
	free(p);
}

void snapset_unref(const struct snapset *set)
{
	struct snapset *s = (struct snapset *)set;
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < s->count; i++)
		snapshot_free(s->list[i]);
	for (size_t i = 0; i < s->fault_count; i++)
		free(s->faults[i].reason);
	free(s->list);
	free(s->forgotten);
	free(s->voids);
	free(s->faults);
	private_free(s->priv);
	free(s);
}

/* Index of the first snapshot whose dataset is not less than (after: greater than) `dataset`. */
static size_t dataset_bound(const struct snapset *set, const char *dataset, bool after)
{
	size_t low = 0, high = set->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(set->list[middle]->dataset, dataset);
		if (order < 0 || (after && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool snapset_dataset(const struct snapset *set, const char *dataset, size_t *ret_first, size_t *ret_count)
{
	size_t first = dataset_bound(set, dataset, false), end = dataset_bound(set, dataset, true);
	if (first == end)
		return false;
	*ret_first = first;
	*ret_count = end - first;
	return true;
}

int snapset_datasets(const struct snapset *set, int (*fn)(void *arg, const char *dataset), void *arg)
{
	for (size_t i = 0; i < set->count; i = dataset_bound(set, set->list[i]->dataset, true)) {
		int rc = fn(arg, set->list[i]->dataset);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Index just behind the newest of the run that is not later than `moment`. */
static size_t behind_moment(const struct snapset *set, size_t first, size_t count, int64_t moment)
{
	size_t low = first, high = first + count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (set->list[middle]->time <= moment)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct snapshot *find_name(const struct snapset *set, const char *dataset, const char *name)
{
	size_t low = 0, high = set->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct snapshot *s = set->priv->by_name[middle];
		int order = strcmp(s->dataset, dataset);
		if (order == 0)
			order = strcmp(s->name, name);
		if (order == 0)
			return s;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* "20240115T143041Z", and the same with ".partial": its second and, with its colons again, as a name. */
static bool parse_compact(const char *name, int64_t *ret_first, int64_t *ret_last, char ret_name[static CLOCK_TEXT_MAX])
{
	enum { COMPACT_LEN = 16 };
	char text[COMPACT_LEN + 1];
	if (strlen(name) < COMPACT_LEN || name[8] != 'T' || name[15] != 'Z')
		return false;
	for (unsigned i = 0; i < 15; i++)
		if (i != 8 && (name[i] < '0' || name[i] > '9'))
			return false;
	memcpy(text, name, COMPACT_LEN);
	text[COMPACT_LEN] = '\0';
	name += COMPACT_LEN;
	if ((*name != '\0' && strcmp(name, ".partial") != 0) || !clock_parse(text, ret_first, ret_last))
		return false;
	clock_second_name(*ret_first, ret_name);
	strcat(ret_name, name);
	return true;
}

/* Who carries these very digits as a name comes before another of the same second, whose name is the minute. */
static const struct snapshot *find_compact(const struct snapset *set, const char *dataset, const char *name)
{
	int64_t begin = 0, end = 0;
	size_t first = 0, count = 0;
	char spelled[CLOCK_TEXT_MAX];
	if (!parse_compact(name, &begin, &end, spelled) || !snapset_dataset(set, dataset, &first, &count))
		return NULL;
	const struct snapshot *named = find_name(set, dataset, spelled);
	bool partial = strchr(spelled, '.') != NULL;
	for (size_t i = behind_moment(set, first, count, begin > INT64_MIN ? begin - 1 : begin);
		!named && i < first + count; i++) {
		const struct snapshot *s = set->list[i];
		if (s->time > end)
			break;
		if ((s->stated_state == SNAPSHOT_PARTIAL) == partial)
			named = s;
	}
	return named;
}

const struct snapshot *snapset_named(const struct snapset *set, const char *dataset, const char *name)
{
	const struct snapshot *s = find_name(set, dataset, name);
	return s ? s : find_compact(set, dataset, name);
}

static bool is_good(const struct snapshot *s)
{
	return s->state != SNAPSHOT_PARTIAL && s->state != SNAPSHOT_DAMAGED && s->stated_state != SNAPSHOT_PARTIAL;
}

const struct snapshot *snapset_latest(const struct snapset *set, const char *dataset, unsigned back)
{
	size_t first = 0, count = 0;
	if (!snapset_dataset(set, dataset, &first, &count))
		return NULL;
	for (size_t i = first + count; i > first; i--)
		if (is_good(set->list[i - 1]) && back-- == 0)
			return set->list[i - 1];
	return NULL;
}

const struct snapshot *snapset_at(const struct snapset *set, const char *dataset, int64_t moment)
{
	size_t first = 0, count = 0;
	if (!snapset_dataset(set, dataset, &first, &count))
		return NULL;
	for (size_t i = behind_moment(set, first, count, moment); i > first; i--)
		if (is_good(set->list[i - 1]))
			return set->list[i - 1];
	return NULL;
}

const struct snapshot *snapset_by_number(const struct snapset *set, uint32_t number)
{
	size_t low = 0, high = set->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct snapshot *s = set->priv->by_number[middle];
		if (s->number == number)
			return s;
		if (s->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct snapshot *snapset_by_id(const struct snapset *set, const struct id *id)
{
	size_t low = 0, high = set->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct snapshot *s = set->priv->by_id[middle];
		int order = id_compare(&s->id, id);
		if (order == 0)
			return s;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct snapshot *snapset_newest_of(const struct snapset *set, const struct id *slot)
{
	const struct snapshot *newest = NULL;
	size_t all = set->count + set->priv->hidden_count;
	for (size_t i = 0; i < all; i++) {
		const struct snapshot *s = i < set->count ? set->list[i] : set->priv->hidden[i - set->count];
		if (id_equal(&s->slot, slot) && (!newest || s->seq > newest->seq))
			newest = s;
	}
	return newest;
}

/* Notes one statement's sequence in a short, unsorted list. False without memory. */
static bool note_seen(struct snapshot_seen **seen, unsigned *count, const struct snapshot *s)
{
	for (unsigned i = 0; i < *count; i++) {
		struct snapshot_seen *one = &(*seen)[i];
		if (!id_equal(&one->slot, &s->slot))
			continue;
		one->seq = s->seq > one->seq ? s->seq : one->seq;
		return true;
	}
	struct snapshot_seen *more = reallocarray(*seen, *count + 1, sizeof(*more));
	if (!more)
		return false;
	*seen = more;
	more[(*count)++] = (struct snapshot_seen){.slot = s->slot, .seq = s->seq};
	return true;
}

int snapset_seen(const struct snapset *set, struct snapshot_seen **ret_seen, unsigned *ret_count, struct error *err)
{
	struct snapshot_seen *seen = NULL;
	unsigned count = 0;
	size_t all = set->count + set->priv->hidden_count;
	for (size_t i = 0; i < all; i++) {
		if (note_seen(&seen, &count, i < set->count ? set->list[i] : set->priv->hidden[i - set->count]))
			continue;
		free(seen);
		return error_no_memory(err, "the snapshots' sequence numbers");
	}
	*ret_seen = seen;
	*ret_count = count;
	return 0;
}
