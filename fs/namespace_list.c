/* SPDX-License-Identifier: MIT */
/* Listings of the virtual folders. What can be any time is looked up, never listed; so is .drfs. */
#include <stdlib.h>
#include <string.h>

#include "fs/namespace_impl.h"

void namespace_listing_free(struct namespace_listing *listing)
{
	if (listing == NULL)
		return;
	free(listing->items);
	buf_release(&listing->names);
	free(listing);
}

static bool grow(struct namespace_listing *l)
{
	if (l->count < l->cap)
		return true;
	size_t cap = l->cap < 16 ? 16 : l->cap * 2;
	struct namespace_item *more = reallocarray(l->items, cap, sizeof(*more));
	if (more == NULL)
		return false;
	l->items = more;
	l->cap = cap;
	return true;
}

/* One more name, in two parts; without memory the buffer of names has failed. */
static void add(struct namespace_listing *l, const char *name, const char *more, mode_t type, struct nodeid node)
{
	if (!grow(l)) {
		l->names.failed = true;
		return;
	}
	l->items[l->count++] = (struct namespace_item){.id = nodeid_make(&node), .name = l->names.len, .type = type};
	buf_put(&l->names, name, strlen(name));
	buf_put(&l->names, more, strlen(more) + 1);
}

static void list_root(struct namespace *ns, const struct epoch *e, struct namespace_listing *l)
{
	add(l, "at", "", S_IFDIR, (struct nodeid){.kind = NODEID_POINTS});
	if (ns->spool != NULL)
		add(l, "spool", "", S_IFDIR, (struct nodeid){.kind = NODEID_SPOOL});
	for (size_t i = 0; i < e->dataset_count; i++)
		add(l, e->datasets[i].name, "", S_IFDIR,
			(struct nodeid){.kind = NODEID_DATASET, .tag = e->datasets[i].tag});
}

struct ending_add {
	struct namespace_listing *listing;
	uint32_t number;
};

static bool add_ending(void *arg, const char *ending, uint32_t rank)
{
	struct ending_add *to = arg;
	if (strlen("latest.") + strlen(ending) <= ENTRY_NAME_MAX)
		add(to->listing, "latest.", ending, S_IFLNK,
			(struct nodeid){.kind = NODEID_ENDING_LINK, .number = to->number, .rank = rank});
	return true;
}

/* A newest snapshot that cannot be read must not hide the others: then only its endings are missing. */
static void list_endings(struct namespace *ns, const struct snapshot *s, struct namespace_listing *l)
{
	struct ending_add to = {.listing = l, .number = s->number};
	struct error ignored = ERROR_INIT;
	endings_each(ns->endings, ns->view, s, add_ending, &to, &ignored);
}

static void list_dataset(
	struct namespace *ns, const struct epoch *e, const struct epoch_dataset *d, struct namespace_listing *l)
{
	add(l, "at", "", S_IFDIR, (struct nodeid){.kind = NODEID_DATASET_AT, .tag = d->tag});
	for (size_t i = d->first; i < d->first + d->count; i++)
		add(l, e->set->list[i]->name, "", S_IFDIR,
			(struct nodeid){.kind = NODEID_ENTRY, .number = e->set->list[i]->number});
	const struct snapshot *s = snapset_latest(e->set, d->name, 0);
	if (s == NULL)
		return;
	add(l, "latest", "", S_IFLNK, (struct nodeid){.kind = NODEID_LATEST, .number = s->number});
	list_endings(ns, s, l);
}

static void list_point(const struct epoch *e, uint32_t number, struct namespace_listing *l)
{
	const struct snapshot *point = epoch_snapshot(e, number);
	for (size_t i = 0; point != NULL && i < e->dataset_count; i++) {
		const struct snapshot *s = snapset_at(e->set, e->datasets[i].name, point->time);
		if (s != NULL)
			add(l, e->datasets[i].name, "", S_IFLNK,
				(struct nodeid){.kind = NODEID_POINT_LINK, .number = s->number});
	}
}

/* Working copies that nobody looked into yet are not opened for their number: any that no node has will do. */
static int list_spool(struct namespace *ns, struct namespace_listing *l, struct error *err)
{
	char **names = NULL;
	size_t count = 0;
	int rc = ns->spool != NULL ? spool_datasets(ns->spool, &names, &count, err)
				   : error_set(err, ERR_NOT_FOUND, "this mount has no spool");
	for (size_t i = 0; rc == 0 && i < count; i++) {
		uint32_t number = worktable_number(ns->works, names[i]);
		add(l, names[i], "", S_IFDIR, (struct nodeid){.kind = NODEID_WORK, .number = number});
	}
	if (rc == 0)
		spool_names_free(names, count);
	return rc;
}

int namespace_list(
	struct namespace *ns, const struct epoch *e, uint64_t id, struct namespace_listing **ret, struct error *err)
{
	struct nodeid node;
	const struct epoch_dataset *d = NULL;
	if (!nodeid_parse(id, &node))
		return error_set(err, ERR_NOT_FOUND, "no such folder");
	if (node.tag != 0 && (d = namespace_dataset(e, &node)) == NULL)
		return error_set(err, ERR_NOT_FOUND, "the dataset is gone");
	struct namespace_listing *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return error_no_memory(err, "a listing");
	if (node.kind == NODEID_ROOT)
		list_root(ns, e, l);
	else if (node.kind == NODEID_FACTS)
		add(l, "status.json", "", S_IFREG, (struct nodeid){.kind = NODEID_STATUS});
	else if (node.kind == NODEID_DATASET)
		list_dataset(ns, e, d, l);
	else if (node.kind == NODEID_POINT)
		list_point(e, node.number, l);
	int rc = node.kind == NODEID_SPOOL ? list_spool(ns, l, err) : 0;
	if (rc < 0) {
		namespace_listing_free(l);
		return rc;
	}
	if (buf_failed(&l->names)) {
		namespace_listing_free(l);
		return error_no_memory(err, "a listing");
	}
	*ret = l;
	return 0;
}
