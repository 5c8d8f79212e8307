/* SPDX-License-Identifier: MIT */
/*
 * What was fetched becomes marks and statements. Signatures are what costs
 * here, so many statements are decoded on all cores.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/snapset_loader.h"
#include "archive/summary.h"
#include "archive/wave.h"
#include "base/pool.h"

enum { BATCH = 16, BATCHES_WORTH_THREADS = 4 };

/* A statement on its way to a snapshot. */
struct candidate {
	const struct signers *signers;
	struct id id;
	const uint8_t *data; /* borrowed from a fetched object */
	size_t len;
	struct snapshot *snapshot; /* once decoded */
	int status;
	char *why;
};

struct candidates {
	struct candidate *list;
	size_t count;
};

int loader_no_memory(struct error *err)
{
	return error_no_memory(err, "the snapshots");
}

/* ---- small steps on the loader ---- */

static bool add_snapshot(struct loader *l, struct snapshot *s)
{
	if (l->all_count == l->all_cap) {
		size_t cap = l->all_cap ? l->all_cap * 2 : 64;
		struct snapshot **more = reallocarray(l->all, cap, sizeof(*more));
		if (!more)
			return false;
		l->all = more;
		l->all_cap = cap;
	}
	l->all[l->all_count++] = s;
	return true;
}

/* Takes a decoded statement in, or frees it. */
int loader_add_statement(struct loader *l, struct snapshot *s, struct error *err)
{
	bool ok = id_list_add(&l->known, &s->id);
	if (ok && !s->is_void && add_snapshot(l, s))
		return 0;
	ok = ok && s->is_void && id_list_add(&l->voids, &s->id);
	snapshot_free(s);
	return ok ? 0 : loader_no_memory(err);
}

/* Notes an object that does not open. */
static int add_fault(
	struct snapset *set, enum object_kind kind, const struct id *id, int status, const char *why, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	struct snapset_fault *more = reallocarray(set->faults, set->fault_count + 1, sizeof(*more));
	if (!more)
		return loader_no_memory(err);
	set->faults = more;
	object_name(kind, 0, id, name);
	size_t len = strlen(name) + strlen(why) + sizeof("'': ");
	char *reason = malloc(len);
	if (!reason)
		return loader_no_memory(err);
	snprintf(reason, len, "'%s': %s", name, why);
	more[set->fault_count++] = (struct snapset_fault){.id = *id, .reason = reason};
	set->priv->retry |= status == ERR_NOT_FOUND || status == ERR_IO;
	/* Voids of slots that are not known read as damage. */
	set->priv->unknown_signer |= status == ERR_DENIED || (status == ERR_CORRUPT && kind == KIND_SNAPSHOT);
	return 0;
}

/* ---- decoding ---- */

static void decode_one(struct candidate *c)
{
	struct error err = ERROR_INIT;
	c->status = snapshot_decode_by(c->signers, &c->id, c->data, c->len, &c->snapshot, &err);
	if (c->status != 0)
		c->why = strdup(error_text(&err));
}

static void decode_batch(void *arg, size_t batch)
{
	struct candidates *cs = arg;
	size_t end = (batch + 1) * BATCH;
	for (size_t i = batch * BATCH; i < end && i < cs->count; i++)
		decode_one(&cs->list[i]);
}

static void decode_all(struct candidates *cs)
{
	size_t batches = (cs->count + BATCH - 1) / BATCH;
	wave_run(batches > BATCHES_WORTH_THREADS ? pool_cores() : 1, batches, decode_batch, cs);
}

static void candidates_release(struct candidates *cs)
{
	for (size_t i = 0; i < cs->count; i++) {
		snapshot_free(cs->list[i].snapshot);
		free(cs->list[i].why);
	}
	free(cs->list);
	*cs = (struct candidates){0};
}

/* Moves what was decoded into the loader. What failed stays for the caller to look at. */
static int take_decoded(struct loader *l, struct candidates *cs, struct error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < cs->count; i++) {
		struct candidate *c = &cs->list[i];
		if (c->status == ERR_NO_MEMORY)
			return loader_no_memory(err);
		if (c->status != 0)
			continue;
		rc = loader_add_statement(l, c->snapshot, err);
		c->snapshot = NULL;
	}
	id_list_sort(&l->known);
	return rc;
}

/* ---- marks ---- */

int loader_add_mark(struct loader *l, struct mark *m, struct error *err)
{
	struct snapset_private *p = l->set->priv;
	struct mark **more = reallocarray(p->marks, p->mark_count + 1, sizeof(*more));
	if (!more) {
		mark_free(m);
		return loader_no_memory(err);
	}
	p->marks = more;
	more[p->mark_count++] = m;
	return 0;
}

/* A mark on its way. */
struct mark_job {
	const struct signers *signers;
	const struct fetched *item;
	struct mark *mark; /* once decoded */
	int status;
	char *why;
};

struct mark_jobs {
	struct mark_job *list;
	size_t count;
};

static void decode_mark(struct mark_job *j)
{
	const struct fetched *item = j->item;
	struct error err = ERROR_INIT;
	j->status = item->status;
	if (j->status == 0)
		j->status =
			mark_decode_by(j->signers, &item->id, item->content.data, item->content.len, &j->mark, &err);
	if (j->status != 0)
		j->why = strdup(item->why ? item->why : error_text(&err));
}

static void decode_mark_batch(void *arg, size_t batch)
{
	struct mark_jobs *js = arg;
	size_t end = (batch + 1) * BATCH;
	for (size_t i = batch * BATCH; i < end && i < js->count; i++)
		decode_mark(&js->list[i]);
}

static int take_mark_jobs(struct loader *l, struct mark_jobs *js, struct error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < js->count; i++) {
		struct mark_job *j = &js->list[i];
		if (j->status == ERR_NO_MEMORY) {
			rc = loader_no_memory(err);
		} else if (j->status == 0) {
			rc = loader_add_mark(l, j->mark, err);
			j->mark = NULL;
		} else {
			rc = add_fault(l->set, KIND_MARK, &j->item->id, j->status, j->why ? j->why : "no memory", err);
		}
	}
	return rc;
}

/* Decodes the revocations, or all others. */
static int decode_marks(struct loader *l, const struct fetch *f, bool revocations, struct error *err)
{
	struct mark_jobs js = {.list = calloc(f->count + 1, sizeof(*js.list))};
	if (!js.list)
		return loader_no_memory(err);
	for (size_t i = 0; i < f->count; i++)
		if (mark_claims_revocation(f->items[i].content.data, f->items[i].content.len) == revocations)
			js.list[js.count++] = (struct mark_job){.signers = &l->signers, .item = &f->items[i]};
	size_t batches = (js.count + BATCH - 1) / BATCH;
	wave_run(batches > BATCHES_WORTH_THREADS ? pool_cores() : 1, batches, decode_mark_batch, &js);
	int rc = take_mark_jobs(l, &js, err);
	for (size_t i = 0; i < js.count; i++) {
		mark_free(js.list[i].mark);
		free(js.list[i].why);
	}
	free(js.list);
	return rc;
}

int loader_take_marks(struct loader *l, const struct fetch *f, struct error *err)
{
	int rc = decode_marks(l, f, true, err);
	if (rc == 0)
		rc = snapset_signers(&l->signers, l->set->priv->marks, l->set->priv->mark_count, err);
	return rc == 0 ? decode_marks(l, f, false, err) : rc;
}

/* ---- summaries ---- */

static int compare_candidates(const void *a, const void *b)
{
	return id_compare(&((const struct candidate *)a)->id, &((const struct candidate *)b)->id);
}

/* One candidate an id; what is known already is not checked again. */
static void thin_out(const struct loader *l, struct candidates *cs)
{
	size_t kept = 0;
	if (cs->count > 1)
		qsort(cs->list, cs->count, sizeof(*cs->list), compare_candidates);
	for (size_t i = 0; i < cs->count; i++) {
		bool doubled = kept > 0 && id_equal(&cs->list[kept - 1].id, &cs->list[i].id);
		if (!doubled && !id_list_has(&l->known, &cs->list[i].id))
			cs->list[kept++] = cs->list[i];
	}
	cs->count = kept;
}

static bool add_candidates(const struct loader *l, struct candidates *cs, const struct summary *s)
{
	struct candidate *more = reallocarray(cs->list, cs->count + s->count + 1, sizeof(*more));
	if (!more)
		return false;
	cs->list = more;
	for (size_t i = 0; i < s->count; i++)
		more[cs->count++] = (struct candidate){.signers = &l->signers,
			.id = s->entries[i].id,
			.data = s->entries[i].data,
			.len = s->entries[i].len};
	return true;
}

/* Notes which statements a summary holds: those that are known by now. */
static int add_info(struct loader *l, const struct id *id, const struct summary *s, struct error *err)
{
	struct snapset_private *p = l->set->priv;
	struct summary_info *more = reallocarray(p->infos, p->info_count + 1, sizeof(*more));
	if (!more)
		return loader_no_memory(err);
	p->infos = more;
	struct summary_info *info = &more[p->info_count++];
	*info = (struct summary_info){.id = *id};
	for (size_t i = 0; i < s->count; i++)
		if (id_list_has(&l->known, &s->entries[i].id) && !id_list_add(&info->covers, &s->entries[i].id))
			return loader_no_memory(err);
	id_list_sort(&info->covers);
	return 0;
}

/* Which summaries open is told by `whole`; they borrow from f. */
static int open_summaries(struct loader *l, const struct fetch *f, struct summary *summaries, bool *whole,
	struct candidates *cs, struct error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < f->count; i++) {
		const struct fetched *item = &f->items[i];
		struct error why = ERROR_INIT;
		int status = item->status;
		if (status == 0)
			status = summary_decode(item->content.data, item->content.len, &summaries[i], &why);
		whole[i] = status == 0;
		if (status == ERR_NO_MEMORY)
			rc = loader_no_memory(err);
		else if (status != 0)
			rc = add_fault(
				l->set, KIND_SUMMARY, &item->id, status, item->why ? item->why : error_text(&why), err);
		else if (!add_candidates(l, cs, &summaries[i]))
			rc = loader_no_memory(err);
	}
	return rc;
}

int loader_take_summaries(struct loader *l, const struct fetch *f, struct error *err)
{
	struct summary *summaries = calloc(f->count + 1, sizeof(*summaries));
	bool *whole = calloc(f->count + 1, sizeof(*whole));
	struct candidates cs = {0};
	int rc = summaries && whole ? open_summaries(l, f, summaries, whole, &cs, err) : loader_no_memory(err);
	if (rc == 0) {
		thin_out(l, &cs);
		decode_all(&cs);
		rc = take_decoded(l, &cs, err);
	}
	for (size_t i = 0; rc == 0 && i < f->count; i++)
		if (whole[i])
			rc = add_info(l, &f->items[i].id, &summaries[i], err);
	for (size_t i = 0; rc == 0 && i < cs.count; i++)
		if (cs.list[i].status != 0)
			log_info(l->repo->log, "a summary holds a statement that does not count: %s",
				cs.list[i].why ? cs.list[i].why : "no memory");
	candidates_release(&cs);
	for (size_t i = 0; summaries && i < f->count; i++)
		summary_release(&summaries[i]);
	free(summaries);
	free(whole);
	return rc;
}

/* ---- snapshots ---- */

int loader_take_snapshots(struct loader *l, const struct fetch *f, struct error *err)
{
	struct candidates cs = {.list = calloc(f->count + 1, sizeof(*cs.list))};
	int rc = cs.list ? 0 : loader_no_memory(err);
	for (size_t i = 0; rc == 0 && i < f->count; i++) {
		const struct fetched *item = &f->items[i];
		if (item->status != 0)
			rc = add_fault(l->set, KIND_SNAPSHOT, &item->id, item->status, item->why, err);
		else
			cs.list[cs.count++] = (struct candidate){.signers = &l->signers,
				.id = item->id,
				.data = item->content.data,
				.len = item->content.len};
	}
	if (rc == 0) {
		decode_all(&cs);
		rc = take_decoded(l, &cs, err);
	}
	for (size_t i = 0; rc == 0 && i < cs.count; i++) {
		const struct candidate *c = &cs.list[i];
		if (c->status != 0)
			rc = add_fault(l->set, KIND_SNAPSHOT, &c->id, c->status, c->why ? c->why : "no memory", err);
	}
	candidates_release(&cs);
	return rc;
}
