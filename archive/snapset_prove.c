/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "archive/object.h"
#include "archive/snapset_internal.h"

struct prove {
	const struct snapset *set;
	const struct id_list *ids;
	struct signers signers;
	snapset_bad_fn *bad;
	void *arg;
};

/* These speak of one object; all others of the store. */
static bool is_damage(int status)
{
	return status == ERR_NOT_FOUND || status == ERR_CORRUPT || status == ERR_UNSUPPORTED || status == ERR_DENIED ||
	       status == ERR_IO;
}

static int prove_one(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	const struct prove *p = arg;
	const struct id *id = &p->ids->ids[index];
	const struct snapshot *known = snapset_by_id(p->set, id);
	struct snapshot *s = NULL;
	struct error err = ERROR_INIT;
	if (status == 0)
		status = snapshot_decode_by(&p->signers, id, content->data, content->len, &s, &err);
	else
		err = *why;
	if (status == 0 && known && !id_equal(&s->statement_hash, &known->statement_hash))
		status = error_set(&err, ERR_CORRUPT, "it does not say what its copy in a summary says");
	snapshot_free(s);
	if (!is_damage(status))
		return status;
	p->bad(p->arg, id, error_text(&err));
	return 0;
}

static bool add_newest(struct id_list *ids, const struct snapset *set, const char *dataset)
{
	const struct snapshot *good = snapset_latest(set, dataset, 0);
	size_t first, count;
	if (!snapset_dataset(set, dataset, &first, &count))
		return true;
	const struct snapshot *newest = set->list[first + count - 1];
	return id_list_add(ids, &newest->id) && (!good || good == newest || id_list_add(ids, &good->id));
}

struct gather {
	const struct snapset *set;
	struct id_list *ids;
};

static int gather_one(void *arg, const char *dataset)
{
	const struct gather *g = arg;
	return add_newest(g->ids, g->set, dataset) ? 0 : ERR_NO_MEMORY;
}

int snapset_prove(struct repo *repo, const struct snapset *set, const char *dataset, snapset_bad_fn *bad, void *arg,
	struct error *err)
{
	struct id_list ids = {0};
	struct gather g = {.set = set, .ids = &ids};
	struct prove p = {.set = set, .ids = &ids, .signers.repo = repo, .bad = bad, .arg = arg};
	int status = dataset ? gather_one(&g, dataset) : snapset_datasets(set, gather_one, &g);
	if (status != 0)
		status = error_no_memory(err, "the newest snapshots");
	if (status == 0)
		status = snapset_signers(&p.signers, set->priv->marks, set->priv->mark_count, err);
	if (status == 0)
		status = object_get_many(repo, KIND_SNAPSHOT, ids.ids, ids.count, prove_one, &p, err);
	signers_release(&p.signers);
	id_list_release(&ids);
	return status;
}
