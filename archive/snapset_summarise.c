/* SPDX-License-Identifier: MIT */
/*
 * Summaries are put when more than 16 snapshots stand in none. The new one
 * takes small ones in as well when there are many: it names them, and they
 * are deleted once it is acknowledged. Statements are copied as they are,
 * whether or not this host can judge them. What a crash leaves are summaries
 * that overlap, which is no harm and goes with the next merge.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/object_delete.h"
#include "archive/snapset_internal.h"
#include "archive/summary.h"
#include "base/host.h"

enum {
	UNCOVERED_MIN = 17, /* as many make a summary worth its place */
	SMALL = 1024,       /* a summary of fewer statements is small */
	SMALL_MIN = 8,      /* as many small ones are merged */
	CONTENT_MAX = 32 << 20,
};

struct summarising {
	struct repo *repo;
	const struct snapset *set;
	struct id_list recent; /* the newest two of each dataset: these keep their root nodes */
	struct id_list done;   /* put already, sorted */
	struct id_list inputs; /* summaries that went in whole */
	struct buf content;
	size_t count;
	struct error err;
};

static bool find_recent(struct summarising *s)
{
	const struct snapset *set = s->set;
	for (size_t i = 0; i < set->count; i++)
		if ((i + 2 >= set->count || strcmp(set->list[i]->dataset, set->list[i + 2]->dataset) != 0) &&
			!id_list_add(&s->recent, &set->list[i]->id))
			return false;
	id_list_sort(&s->recent);
	return true;
}

static bool is_full(const struct summarising *s, size_t more)
{
	return s->count + more > SUMMARY_ENTRIES_MAX || s->content.len > CONTENT_MAX;
}

/* Puts one statement, unless it is there. What is no statement at all is left behind. */
static int put_entry(struct summarising *s, const struct summary_entry *entry)
{
	if (id_list_has(&s->done, &entry->id))
		return 0;
	if (!summary_put_entry(&s->content, entry, id_list_has(&s->recent, &entry->id)))
		return 0;
	s->count++;
	return buf_failed(&s->content) || !id_list_insert(&s->done, &entry->id) ? error_no_memory(&s->err, "a summary")
										: 0;
}

static int take_snapshots(struct summarising *s, const struct fetch *f)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < f->count; i++) {
		const struct fetched *item = &f->items[i];
		if (item->status != 0 || is_full(s, 1))
			continue;
		rc = put_entry(s,
			&(struct summary_entry){.id = item->id, .data = item->content.data, .len = item->content.len});
	}
	return rc;
}

/* A whole summary goes in, or it stays where it is. */
static int take_summary(struct summarising *s, const struct fetched *item)
{
	struct summary old;
	struct error why = ERROR_INIT;
	int rc = 0;
	if (item->status != 0 || summary_decode(item->content.data, item->content.len, &old, &why) != 0)
		return 0; /* told when it was loaded; its snapshots are read one by one */
	bool fits = !is_full(s, old.count) && s->content.len + item->content.len <= CONTENT_MAX;
	for (size_t i = 0; rc == 0 && fits && i < old.count; i++)
		rc = put_entry(s, &old.entries[i]);
	if (rc == 0 && fits && !id_list_add(&s->inputs, &item->id))
		rc = error_no_memory(&s->err, "a summary");
	summary_release(&old);
	return rc;
}

/* All snapshots that no summary holds. */
static bool want_uncovered(const struct snapset *set, struct id_list *want)
{
	const struct snapset_private *p = set->priv;
	struct id_list covered = {0};
	bool ok = true;
	for (size_t i = 0; ok && i < p->info_count; i++)
		ok = id_list_add_all(&covered, p->infos[i].covers.ids, p->infos[i].covers.count);
	id_list_sort(&covered);
	ok = ok && id_list_minus(want, &p->names.snapshots, &covered);
	id_list_release(&covered);
	/* What is a fault here was not counted, and must not be sealed into a summary. */
	size_t kept = 0;
	for (size_t i = 0; i < want->count; i++) {
		bool fault = false;
		for (size_t n = 0; n < set->fault_count; n++)
			fault |= id_equal(&set->faults[n].id, &want->ids[i]);
		if (!fault)
			want->ids[kept++] = want->ids[i];
	}
	want->count = kept;
	return ok;
}

static bool want_small(const struct snapset *set, struct id_list *want)
{
	const struct snapset_private *p = set->priv;
	for (size_t i = 0; i < p->info_count; i++)
		if (p->infos[i].covers.count < SMALL && !id_list_add(want, &p->infos[i].id))
			return false;
	if (want->count < SMALL_MIN)
		want->count = 0;
	return true;
}

static int gather(struct summarising *s)
{
	struct signers signers = {.repo = s->repo};
	struct fetch snapshots = {.repo = s->repo, .signers = &signers, .kind = KIND_SNAPSHOT};
	struct fetch summaries = {.repo = s->repo, .kind = KIND_SUMMARY};
	bool ok = find_recent(s) && want_uncovered(s->set, &snapshots.want) && want_small(s->set, &summaries.want);
	int rc = ok ? 0 : error_no_memory(&s->err, "a summary");
	if (rc == 0)
		rc = snapset_signers(&signers, s->set->priv->marks, s->set->priv->mark_count, &s->err);
	if (rc == 0) {
		fetch_run(&snapshots);
		fetch_run(&summaries);
		if (snapshots.status != 0)
			rc = error_set(&s->err, (enum error_code)snapshots.status, "%s", error_text(&snapshots.err));
		else if (summaries.status != 0)
			rc = error_set(&s->err, (enum error_code)summaries.status, "%s", error_text(&summaries.err));
	}
	if (rc == 0)
		rc = take_snapshots(s, &snapshots);
	for (size_t i = 0; rc == 0 && i < summaries.count; i++)
		rc = take_summary(s, &summaries.items[i]);
	fetch_release(&snapshots);
	fetch_release(&summaries);
	signers_release(&signers);
	return rc;
}

static int put(struct summarising *s)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct id id;
	id_list_sort(&s->inputs);
	summary_put_inputs(&s->content, &s->inputs);
	if (buf_failed(&s->content))
		return error_no_memory(&s->err, "a summary");
	object_draw(s->repo, KIND_SUMMARY, key, &id);
	int rc = object_put(s->repo, KIND_SUMMARY, &id, key, s->content.data, s->content.len, NULL, &s->err);
	host_wipe(key, sizeof(key));
	return rc;
}

int snapset_summarise(struct repo *repo, const struct snapset *set, struct error *err)
{
	struct summarising s = {.repo = repo, .set = set};
	if (set->uncovered < UNCOVERED_MIN)
		return 0;
	int rc = gather(&s);
	if (rc == 0 && s.count > 0)
		rc = put(&s);
	for (size_t i = 0; rc == 0 && i < s.inputs.count; i++)
		rc = object_delete(repo, KIND_SUMMARY, &s.inputs.ids[i], &s.err);
	buf_release(&s.content);
	id_list_release(&s.recent);
	id_list_release(&s.done);
	id_list_release(&s.inputs);
	return rc == 0 ? 0 : error_set(err, (enum error_code)rc, "summing up the snapshots: %s", error_text(&s.err));
}
