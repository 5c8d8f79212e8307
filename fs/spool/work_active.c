/* SPDX-License-Identifier: MIT */

/* Files that are open: finding and opening their content, recording it, letting go. */

#include <stdlib.h>

#include "base/checked.h"
#include "fs/spool/work_impl.h"

/* ---- opening ---- */

int work_under_open(
	struct work *w, const struct id *id, const struct buf *key, struct reader_file **ret, struct error *err)
{
	struct node_source *nodes = reader_nodes(view_reader(w->view));
	const struct node *leaf;
	const struct entry *entry;
	*ret = NULL;
	if (id_is_zero(id))
		return 0;
	int rc = work_entry_of(w, id, key, &leaf, &entry, err);
	if (rc < 0)
		return rc;
	rc = S_ISREG(entry->mode)
		     ? reader_file_open(view_reader(w->view), entry, ret, err)
		     : error_set(err, ERR_CORRUPT, "the spool of '%s' names a file that is none", w->dataset);
	nodes->put(nodes, leaf);
	return rc;
}

static int open_content(struct work *w, struct active *a, const struct index_inode *row, struct error *err)
{
	/* A commit may begin while this opens: as if one ran, until open_first() sees whether one does. */
	struct content_options o = {.dir = w->data,
		.stage = w->stage,
		.layers = row->layers.data,
		.layers_len = row->layers.len,
		.size = row->size,
		.sealed = true,
		.unsynced = (row->flags & INDEX_UNSYNCED) != 0};
	int rc = work_under_open(w, &row->content_snapshot, &row->content_key, &o.under, err);
	return rc == 0 ? content_open(&o, &a->content, err) : rc;
}

static struct active *active_new(const struct index_inode *row, bool up)
{
	struct active *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->ino = row->ino;
	a->refs = 1;
	a->opening = true;
	atomic_init(&a->up, up);
	atomic_init(&a->arms, up ? work_arms(row) : 0);
	a->fresh = (row->flags & INDEX_OPEN_NEW) != 0;
	a->unsynced = (row->flags & INDEX_UNSYNCED) != 0;
	a->layered = row->layers.len > 0;
	a->under = row->content_snapshot;
	buf_put(&a->under_key, row->content_key.data, row->content_key.len);
	pthread_rwlock_init(&a->swap, NULL);
	pthread_mutex_init(&a->record, NULL);
	return a;
}

static void active_free(struct active *a)
{
	content_close(a->content);
	buf_release(&a->under_key);
	buf_release(&a->later);
	buf_release(&a->settled_key);
	pthread_mutex_destroy(&a->record);
	pthread_rwlock_destroy(&a->swap);
	free(a);
}

static void take_out(struct work *w, struct active *a)
{
	struct active **at = &w->active[a->ino % ACTIVE_SLOTS];
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
}

/* The one that is there, once it is open. Under the lock. */
static int join(struct work *w, struct active *a, struct error *err)
{
	a->refs++;
	while (a->opening)
		pthread_cond_wait(&w->opened, &w->lock);
	if (a->failed == 0)
		return 0;
	int rc = error_set(err, a->failed, "a file of '%s' cannot be opened", w->dataset);
	if (--a->refs == 0)
		active_free(a);
	return rc;
}

/* The first: opens without the lock, which is held at the call and after it. */
static int open_first(struct work *w, struct active *a, const struct index_inode *row, struct error *err)
{
	a->next = w->active[a->ino % ACTIVE_SLOTS];
	w->active[a->ino % ACTIVE_SLOTS] = a;
	work_unlock(w);
	int rc = buf_failed(&a->under_key) ? error_no_memory(err, "an open file") : open_content(w, a, row, err);
	work_lock(w);
	a->opening = false;
	a->failed = rc;
	pthread_cond_broadcast(&w->opened);
	if (rc < 0) {
		take_out(w, a);
		if (--a->refs == 0)
			active_free(a);
		return rc;
	}
	a->staged = content_staged(a->content);
	/* It was opened as if a commit ran; one may have begun or ended since. */
	if (w->frozen == NULL)
		content_thaw(a->content);
	return 0;
}

int work_active_get(struct work *w, uint64_t ino, struct active **ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool up;
	work_lock(w);
	struct active *a = work_active(w, ino);
	int rc = a != NULL ? 0 : work_peek(w, ino, &row, &up, err);
	if (rc == 0 && a == NULL && !S_ISREG(row.mode))
		rc = S_ISDIR(row.mode) ? work_fail(err, WORK_EISDIR, "a folder cannot be opened as a file")
				       : work_fail(err, WORK_EINVAL, "not a file");
	if (rc == 0 && a == NULL)
		a = work_active(w, row.ino);
	if (rc == 0 && a != NULL) {
		rc = join(w, a, err);
	} else if (rc == 0 && row.nlink == 0) {
		rc = error_set(err, ERR_NOT_FOUND, "the file has no name any more");
	} else if (rc == 0) {
		a = active_new(&row, up);
		rc = a == NULL ? error_no_memory(err, "an open file") : open_first(w, a, &row, err);
	}
	work_unlock(w);
	index_inode_release(&row);
	if (rc == 0)
		*ret = a;
	return rc;
}

int work_active_ready(struct work *w, struct active *a, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	if (atomic_load_explicit(&a->up, memory_order_acquire))
		return 0;
	work_warm_inode(w, a->ino);
	work_lock(w);
	int rc = work_up(w, a->ino, &row, err);
	if (rc == 0) {
		atomic_store(&a->arms, work_arms(&row));
		atomic_store(&a->up, true);
	}
	work_unlock(w);
	index_inode_release(&row);
	return rc;
}

/* ---- letting go ---- */

static int push_name(void *arg, const char *name, struct error *err)
{
	struct buf *names = arg;
	(void)err;
	buf_put(names, name, STAGED_NAME);
	return 0;
}

/* All staged files of a content that nobody needs: cutting it to nothing makes recording it cheap. */
static void names_of_content(struct content *content, struct buf *names)
{
	struct buf layers = {0}, gone = {0};
	uint64_t size;
	if (content_truncate(content, 0, NULL) == 0 && content_record(content, &layers, &size, &gone, NULL) == 0) {
		content_layer_names(layers.data, layers.len, push_name, names, NULL);
		buf_put(names, gone.data, gone.len);
	}
	buf_release(&layers);
	buf_release(&gone);
}

void work_active_put(struct work *w, struct active *a)
{
	struct buf names = {0};
	work_lock(w);
	if (--a->refs > 0) {
		work_unlock(w);
		return;
	}
	take_out(w, a);
	if (a->unlinked) {
		w->staged -= min_u64(w->staged, a->staged);
		index_drop(w->index, a->ino, NULL);
	} else if (a->settled != 0) {
		work_settle(w, a->ino, a->settled, &a->settled_at, &a->settled_key, NULL);
	}
	work_unlock(w);
	if (a->unlinked) {
		names_of_content(a->content, &names);
		work_lock(w);
		buf_put(&w->garbage, names.data, names.len);
		buf_put(&w->garbage, a->later.data, a->later.len);
		work_unlock(w);
	}
	buf_release(&names);
	active_free(a);
}

/* ---- recording ---- */

struct record {
	unsigned how;
	struct buf layers, gone;
	uint64_t size, change;
	int64_t written;
};

static bool needs_record(const struct active *a, unsigned how)
{
	return !a->unlinked &&
	       (content_dirty(a->content) || a->shared || a->again || atomic_load(&a->written) != 0 ||
		       ((how & RECORD_CLOSE) != 0 && a->fresh) || ((how & RECORD_SYNC) != 0 && a->unsynced));
}

static void fill_row(struct active *a, struct record *r, struct index_inode *row)
{
	struct buf old = row->layers;
	row->layers = r->layers;
	r->layers = old;
	row->size = r->size;
	row->content_snapshot = a->under;
	buf_clear(&row->content_key);
	buf_put(&row->content_key, a->under_key.data, a->under_key.len);
	if (r->written != 0) {
		row->mtime = (struct entry_time){
			.sec = r->written / CLOCK_SECOND, .nsec = (uint32_t)(r->written % CLOCK_SECOND)};
		row->ctime = row->mtime;
	}
	if ((r->how & RECORD_CLOSE) != 0)
		row->flags &= ~(unsigned)INDEX_OPEN_NEW;
	row->flags &= ~(unsigned)INDEX_UNSYNCED;
	if ((r->how & RECORD_SYNC) == 0 && row->layers.len > 0)
		row->flags |= INDEX_UNSYNCED;
}

/* Into the row; under the lock. */
static int put_record(struct work *w, struct active *a, struct record *r, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	int rc = work_up(w, a->ino, &row, err);
	if (rc == 0 && row.nlink > 0) {
		bool shared = a->shared;
		fill_row(a, r, &row);
		row.changed = r->change = work_change(w);
		rc = buf_failed(&row.content_key) ? error_no_memory(err, "an inode") : index_put(w->index, &row, err);
		if (rc == 0 && shared) /* what was staged before it took over the content */
			content_layer_names(r->layers.data, r->layers.len, push_name, &w->garbage, NULL);
		if (rc == 0 && shared)
			rc = work_unsettle(w, a->ino, err);
		if (rc == 0)
			rc = work_end(w, err);
	}
	if (rc == 0) {
		uint64_t staged = content_staged(a->content);
		w->staged += staged - min_u64(a->staged, w->staged + staged);
		a->staged = staged;
		a->layered = row.layers.len > 0;
		a->unsynced = (row.flags & INDEX_UNSYNCED) != 0;
		a->fresh = (row.flags & INDEX_OPEN_NEW) != 0;
		a->shared = false;
		a->settled = 0;
		atomic_store(&a->arms, work_arms(&row));
		atomic_store(&a->up, true);
		buf_put(&w->garbage, a->later.data, a->later.len);
		buf_clear(&a->later);
	}
	buf_put(&w->garbage, r->gone.data, r->gone.len);
	index_inode_release(&row);
	return rc;
}

static int record(struct work *w, struct active *a, struct record *r, struct error *err)
{
	int rc = content_record(a->content, &r->layers, &r->size, &r->gone, err);
	/* The index may reach the disk before bytes that were only closed, and must not hide what was promised. */
	if (rc == 0 && content_promised(a->content))
		r->how |= RECORD_SYNC;
	if (rc == 0 && (r->how & RECORD_SYNC) != 0)
		rc = content_sync(a->content, err);
	r->written = rc == 0 ? atomic_exchange(&a->written, 0) : 0;
	work_lock(w);
	if (rc == 0)
		rc = put_record(w, a, r, err);
	a->again = rc < 0;
	work_unlock(w);
	if (rc < 0)
		content_unrecord(a->content);
	int64_t none = 0;
	if (rc < 0 && r->written != 0)
		atomic_compare_exchange_strong(&a->written, &none, r->written);
	return rc;
}

int work_active_record(struct work *w, struct active *a, unsigned how, uint64_t *ret_change, struct error *err)
{
	struct record r = {.how = how | (w->power ? RECORD_SYNC : 0)};
	int rc = 0;
	pthread_mutex_lock(&a->record);
	pthread_rwlock_rdlock(&w->record_gate);
	pthread_rwlock_rdlock(&a->swap);
	work_lock(w);
	bool needed = needs_record(a, how);
	work_unlock(w);
	atomic_store(&a->cut, false);
	if (needed)
		rc = record(w, a, &r, err);
	pthread_rwlock_unlock(&a->swap);
	pthread_rwlock_unlock(&w->record_gate);
	pthread_mutex_unlock(&a->record);
	if (rc == 0 && needed && w->power)
		rc = index_sync(w->index, err);
	if (rc == 0 && r.change != 0 && ret_change != NULL)
		*ret_change = r.change;
	buf_release(&r.layers);
	buf_release(&r.gone);
	return rc;
}

int work_active_share(struct work *w, struct active *a, struct content *content, const struct id *under,
	const struct buf *key, struct error *err)
{
	struct buf copy = {0}, names = {0};
	buf_put(&copy, key->data, key->len);
	pthread_rwlock_wrlock(&a->swap);
	int rc = buf_failed(&copy)               ? error_no_memory(err, "an open file")
		 : content_size(a->content) != 0 ? error_set(err, ERR_BUSY, "the file is not empty")
						 : 0;
	if (rc == 0) {
		struct content *old = a->content;
		work_lock(w);
		a->content = content;
		a->under = *under;
		buf_release(&a->under_key);
		a->under_key = copy;
		a->shared = true;
		copy = (struct buf){0};
		if (w->frozen != NULL)
			content_freeze(content);
		map_put(&w->shared, a->ino, 1);
		work_unlock(w);
		content = old;
		names_of_content(old, &names);
		work_lock(w);
		buf_put(&a->later, names.data, names.len);
		work_unlock(w);
	}
	pthread_rwlock_unlock(&a->swap);
	content_close(content);
	buf_release(&names);
	buf_release(&copy);
	return rc;
}
