/* SPDX-License-Identifier: MIT */
/*
 * Loading goes in rounds. A round fetches what was listed and is not known:
 * marks and summaries at once, then snapshots that no summary holds. When
 * something listed could not be read, the names are listed again before that
 * is believed: a merge may have moved it.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/proofs.h"
#include "archive/snapset_loader.h"
#include "archive/wave.h"
#include "catalog/catalog.h"

enum { ROUNDS_MAX = 5 };

/* ---- rounds ---- */

static void fetch_wave(void *arg, size_t index)
{
	fetch_run((struct fetch *)arg + index);
}

static struct fetch fetch_of(const struct loader *l, enum object_kind kind)
{
	return (struct fetch){.repo = l->repo, .catalog = l->catalog, .signers = &l->signers, .kind = kind};
}

static bool want_new_summaries(const struct loader *l, struct id_list *want)
{
	const struct snapset_private *p = l->set->priv;
	struct id_list have = {0};
	bool ok = true;
	for (size_t i = 0; ok && i < p->info_count; i++)
		ok = id_list_add(&have, &p->infos[i].id);
	id_list_sort(&have);
	ok = ok && id_list_minus(want, &l->names->summaries, &have);
	id_list_release(&have);
	return ok;
}

static bool want_new_marks(const struct loader *l, struct id_list *want)
{
	const struct snapset_private *p = l->set->priv;
	struct id_list have = {0};
	bool ok = true;
	for (size_t i = 0; ok && i < p->mark_count; i++)
		ok = id_list_add(&have, &p->marks[i]->id);
	id_list_sort(&have);
	ok = ok && id_list_minus(want, &l->names->marks, &have);
	id_list_release(&have);
	return ok;
}

static int fetch_failed(const struct fetch *f, struct error *err)
{
	return f->status == 0 ? 0 : error_set(err, (enum error_code)f->status, "%s", error_text(&f->err));
}

/* Marks and summaries, at the same time where the store is remote. */
static int round_one(struct loader *l, struct error *err)
{
	struct fetch f[2] = {fetch_of(l, KIND_MARK), fetch_of(l, KIND_SUMMARY)};
	int rc = want_new_marks(l, &f[0].want) && want_new_summaries(l, &f[1].want) ? 0 : loader_no_memory(err);
	if (rc == 0) {
		wave_run(wave_threads(l->repo->store), 2, fetch_wave, f);
		rc = fetch_failed(&f[0], err);
	}
	if (rc == 0)
		rc = fetch_failed(&f[1], err);
	if (rc == 0)
		rc = loader_take_marks(l, &f[0], err);
	if (rc == 0)
		rc = loader_take_summaries(l, &f[1], err);
	fetch_release(&f[0]);
	fetch_release(&f[1]);
	return rc;
}

static int round_two(struct loader *l, struct error *err)
{
	struct fetch f = fetch_of(l, KIND_SNAPSHOT);
	int rc = id_list_minus(&f.want, &l->names->snapshots, &l->known) ? 0 : loader_no_memory(err);
	if (rc == 0) {
		fetch_run(&f);
		rc = fetch_failed(&f, err);
	}
	if (rc == 0)
		rc = loader_take_snapshots(l, &f, err);
	fetch_release(&f);
	return rc;
}

static bool same_names(const struct repo_listing *a, const struct repo_listing *b)
{
	return id_list_equal(&a->snapshots, &b->snapshots) && id_list_equal(&a->summaries, &b->summaries) &&
	       id_list_equal(&a->marks, &b->marks);
}

static void clear_faults(struct snapset *set)
{
	for (size_t i = 0; i < set->fault_count; i++)
		free(set->faults[i].reason);
	set->fault_count = 0;
	set->priv->retry = false;
	set->priv->unknown_signer = false;
}

/* One round, with the slots read again if some signer is not known: another host may have added one. */
static int load_round(struct loader *l, struct error *err)
{
	for (;;) {
		clear_faults(l->set);
		int rc = round_one(l, err);
		if (rc == 0)
			rc = round_two(l, err);
		if (rc != 0 || !l->set->priv->unknown_signer || l->slots_read)
			return rc;
		rc = signers_refresh(&l->signers, err);
		if (rc != 0)
			return rc;
		l->slots_read = true;
	}
}

/* Until all is read, or what is not was asked for twice, and the names are still the same when listed again. */
static int load_rounds(struct loader *l, struct error *err)
{
	for (int round = 0;; round++) {
		int rc = load_round(l, err);
		if (rc != 0 || l->set->fault_count == 0 || round == ROUNDS_MAX)
			return rc;
		struct repo_listing *fresh = NULL;
		rc = repo_listing_load(l->repo, &fresh, err);
		if (rc != 0)
			return rc;
		bool same = same_names(l->names, fresh);
		repo_listing_free(l->names);
		l->names = fresh;
		if (same && round > 0)
			return 0;
	}
}

/* ---- what was loaded before ---- */

/* Is it the newest or the one before, in its dataset? Their root nodes are worth keeping. */
static bool is_recent(struct snapshot *const *list, size_t count, size_t i)
{
	return i + 2 >= count || strcmp(list[i]->dataset, list[i + 2]->dataset) != 0;
}

static int copy_snapshots(struct loader *l, struct snapshot *const *list, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct snapshot *s = snapshot_copy(list[i]);
		if (!s)
			return loader_no_memory(err);
		if (is_recent(list, count, i)) {
			buf_put(&s->root_sealed, list[i]->root_sealed.data, list[i]->root_sealed.len);
			memcpy(s->root_key, list[i]->root_key, sizeof(s->root_key));
		}
		int rc = loader_add_statement(l, s, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int copy_infos(struct loader *l, const struct snapset_private *old, struct error *err)
{
	struct snapset_private *p = l->set->priv;
	p->infos = calloc(old->info_count + 1, sizeof(*p->infos));
	if (!p->infos)
		return loader_no_memory(err);
	for (size_t i = 0; i < old->info_count; i++) {
		struct summary_info *info = &p->infos[p->info_count++];
		info->id = old->infos[i].id;
		if (!id_list_add_all(&info->covers, old->infos[i].covers.ids, old->infos[i].covers.count))
			return loader_no_memory(err);
	}
	return 0;
}

static int copy_old(struct loader *l, struct error *err)
{
	const struct snapset *old = l->old;
	if (!old)
		return 0;
	int rc = copy_snapshots(l, old->list, old->count, err);
	if (rc == 0)
		rc = copy_snapshots(l, old->priv->hidden, old->priv->hidden_count, err);
	if (rc == 0)
		rc = copy_infos(l, old->priv, err);
	for (size_t i = 0; rc == 0 && i < old->priv->mark_count; i++) {
		struct mark *m = mark_copy(old->priv->marks[i]);
		rc = m ? loader_add_mark(l, m, err) : loader_no_memory(err);
	}
	if (rc == 0 && (!id_list_add_all(&l->voids, old->voids, old->void_count) ||
			       !id_list_add_all(&l->known, old->voids, old->void_count)))
		rc = loader_no_memory(err);
	id_list_sort(&l->known);
	return rc;
}

/* ---- the end ---- */

/* Drops what was known of summaries that are gone, and gathers what the others hold. */
static int settle_infos(struct loader *l, struct id_list *covered, struct error *err)
{
	struct snapset_private *p = l->set->priv;
	size_t kept = 0;
	bool ok = true;
	for (size_t i = 0; i < p->info_count; i++) {
		struct summary_info *info = &p->infos[i];
		if (!id_list_has(&l->names->summaries, &info->id)) {
			id_list_release(&info->covers);
			continue;
		}
		ok &= id_list_add_all(covered, info->covers.ids, info->covers.count);
		p->infos[kept++] = *info;
	}
	p->info_count = kept;
	id_list_sort(covered);
	return ok ? 0 : loader_no_memory(err);
}

static bool stands(const struct loader *l, const struct id_list *covered, const struct id *id)
{
	return id_list_has(&l->names->snapshots, id) || id_list_has(covered, id);
}

/* A snapshot whose object was deleted and that no summary holds is gone. */
static void drop_gone(struct loader *l, const struct id_list *covered)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->all_count; i++) {
		if (stands(l, covered, &l->all[i]->id))
			l->all[kept++] = l->all[i];
		else
			snapshot_free(l->all[i]);
	}
	l->all_count = kept;
	kept = 0;
	for (size_t i = 0; i < l->voids.count; i++)
		if (stands(l, covered, &l->voids.ids[i]))
			l->voids.ids[kept++] = l->voids.ids[i];
	l->voids.count = kept;
	id_list_sort(&l->voids);
}

static void count_uncovered(struct loader *l, const struct id_list *covered)
{
	for (size_t i = 0; i < l->names->snapshots.count; i++) {
		const struct id *id = &l->names->snapshots.ids[i];
		l->set->uncovered += id_list_has(&l->known, id) && !id_list_has(covered, id);
	}
}

static void settle_figures(struct snapset *set)
{
	int64_t newest = INT64_MIN;
	for (size_t i = 0; i < set->count; i++) {
		struct snapshot *s = set->list[i];
		if (!is_recent(set->list, set->count, i))
			buf_wipe(&s->root_sealed);
		if (s->archive_bytes > 0 && s->time >= newest) {
			newest = s->time;
			set->archive_bytes = s->archive_bytes;
		}
	}
	for (size_t i = 0; i < set->priv->hidden_count; i++)
		buf_wipe(&set->priv->hidden[i]->root_sealed);
}

static int finish(struct loader *l, struct error *err)
{
	struct snapset *set = l->set;
	struct id_list covered = {0};
	int rc = settle_infos(l, &covered, err);
	if (rc == 0) {
		drop_gone(l, &covered);
		count_uncovered(l, &covered);
		rc = snapset_apply_marks(set, l->all, l->all_count, err);
	}
	id_list_release(&covered);
	if (rc != 0)
		return rc;
	l->all_count = 0; /* the set's from here on */
	set->voids = l->voids.ids;
	set->void_count = l->voids.count;
	l->voids = (struct id_list){0};
	set->priv->names = *l->names;
	free(l->names);
	l->names = NULL;
	settle_figures(set);
	return snapset_name_all(set, l->old, l->repo->log, err);
}

/* Objects that are not listed any more leave the catalog as well. */
static bool keep_kept(void *arg, const char *name)
{
	const struct repo_listing *names = arg;
	struct id id;
	if (object_name_parse(name, "snapshots/", &id))
		return id_list_has(&names->snapshots, &id);
	if (object_name_parse(name, "summaries/", &id))
		return id_list_has(&names->summaries, &id);
	return object_name_parse(name, "marks/", &id) && id_list_has(&names->marks, &id);
}

static void sweep(const struct loader *l, struct repo_listing *names)
{
	static const char *const prefixes[] = {"snapshots/", "summaries/", "marks/"};
	for (size_t i = 0; l->catalog && i < 3; i++)
		catalog_objects_sweep(l->catalog, prefixes[i], keep_kept, names, NULL);
}

/* Would loading again find just what `old` holds? */
static bool is_current(const struct loader *l, const struct snapset *old)
{
	return !old->priv->retry && same_names(&old->priv->names, l->names);
}

static int load_new(struct loader *l, struct error *err)
{
	l->set = calloc(1, sizeof(*l->set));
	if (!l->set)
		return loader_no_memory(err);
	l->set->refs = 1;
	l->set->priv = calloc(1, sizeof(*l->set->priv));
	if (!l->set->priv)
		return loader_no_memory(err);
	int rc = copy_old(l, err);
	if (rc == 0)
		rc = load_rounds(l, err);
	return rc == 0 ? finish(l, err) : rc;
}

static void loader_release(struct loader *l)
{
	for (size_t i = 0; i < l->all_count; i++)
		snapshot_free(l->all[i]);
	free(l->all);
	id_list_release(&l->voids);
	id_list_release(&l->known);
	signers_release(&l->signers);
	repo_listing_free(l->names);
	snapset_unref(l->set);
}

int snapset_load(struct repo *repo, struct catalog *catalog, const struct snapset *old, const struct snapset **ret_set,
	struct error *err)
{
	struct loader l = {
		.repo = repo, .catalog = catalog, .old = old, .signers.repo = repo, .names = repo_take_listing(repo)};
	int rc = l.names ? 0 : repo_listing_load(repo, &l.names, err);
	if (rc == 0 && old && is_current(&l, old)) {
		repo_listing_free(l.names);
		*ret_set = snapset_ref(old);
		return 0;
	}
	if (rc == 0) {
		struct proofs proofs;
		proofs_load(&proofs, repo, catalog);
		l.signers.proofs = &proofs;
		rc = load_new(&l, err);
		l.signers.proofs = NULL;
		proofs_save(&proofs, repo, catalog);
	}
	if (rc == 0) {
		sweep(&l, &l.set->priv->names);
		*ret_set = l.set;
		l.set = NULL;
	}
	loader_release(&l);
	return rc == 0 ? 0 : error_wrap(err, rc, "reading the list of snapshots");
}
