/* SPDX-License-Identifier: MIT */
/*
 * The catalog follows the store: what is listed and not known is fetched and
 * taken in; what is known and not listed any more must be named by a merged
 * segment that is. Anything odd is believed only when the names, listed a
 * second time, are still the same: between a LIST and a GET a merge may have
 * moved what was listed.
 */
#include <stdlib.h>

#include "archive/object_cache.h"
#include "archive/segment_internal.h"
#include "archive/snapset_internal.h"

enum { ROUNDS_MAX = 6 };

struct sync {
	struct repo *repo;
	struct catalog *catalog;
	struct signers signers;
	bool slots_read; /* revocations are only read when some signer is not known */
	struct id_list listed, known;
	struct id_list want;      /* being fetched */
	struct id_list denied;    /* signer not known, and slots not read again yet */
	struct id_list failed;    /* did not open in this round */
	struct id_list explained; /* named by merged segments */
	bool catalog_failed;
	bool first_told; /* failures were told in the log */
	struct error err;
};

static int no_memory(struct sync *y)
{
	return error_no_memory(&y->err, "the index");
}

/* The outcome of a catalog's call: remembers that it was the catalog that failed, which is no reason to give up. */
static int by_catalog(struct sync *y, int rc)
{
	y->catalog_failed |= rc != 0;
	return rc;
}

void segment_inputs_keep(struct repo *repo, struct catalog *catalog, const struct segment *s)
{
	struct id_list all = {0};
	if (s->input_count > 0 && id_list_add_all(&all, s->inputs, s->input_count) &&
		id_list_add_all(&all, s->ancestors, s->ancestor_count))
		object_cache_put(repo, catalog, KIND_INDEX, &s->id, all.ids, all.count * sizeof(struct id));
	id_list_release(&all);
}

bool segment_inputs_recall(struct repo *repo, struct catalog *catalog, const struct id *id, struct id_list *ret)
{
	struct buf kept = {0};
	bool ok = true;
	if (object_cache_get(repo, catalog, KIND_INDEX, id, &kept))
		ok = id_list_unpack(ret, kept.data, kept.len);
	buf_release(&kept);
	return ok;
}

/* ---- taking one in ---- */

static int take_in(struct sync *y, const struct segment *s)
{
	const struct id_list inputs = {.ids = s->inputs, .count = s->input_count};
	const struct catalog_segment rows = {.domain = s->domain,
		.packs = s->packs,
		.pack_count = s->pack_count,
		.chunks = s->chunks,
		.chunk_count = s->chunk_count};
	int rc;
	if (s->input_count > 0 && id_list_has_all(&y->known, &inputs)) {
		rc = by_catalog(y, catalog_segment_note(y->catalog, s->id.b, &y->err));
	} else {
		struct catalog_segment copy = rows;
		for (size_t i = 0; i < sizeof(copy.id); i++)
			copy.id[i] = s->id.b[i];
		rc = by_catalog(y, catalog_segment_add(y->catalog, &copy, &y->err));
	}
	if (rc != 0)
		return rc;
	segment_inputs_keep(y->repo, y->catalog, s);
	bool ok = id_list_insert(&y->known, &s->id) && id_list_add_all(&y->explained, s->inputs, s->input_count) &&
		  id_list_add_all(&y->explained, s->ancestors, s->ancestor_count);
	return ok ? 0 : no_memory(y);
}

static int take_one(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	struct sync *y = arg;
	const struct id *id = &y->want.ids[index];
	struct segment *s = NULL;
	struct error damage = ERROR_INIT;
	if (status != 0)
		damage = *why;
	else
		status = segment_decode_by(&y->signers, id, content->data, content->len, &s, &damage);
	if (status == 0) {
		int rc = take_in(y, s);
		segment_free(s);
		return rc;
	}
	if (status == ERR_DENIED && content->len > 0 && !y->slots_read)
		return id_list_add(&y->denied, id) ? 0 : no_memory(y);
	bool of_object = status == ERR_CORRUPT || status == ERR_UNSUPPORTED || status == ERR_NOT_FOUND ||
			 status == ERR_IO || (status == ERR_DENIED && content->len > 0);
	if (!of_object)
		return error_set(&y->err, (enum error_code)status, "%s", error_text(&damage));
	if (y->first_told && status != ERR_NOT_FOUND)
		log_warn(y->repo->log, "an index segment is left out, what it names is stored anew where it is met: %s",
			error_text(&damage));
	return id_list_add(&y->failed, id) ? 0 : no_memory(y);
}

static int fetch(struct sync *y)
{
	return object_get_many(y->repo, KIND_INDEX, y->want.ids, y->want.count, take_one, y, &y->err);
}

/* Reads the slots again, and the revocations: slots that are gone, and what they signed before. */
static int read_slots(struct sync *y)
{
	struct fetch f = {.repo = y->repo, .catalog = y->catalog, .kind = KIND_MARK};
	int rc = repo_list_ids(y->repo->store, "marks/", y->repo->log, &f.want, &y->err);
	if (rc == 0) {
		fetch_run(&f);
		if (f.status != 0)
			rc = error_set(&y->err, (enum error_code)f.status, "%s", error_text(&f.err));
	}
	for (size_t i = 0; rc == 0 && i < f.count; i++) {
		const struct fetched *item = &f.items[i];
		struct mark *m = NULL;
		if (!mark_claims_revocation(item->content.data, item->content.len))
			continue;
		if (mark_decode(y->repo, &item->id, item->content.data, item->content.len, &m, NULL) == 0)
			rc = signers_revoke(&y->signers, &m->subject, m->data, m->data_len, &y->err);
		mark_free(m);
	}
	if (rc == 0)
		rc = signers_refresh(&y->signers, &y->err);
	fetch_release(&f);
	y->slots_read = rc == 0;
	return rc;
}

static int fetch_new(struct sync *y)
{
	y->want.count = 0;
	if (!id_list_minus(&y->want, &y->listed, &y->known))
		return no_memory(y);
	int rc = fetch(y);
	if (rc != 0 || y->denied.count == 0)
		return rc;
	rc = read_slots(y);
	struct id_list again = y->denied;
	y->denied = y->want;
	y->want = again;
	y->denied.count = 0;
	return rc == 0 ? fetch(y) : rc;
}

/* ---- what is gone ---- */

/* Adds what merged segments that were taken in earlier name. */
static int recall_inputs(struct sync *y)
{
	bool ok = true;
	for (size_t i = 0; ok && i < y->listed.count; i++)
		ok = segment_inputs_recall(y->repo, y->catalog, &y->listed.ids[i], &y->explained);
	id_list_sort(&y->explained);
	return ok ? 0 : no_memory(y);
}

/* Forgets segments that were merged away. *ret_stale: others are gone that no merged one names. */
static int settle_gone(struct sync *y, bool *ret_stale)
{
	struct id_list gone = {0};
	bool stale = false;
	int rc = id_list_minus(&gone, &y->known, &y->listed) ? 0 : no_memory(y);
	if (rc == 0 && gone.count > 0)
		rc = recall_inputs(y);
	for (size_t i = 0; rc == 0 && i < gone.count; i++) {
		if (!id_list_has(&y->explained, &gone.ids[i]))
			stale = true;
		else
			rc = by_catalog(y, catalog_segment_forget(y->catalog, gone.ids[i].b, &y->err));
	}
	id_list_release(&gone);
	if (rc == 0)
		*ret_stale = stale;
	return rc;
}

/* ---- rounds ---- */

static int take_known(void *arg, const uint8_t *id)
{
	return id_list_add(arg, (const struct id *)id) ? 0 : ERR_NO_MEMORY;
}

static int read_known(struct sync *y)
{
	y->known.count = 0;
	int rc = by_catalog(y, catalog_segments(y->catalog, take_known, &y->known, &y->err));
	id_list_sort(&y->known);
	return rc;
}

/* Lists anew. *ret_same: the names are those of the last time. */
static int list_names(struct sync *y, bool *ret_same)
{
	struct id_list fresh = {0};
	int rc = repo_list_ids(y->repo->store, "index/", y->repo->log, &fresh, &y->err);
	if (rc != 0)
		return rc;
	*ret_same = id_list_equal(&fresh, &y->listed);
	id_list_release(&y->listed);
	y->listed = fresh;
	return 0;
}

/* Rounds until all is in, or the names stay the same and something is still odd. */
static int follow(struct sync *y, bool *ret_stale)
{
	bool same = false, stale = false;
	int rc = list_names(y, &same);
	for (int round = 0; rc == 0 && round < ROUNDS_MAX; round++) {
		y->failed.count = y->denied.count = y->explained.count = 0;
		y->first_told = round > 0;
		rc = read_known(y);
		if (rc == 0)
			rc = fetch_new(y);
		if (rc == 0)
			rc = settle_gone(y, &stale);
		if (rc != 0 || (y->failed.count == 0 && !stale) || (round > 0 && same))
			break;
		rc = list_names(y, &same);
	}
	if (rc == 0)
		*ret_stale = stale;
	return rc;
}

static void sync_release(struct sync *y)
{
	signers_release(&y->signers);
	id_list_release(&y->listed);
	id_list_release(&y->known);
	id_list_release(&y->want);
	id_list_release(&y->denied);
	id_list_release(&y->failed);
	id_list_release(&y->explained);
}

/* Follows, and fills a stale catalog again. *ret_catalog: what failed was the catalog. */
static int sync_once(struct repo *repo, struct catalog *catalog, bool *ret_catalog, struct error *err)
{
	struct sync y = {.repo = repo, .catalog = catalog, .signers.repo = repo};
	bool stale = false;
	int rc = follow(&y, &stale);
	if (rc == 0 && stale) {
		log_notice(
			repo->log, "the catalog knows index segments that are gone from the store: it is filled again");
		rc = by_catalog(&y, catalog_reset(catalog, &y.err));
		if (rc == 0)
			rc = follow(&y, &stale);
	}
	*ret_catalog = y.catalog_failed;
	if (rc != 0)
		rc = error_set(err, (enum error_code)rc, "%s", error_text(&y.err));
	sync_release(&y);
	return rc;
}

int segment_sync(struct repo *repo, struct catalog *catalog, struct error *err)
{
	struct error why = ERROR_INIT;
	bool by_the_catalog = false;
	if (!catalog)
		return 0;
	int rc = sync_once(repo, catalog, &by_the_catalog, &why);
	if (rc != 0 && by_the_catalog) {
		log_warn(repo->log, "the catalog fails (%s): going on with a temporary one", error_text(&why));
		error_clear(&why);
		rc = catalog_make_private(catalog, &why);
		if (rc == 0)
			rc = sync_once(repo, catalog, &by_the_catalog, &why);
	}
	return rc == 0 ? 0 : error_set(err, (enum error_code)rc, "reading the index: %s", error_text(&why));
}
