/* SPDX-License-Identifier: MIT */
#include "fs/epoch.h"

#include <stdlib.h>
#include <string.h>

#include "fs/nodeid.h"

enum { TAG_MAX = (int)((UINT32_C(1) << NODEID_TAG_BITS) - 1) };

const struct epoch *epoch_ref(const struct epoch *e)
{
	__atomic_add_fetch(&((struct epoch *)e)->refs, 1, __ATOMIC_RELAXED);
	return e;
}

/* All but the set, which is not its own until epoch_new() has succeeded. */
static void epoch_free(struct epoch *e)
{
	for (size_t i = 0; i < e->ghost_count; i++)
		snapshot_free(e->ghosts[i]);
	free(e->ghosts);
	free(e->datasets);
	free(e->by_tag);
	free(e);
}

void epoch_unref(const struct epoch *e)
{
	struct epoch *mine = (struct epoch *)e;
	if (mine == NULL || __atomic_sub_fetch(&mine->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	snapset_unref(mine->set);
	epoch_free(mine);
}

static int compare_name(const void *key, const void *row)
{
	return strcmp(key, ((const struct epoch_dataset *)row)->name);
}

const struct epoch_dataset *epoch_dataset(const struct epoch *e, const char *name)
{
	if (e->dataset_count == 0)
		return NULL;
	return bsearch(name, e->datasets, e->dataset_count, sizeof(*e->datasets), compare_name);
}

static int compare_tags(const void *a, const void *b)
{
	const struct epoch_dataset *x = *(struct epoch_dataset *const *)a, *y = *(struct epoch_dataset *const *)b;
	return x->tag < y->tag ? -1 : x->tag > y->tag;
}

const struct epoch_dataset *epoch_dataset_by_tag(const struct epoch *e, uint32_t tag)
{
	struct epoch_dataset wanted = {.tag = tag}, *key = &wanted;
	if (e->dataset_count == 0)
		return NULL;
	struct epoch_dataset *const *found =
		bsearch(&key, e->by_tag, e->dataset_count, sizeof(struct epoch_dataset *), compare_tags);
	return found != NULL ? *found : NULL;
}

const struct snapshot *epoch_snapshot(const struct epoch *e, uint32_t number)
{
	const struct snapshot *s = snapset_by_number(e->set, number);
	for (size_t i = e->ghost_count; s == NULL && i > 0; i--)
		if (e->ghosts[i - 1]->number == number)
			s = e->ghosts[i - 1];
	return s;
}

const struct snapshot *epoch_newest(const struct epoch *e, const struct epoch_dataset *d)
{
	return e->set->list[d->first + d->count - 1];
}

/* FNV-1a, folded to the bits of a tag; never 0. */
static uint32_t hash_name(const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (const char *p = name; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
	uint32_t tag = (uint32_t)(h ^ h >> 33) & TAG_MAX;
	return tag != 0 ? tag : 1;
}

static bool tag_taken(const struct epoch *e, uint32_t tag)
{
	for (size_t i = 0; i < e->dataset_count; i++)
		if (e->datasets[i].tag == tag)
			return true;
	return false;
}

/* A dataset that was shown keeps its tag; the others take the first that is free from their hash on. */
static void give_tags(struct epoch *e, const struct epoch *old)
{
	for (size_t i = 0; old != NULL && i < e->dataset_count; i++) {
		const struct epoch_dataset *before = epoch_dataset(old, e->datasets[i].name);
		e->datasets[i].tag = before != NULL ? before->tag : 0;
	}
	for (size_t i = 0; i < e->dataset_count; i++) {
		if (e->datasets[i].tag != 0)
			continue;
		uint32_t tag = hash_name(e->datasets[i].name);
		while (tag_taken(e, tag))
			tag = tag < TAG_MAX ? tag + 1 : 1;
		e->datasets[i].tag = tag;
	}
}

static int add_dataset(void *arg, const char *name)
{
	struct epoch *e = arg;
	struct epoch_dataset *d = &e->datasets[e->dataset_count];
	*d = (struct epoch_dataset){.name = name};
	if (snapset_dataset(e->set, name, &d->first, &d->count))
		e->dataset_count++;
	return 0;
}

static int count_one(void *arg, const char *name)
{
	(void)name;
	++*(size_t *)arg;
	return 0;
}

static bool list_datasets(struct epoch *e, const struct epoch *old)
{
	size_t count = 0;
	snapset_datasets(e->set, count_one, &count);
	e->datasets = calloc(count + 1, sizeof(*e->datasets));
	e->by_tag = calloc(count + 1, sizeof(struct epoch_dataset *));
	if (e->datasets == NULL || e->by_tag == NULL)
		return false;
	snapset_datasets(e->set, add_dataset, e);
	give_tags(e, old);
	for (size_t i = 0; i < e->dataset_count; i++)
		e->by_tag[i] = &e->datasets[i];
	qsort(e->by_tag, e->dataset_count, sizeof(struct epoch_dataset *), compare_tags);
	return true;
}

static bool add_ghost(struct epoch *e, const struct snapshot *s)
{
	/* Its number may have been drawn again, and its id may have come back to the list. */
	if (snapset_by_number(e->set, s->number) != NULL)
		return true;
	struct snapshot *copy = snapshot_copy(s);
	if (copy == NULL)
		return false;
	copy->number = s->number;
	if (e->ghost_count == EPOCH_GHOSTS_MAX) {
		snapshot_free(e->ghosts[0]);
		memmove(e->ghosts, e->ghosts + 1, (EPOCH_GHOSTS_MAX - 1) * sizeof(struct snapshot *));
		e->ghost_count--;
	}
	e->ghosts[e->ghost_count++] = copy;
	return true;
}

static bool list_ghosts(struct epoch *e, const struct epoch *old)
{
	if (old == NULL)
		return true;
	e->ghosts = calloc(EPOCH_GHOSTS_MAX, sizeof(struct snapshot *));
	if (e->ghosts == NULL)
		return false;
	for (size_t i = 0; i < old->ghost_count; i++)
		if (!add_ghost(e, old->ghosts[i]))
			return false;
	for (size_t i = 0; i < old->set->count; i++)
		if (snapset_by_id(e->set, &old->set->list[i]->id) == NULL && !add_ghost(e, old->set->list[i]))
			return false;
	return true;
}

int epoch_new(const struct snapset *set, const struct epoch *old, const struct epoch **ret_epoch, struct error *err)
{
	struct epoch *e = calloc(1, sizeof(*e));
	if (e == NULL)
		return error_no_memory(err, "the list of snapshots");
	e->refs = 1;
	e->set = set;
	if (!list_datasets(e, old) || !list_ghosts(e, old)) {
		epoch_free(e);
		return error_no_memory(err, "the list of snapshots");
	}
	*ret_epoch = e;
	return 0;
}
