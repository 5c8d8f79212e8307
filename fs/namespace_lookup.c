/* SPDX-License-Identifier: MIT */
/* Names to nodes: what each folder of the virtual tree answers to. */
#include <string.h>

#include "base/clock.h"
#include "fs/namespace_impl.h"

static const char latest[] = "latest";

static int no_such(const char *name, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "there is no '%s'", name);
}

/* Set when a name was found. */
static int found(struct nodeid *ret, struct nodeid node)
{
	*ret = node;
	return 0;
}

static int in_root(struct namespace *ns, const struct epoch *e, const char *name, struct nodeid *ret, struct error *err)
{
	if (ns->spool != NULL && strcmp(name, "spool") == 0)
		return found(ret, (struct nodeid){.kind = NODEID_SPOOL});
	if (strcmp(name, ".drfs") == 0)
		return found(ret, (struct nodeid){.kind = NODEID_FACTS});
	if (strcmp(name, "at") == 0)
		return found(ret, (struct nodeid){.kind = NODEID_POINTS});
	const struct epoch_dataset *d = epoch_dataset(e, name);
	if (d == NULL)
		return no_such(name, err);
	return found(ret, (struct nodeid){.kind = NODEID_DATASET, .tag = d->tag});
}

/* latest and latest.EXT. */
static int in_latest(struct namespace *ns, const struct epoch *e, const char *dataset, const char *name,
	struct nodeid *ret, struct error *err)
{
	const struct snapshot *s = snapset_latest(e->set, dataset, 0);
	const char *rest = name + strlen(latest);
	if (s == NULL)
		return no_such(name, err);
	struct nodeid node = {.kind = NODEID_LATEST, .number = s->number};
	if (*rest == '.') {
		node.kind = NODEID_ENDING_LINK;
		int rc = endings_find(ns->endings, ns->view, s, rest + 1, &node.rank, err);
		if (rc < 0)
			return rc;
	}
	return found(ret, node);
}

static int in_dataset(struct namespace *ns, const struct epoch *e, const struct epoch_dataset *d, const char *name,
	struct nodeid *ret, struct error *err)
{
	size_t len = strlen(latest);
	if (strcmp(name, "at") == 0)
		return found(ret, (struct nodeid){.kind = NODEID_DATASET_AT, .tag = d->tag});
	if (strncmp(name, latest, len) == 0 && (name[len] == '\0' || name[len] == '.'))
		return in_latest(ns, e, d->name, name, ret, err);
	const struct snapshot *s = snapset_named(e->set, d->name, name);
	if (s == NULL)
		return no_such(name, err);
	return found(ret, (struct nodeid){.kind = NODEID_ENTRY, .number = s->number});
}

/* A time or date: what was newest at its end, in one dataset or (NULL) in all. */
static int in_at(
	const struct epoch *e, const struct epoch_dataset *d, const char *name, struct nodeid *ret, struct error *err)
{
	int64_t first = 0, last = 0;
	if (!clock_parse(name, &first, &last))
		return no_such(name, err);
	const struct snapshot *s = d != NULL ? snapset_at(e->set, d->name, last) : namespace_point(e, last);
	if (s == NULL)
		return no_such(name, err);
	return found(ret, (struct nodeid){.kind = d != NULL ? NODEID_AT_LINK : NODEID_POINT, .number = s->number});
}

static int in_point(const struct epoch *e, uint32_t number, const char *name, struct nodeid *ret, struct error *err)
{
	const struct snapshot *point = epoch_snapshot(e, number);
	const struct snapshot *s = point != NULL ? snapset_at(e->set, name, point->time) : NULL;
	if (s == NULL)
		return no_such(name, err);
	return found(ret, (struct nodeid){.kind = NODEID_POINT_LINK, .number = s->number});
}

/* Where ".." leads from a virtual folder or a snapshot's root. */
static int parent_of(const struct epoch *e, const struct nodeid *node, struct nodeid *ret, struct error *err)
{
	if (node->kind == NODEID_DATASET_AT)
		return found(ret, (struct nodeid){.kind = NODEID_DATASET, .tag = node->tag});
	if (node->kind == NODEID_POINT)
		return found(ret, (struct nodeid){.kind = NODEID_POINTS});
	if (node->kind == NODEID_WORK || node->kind == NODEID_COMMIT)
		return found(ret, (struct nodeid){.kind = NODEID_SPOOL});
	if (node->kind != NODEID_ENTRY)
		return found(ret, (struct nodeid){.kind = NODEID_ROOT});
	const struct snapshot *s = epoch_snapshot(e, node->number);
	const struct epoch_dataset *d = s != NULL ? epoch_dataset(e, s->dataset) : NULL;
	if (d == NULL)
		return no_such("..", err);
	return found(ret, (struct nodeid){.kind = NODEID_DATASET, .tag = d->tag});
}

static int in_virtual(struct namespace *ns, const struct epoch *e, const struct nodeid *parent, const char *name,
	struct nodeid *ret, struct error *err)
{
	const struct epoch_dataset *d = parent->tag != 0 ? namespace_dataset(e, parent) : NULL;
	if (parent->tag != 0 && d == NULL)
		return no_such(name, err);
	switch (parent->kind) {
	case NODEID_ROOT:
		return in_root(ns, e, name, ret, err);
	case NODEID_FACTS:
		if (strcmp(name, "status.json") == 0)
			return found(ret, (struct nodeid){.kind = NODEID_STATUS});
		return no_such(name, err);
	case NODEID_DATASET:
		return in_dataset(ns, e, d, name, ret, err);
	case NODEID_POINTS:
	case NODEID_DATASET_AT:
		return in_at(e, d, name, ret, err);
	case NODEID_POINT:
		return in_point(e, parent->number, name, ret, err);
	case NODEID_SPOOL:
		return namespace_spool_lookup(ns, name, ret, err);
	case NODEID_WORK:
	case NODEID_COMMIT:
	case NODEID_STATUS:
	case NODEID_LATEST:
	case NODEID_AT_LINK:
	case NODEID_POINT_LINK:
	case NODEID_ENDING_LINK:
	case NODEID_ENTRY:
		break;
	}
	return error_set(err, ERR_USAGE, "not a folder");
}

static int in_snapshot(struct namespace *ns, const struct epoch *e, const struct nodeid *parent, const char *name,
	struct namespace_node *ret, struct error *err)
{
	struct view_entry entry;
	const struct snapshot *s = epoch_snapshot(e, parent->number);
	if (s == NULL)
		return no_such(name, err);
	int rc = view_lookup(ns->view, s, parent->rank, name, &entry, err);
	if (rc < 0)
		return rc;
	namespace_entry_node(&entry, ret);
	view_put(ns->view, &entry);
	return 0;
}

int namespace_lookup(struct namespace *ns, const struct epoch *e, uint64_t parent, const char *name,
	struct namespace_node *ret, struct error *err)
{
	struct nodeid node, child;
	int rc = 0;

	if (!nodeid_parse(parent, &node))
		return no_such(name, err);
	bool up = strcmp(name, "..") == 0;
	if (node.kind == NODEID_ENTRY && !(up && node.rank == 0))
		return in_snapshot(ns, e, &node, name, ret, err);
	if (strcmp(name, ".") == 0)
		child = node;
	else
		rc = up ? parent_of(e, &node, &child, err) : in_virtual(ns, e, &node, name, &child, err);
	return rc < 0 ? rc : namespace_node(ns, e, nodeid_make(&child), ret, err);
}
