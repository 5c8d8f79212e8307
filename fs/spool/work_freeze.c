/* SPDX-License-Identifier: MIT */

/* A state for a commit, and what follows once it is durable. */

#include <stdlib.h>

#include "base/checked.h"
#include "base/fileio.h"
#include "fs/spool/work_impl.h"

enum { FRESH_NS = 1000000000 };

/* ---- where an inode stands ---- */

struct place {
	uint64_t parent;
	char name[INDEX_NAME_MAX + 1];
};

static int first_name(void *arg, const struct index_name *name, struct error *err)
{
	struct place *p = arg;
	(void)err;
	p->parent = name->parent;
	memcpy(p->name, name->name, strlen(name->name) + 1);
	return 1;
}

char *work_path(struct index *ix, uint64_t ino)
{
	char *path = NULL;
	struct place p;
	for (size_t depth = 0; ino != INDEX_ROOT && depth < ENTRY_KEY_MAX; depth++) {
		if (index_names_of(ix, ino, first_name, &p, NULL) != 1) {
			free(path);
			return NULL;
		}
		char *longer = path == NULL ? strdup(p.name) : fileio_format("%s/%s", p.name, path);
		free(path);
		path = longer;
		if (path == NULL)
			return NULL;
		ino = p.parent;
	}
	return path;
}

/* ---- freezing ---- */

static void frozen_free(struct work_frozen *f)
{
	for (char **at = f->never_closed; at != NULL && *at != NULL; at++)
		free(*at);
	free(f->never_closed);
	index_close(f->index);
	free(f);
}

/* A row that the state that is frozen now has otherwise, or not at all. */
static void change_made(struct work *w, uint64_t ino, unsigned flags)
{
	struct index_inode row = INDEX_INODE_INIT;
	if (index_get(w->index, ino, &row, NULL) == 0) {
		row.flags &= ~flags;
		row.changed = work_change(w);
		index_put(w->index, &row, NULL);
	}
	index_inode_release(&row);
}

/*
 * Files that were made by mknod(2) and left alone count as closed, before the state is frozen. Those that may just be
 * about to be opened are left out, and count as changed after it.
 */
static void see_made(struct work *w, bool before)
{
	struct buf old = {0}, young = {0};
	struct map_slot slot;
	uint64_t now = (uint64_t)clock_monotonic();
	for (size_t at = 0; map_next(&w->fresh, &at, &slot);)
		buf_put_u64(now - slot.value >= FRESH_NS ? &old : &young, slot.key);
	struct cursor c = before ? cursor_of(old.data, old.len) : cursor_of(young.data, young.len);
	while (cursor_left(&c) > 0) {
		uint64_t ino = cursor_u64(&c);
		change_made(w, ino, before ? INDEX_OPEN_NEW : 0);
		if (before)
			map_drop(&w->fresh, ino);
	}
	buf_release(&old);
	buf_release(&young);
}

static int name_never_closed(struct work *w, struct work_frozen *f, struct error *err)
{
	size_t count = 0;
	for (size_t i = 0; i < ACTIVE_SLOTS; i++)
		for (const struct active *a = w->active[i]; a != NULL; a = a->next)
			count += a->fresh && !a->unlinked;
	f->never_closed = calloc(count + 1, sizeof(*f->never_closed));
	if (f->never_closed == NULL)
		return error_no_memory(err, "names of open files");
	count = 0;
	for (size_t i = 0; i < ACTIVE_SLOTS; i++) {
		for (const struct active *a = w->active[i]; a != NULL; a = a->next) {
			char *path = a->fresh && !a->unlinked ? work_path(w->index, a->ino) : NULL;
			if (path != NULL)
				f->never_closed[count++] = path;
		}
	}
	return 0;
}

static int freeze(struct work *w, struct work_frozen *f, struct error *err)
{
	if (w->frozen != NULL)
		return error_set(err, ERR_BUSY, "a commit of '%s' is running", w->dataset);
	see_made(w, true);
	int rc = name_never_closed(w, f, err);
	if (rc == 0)
		rc = work_end(w, err);
	if (rc == 0)
		rc = index_freeze(w->index, &f->index, err);
	if (rc < 0)
		return rc;
	f->data = w->data;
	f->change = w->changes;
	f->base = w->base;
	w->frozen = f;
	see_made(w, false);
	for (size_t i = 0; i < ACTIVE_SLOTS; i++) {
		for (struct active *a = w->active[i]; a != NULL; a = a->next)
			if (!a->opening)
				content_freeze(a->content);
	}
	return 0;
}

int work_freeze(struct work *w, struct work_frozen **ret_frozen, struct error *err)
{
	struct work_frozen *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return error_no_memory(err, "a frozen state");
	work_enter(w);
	pthread_rwlock_wrlock(&w->record_gate);
	work_lock(w);
	int rc = freeze(w, f, err);
	work_unlock(w);
	pthread_rwlock_unlock(&w->record_gate);
	work_leave(w);
	if (rc < 0)
		frozen_free(f);
	else
		*ret_frozen = f;
	return rc;
}

void work_thaw(struct work *w, struct work_frozen *frozen)
{
	if (frozen == NULL)
		return;
	work_enter(w);
	work_lock(w);
	w->frozen = NULL;
	for (size_t i = 0; i < ACTIVE_SLOTS; i++) {
		for (struct active *a = w->active[i]; a != NULL; a = a->next)
			if (!a->opening)
				content_thaw(a->content);
	}
	bool quiet = w->open_files == 0;
	work_unlock(w);
	frozen_free(frozen);
	if (quiet)
		stage_rest(w->stage);
	work_sweep_all(w);
	work_leave(w);
}

/* ---- committed ---- */

void work_settle_name(uint64_t ino, char dst[static 32])
{
	snprintf(dst, 32, "settle:%llx", (unsigned long long)ino);
}

int work_unsettle(struct work *w, uint64_t ino, struct error *err)
{
	char name[32];
	struct buf fact = {0};
	work_settle_name(ino, name);
	int rc = index_fact(w->index, name, &fact, err);
	if (rc == 0 && fact.len > 0)
		rc = index_fact_put(w->index, name, NULL, 0, err);
	buf_release(&fact);
	if (rc == ERR_NOT_FOUND)
		error_clear(err);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

int work_settle(
	struct work *w, uint64_t ino, uint64_t change, const struct id *at, const struct buf *key, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	int rc = index_get(w->index, ino, &row, err);
	if (rc == 0 && row.changed == change && row.nlink > 0) {
		struct buf layers = row.layers;
		row.layers = (struct buf){0};
		row.flags &= ~(unsigned)INDEX_UNSYNCED;
		row.content_snapshot = row.size > 0 ? *at : (struct id){{0}};
		buf_clear(&row.content_key);
		if (row.size > 0)
			buf_put(&row.content_key, key->data, key->len);
		rc = buf_failed(&row.content_key) ? error_no_memory(err, "an inode") : index_put(w->index, &row, err);
		if (rc == 0)
			rc = work_unsettle(w, ino, err);
		if (rc == 0)
			work_drop_layers(w, &layers);
		buf_release(&layers);
	}
	index_inode_release(&row);
	if (rc == ERR_NOT_FOUND)
		error_clear(err);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

struct done {
	struct work *w;
	const struct work_frozen *frozen;
	struct id at;
};

/* It is open: its layers go with its last close, in this run or before the next. Under the lock. */
static int settle_later(struct done *d, struct active *a, uint64_t change, const struct buf *key, struct error *err)
{
	struct buf fact = {0};
	char name[32];
	a->settled = change;
	a->settled_at = d->at;
	buf_clear(&a->settled_key);
	buf_put(&a->settled_key, key->data, key->len);
	buf_put(&fact, d->at.b, sizeof(d->at.b));
	buf_put(&fact, key->data, key->len);
	work_settle_name(a->ino, name);
	int rc = buf_failed(&fact) || buf_failed(&a->settled_key)
			 ? error_no_memory(err, "a fact")
			 : index_fact_put(d->w->index, name, fact.data, fact.len, err);
	if (rc < 0)
		a->settled = 0;
	buf_release(&fact);
	return rc;
}

static int settle_one(void *arg, const struct index_inode *inode, struct error *err)
{
	struct done *d = arg;
	struct work *w = d->w;
	struct buf key = {0};
	int rc = 0;
	if (inode->nlink == 0 || (inode->flags & INDEX_OPEN_NEW) != 0 || !S_ISREG(inode->mode))
		return 0;
	char *path = work_path(d->frozen->index, inode->ino);
	if (path == NULL || !entry_key_from_path(&key, path, strlen(path)) || key.len > ENTRY_KEY_MAX)
		goto out; /* too deep to be in the snapshot: it stays staged */
	work_lock(w);
	struct active *a = work_active(w, inode->ino);
	struct index_inode now = INDEX_INODE_INIT;
	rc = index_get(w->index, inode->ino, &now, NULL);
	bool same = rc == 0 && now.changed == inode->changed;
	index_inode_release(&now);
	rc = 0;
	index_urgent(w->index, true);
	if (same && a != NULL)
		rc = settle_later(d, a, inode->changed, &key, err);
	else if (same)
		rc = work_settle(w, inode->ino, inode->changed, &d->at, &key, err);
	index_urgent(w->index, false);
	work_unlock(w);
out:
	buf_release(&key);
	free(path);
	return rc;
}

/* Files that took their content over from elsewhere stand on this dataset's own snapshot from now on. */
static int settle_shared(struct done *d, struct error *err)
{
	struct buf inos = {0};
	struct map_slot slot;
	int rc = 0;
	work_lock(d->w);
	for (size_t at = 0; map_next(&d->w->shared, &at, &slot);)
		buf_put_u64(&inos, slot.key);
	work_unlock(d->w);
	struct cursor c = cursor_of(inos.data, inos.len);
	while (rc == 0 && cursor_left(&c) > 0) {
		struct index_inode row = INDEX_INODE_INIT;
		uint64_t ino = cursor_u64(&c);
		rc = index_get(d->frozen->index, ino, &row, NULL);
		if (rc == 0 && row.layers.len == 0 && !id_is_zero(&row.content_snapshot)) {
			rc = settle_one(d, &row, err);
			work_lock(d->w);
			map_drop(&d->w->shared, ino);
			work_unlock(d->w);
		} else if (rc == ERR_NOT_FOUND) {
			rc = 0;
		}
		index_inode_release(&row);
	}
	buf_release(&inos);
	return rc;
}

/* Under the lock. */
static int note_committed(struct work *w, const struct work_frozen *frozen, const struct id *at, struct error *err)
{
	struct buf number = {0};
	bool any = false;
	buf_put_u64(&number, frozen->change);
	int rc = buf_failed(&number) ? error_no_memory(err, "a fact")
				     : index_fact_put(w->index, "committed", number.data, number.len, err);
	if (rc == 0)
		rc = index_fact_put(w->index, "committed_snapshot", at->b, sizeof(at->b), err);
	if (rc == 0)
		rc = work_end(w, err);
	buf_release(&number);
	if (rc < 0)
		return rc;
	w->committed = frozen->change;
	w->committed_at = *at;
	any = w->changes > frozen->change;
	w->first_change = any ? w->last_change : 0;
	w->told = any;
	return 0;
}

int work_committed(struct work *w, struct work_frozen *frozen, const struct snapshot *snapshot, struct error *err)
{
	struct done d = {.w = w, .frozen = frozen};
	int rc = 0;
	if (snapshot != NULL)
		d.at = snapshot->id;
	else if (frozen->base != NULL)
		d.at = frozen->base->id;
	work_enter(w);
	if (!id_is_zero(&d.at)) {
		rc = index_staged(frozen->index, settle_one, &d, err);
		if (rc == 0)
			rc = settle_shared(&d, err);
	}
	work_lock(w);
	index_urgent(w->index, true);
	if (rc == 0)
		rc = note_committed(w, frozen, &d.at, err);
	index_urgent(w->index, false);
	work_unlock(w);
	if (rc == 0)
		rc = index_sync(w->index, err);
	work_leave(w);
	return rc;
}

/* ---- another base ---- */

static int move_base(struct work *w, const struct snapshot *newest, struct error *err)
{
	struct snapshot *copy = snapshot_copy(newest);
	struct snapshot *old = w->base;
	if (copy == NULL)
		return error_no_memory(err, "a snapshot");
	int rc = index_clear(w->index, err);
	w->base = copy;
	if (rc == 0)
		rc = work_base_put(w, err);
	if (rc == 0)
		rc = work_end(w, err);
	if (rc < 0) {
		w->base = old;
		snapshot_free(copy);
		return rc;
	}
	snapshot_free(old);
	map_clear(&w->groups);
	map_clear(&w->folders);
	map_clear(&w->fresh);
	map_clear(&w->shared);
	free(w->links);
	w->links = NULL;
	w->link_count = 0;
	w->links_known = false;
	w->changes = w->committed;
	return 0;
}

static int collect_layers(void *arg, const struct index_inode *inode, struct error *err)
{
	(void)err;
	work_drop_layers(arg, &inode->layers);
	return 0;
}

/* Under the gate, written, and the lock. */
static int rebase(struct work *w, const struct snapshot *newest, bool *ret_moved, struct error *err)
{
	uint64_t rows = 0;
	bool any = true;
	bool busy = w->open_files > 0 || w->frozen != NULL || w->fresh.count > 0;
	for (size_t i = 0; i < ACTIVE_SLOTS && !busy; i++)
		busy = w->active[i] != NULL;
	if (busy)
		return 0;
	int rc = index_changed_after(w->index, w->committed, &any, err);
	if (rc == 0)
		rc = index_count(w->index, &rows, err);
	if (rc < 0 || any || (w->base != NULL && id_equal(&w->base->id, &newest->id) && rows == 0))
		return rc;
	rc = index_staged(w->index, collect_layers, w, err);
	if (rc == 0)
		rc = move_base(w, newest, err);
	*ret_moved = rc == 0;
	return rc;
}

int work_rebase(struct work *w, const struct snapshot *newest, bool *ret_moved, struct error *err)
{
	bool moved = false;
	int rc = 0;
	if (newest != NULL && pthread_rwlock_trywrlock(&w->gate) == 0) {
		work_lock(w);
		rc = rebase(w, newest, &moved, err);
		work_unlock(w);
		pthread_rwlock_unlock(&w->gate);
	}
	if (rc == 0)
		*ret_moved = moved;
	return rc;
}
