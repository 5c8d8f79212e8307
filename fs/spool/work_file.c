/* SPDX-License-Identifier: MIT */

/* Handles: what open, read, write, close and fsync do. */

#include <fcntl.h>
#include <stdlib.h>

#include "fs/spool/work_impl.h"

void work_file_wrote(struct work_file *f)
{
	atomic_store(&f->a->written, clock_now());
	if (!atomic_load_explicit(&f->wrote, memory_order_relaxed) && !atomic_exchange(&f->wrote, true))
		atomic_fetch_add(&f->w->open_dirty, 1);
}

/* O_TRUNC: the time changes even where there was nothing, but for a file that was just made. */
static int cut(struct work_file *f, struct error *err)
{
	struct active *a = f->a;
	int rc = 0;
	if (content_size(a->content) == 0 && a->fresh)
		return 0;
	rc = work_active_ready(f->w, a, err);
	pthread_rwlock_rdlock(&a->swap);
	if (rc == 0 && content_size(a->content) != 0)
		rc = content_truncate(a->content, 0, err);
	pthread_rwlock_unlock(&a->swap);
	if (rc == 0)
		work_file_wrote(f);
	return rc;
}

int work_file_open(
	struct work *w, uint64_t ino, bool write, bool truncate, struct work_file **ret_file, struct error *err)
{
	struct work_file *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return error_no_memory(err, "an open file");
	f->w = w;
	f->write = write;
	work_enter(w);
	if (w->base != NULL)
		work_warm_inode(w, ino);
	int rc = work_active_get(w, ino, &f->a, err);
	if (rc == 0) {
		work_lock(w);
		f->a->writers += write;
		w->open_files++;
		map_drop(&w->fresh, f->a->ino);
		work_unlock(w);
		rc = truncate ? cut(f, err) : 0;
		if (rc < 0)
			work_file_close(f, NULL);
	} else {
		free(f);
	}
	work_leave(w);
	if (rc == 0)
		*ret_file = f;
	return rc;
}

/* Records where this handle, or nobody in particular, changed the file. */
static int save(struct work_file *f, unsigned how, struct error *err)
{
	struct work *w = f->w;
	uint64_t change = 0;
	bool wrote = atomic_exchange(&f->wrote, false);
	if (wrote)
		atomic_fetch_sub(&w->open_dirty, 1);
	work_lock(w);
	bool fresh = f->a->fresh;
	work_unlock(w);
	if (!wrote && !fresh && !(f->write && atomic_load(&f->a->cut)) && (how & RECORD_SYNC) == 0)
		return 0;
	int rc = work_active_record(w, f->a, how, &change, err);
	if (rc < 0 && wrote && !atomic_exchange(&f->wrote, true))
		atomic_fetch_add(&w->open_dirty, 1);
	if (rc == 0 && change != 0) {
		work_lock(w);
		f->change = change;
		work_unlock(w);
	}
	return rc < 0 ? rc : change != 0;
}

int work_flush(struct work_file *f, struct error *err)
{
	struct work *w = f->w;
	work_enter(w);
	int rc = save(f, RECORD_CLOSE, err);
	work_leave(w);
	if (rc > 0 && w->changed != NULL)
		w->changed(w->changed_arg, true);
	return rc < 0 ? rc : 0;
}

int work_file_close(struct work_file *f, struct error *err)
{
	struct work *w = f->w;
	work_enter(w);
	int rc = save(f, RECORD_CLOSE, err);
	work_lock(w);
	f->a->writers -= f->write;
	w->open_files--;
	work_unlock(w);
	if (atomic_load(&f->wrote)) /* it could not be recorded; who closes was told */
		atomic_fetch_sub(&w->open_dirty, 1);
	work_active_put(w, f->a);
	work_leave(w);
	if (rc > 0 && w->changed != NULL)
		w->changed(w->changed_arg, true);
	free(f);
	return rc < 0 ? rc : 0;
}

int work_fsync(struct work_file *f, struct error *err)
{
	struct work *w = f->w;
	work_enter(w);
	int rc = save(f, RECORD_SYNC, err);
	if (rc >= 0)
		rc = work_fsync_dir(w, err);
	work_leave(w);
	return rc < 0 ? rc : 0;
}

int work_fsync_dir(struct work *w, struct error *err)
{
	work_lock(w);
	int rc = work_end(w, err);
	work_unlock(w);
	return rc == 0 ? index_sync(w->index, err) : rc;
}

uint64_t work_file_change(struct work_file *f)
{
	work_lock(f->w);
	uint64_t change = f->change;
	work_unlock(f->w);
	return change;
}

/* ---- bytes ---- */

int work_read(struct work_file *f, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err)
{
	pthread_rwlock_rdlock(&f->a->swap);
	int rc = content_read(f->a->content, off, dst, len, ret_len, err);
	pthread_rwlock_unlock(&f->a->swap);
	return rc;
}

static int write_once(struct work_file *f, uint64_t off, const void *src, size_t len, bool append, struct error *err)
{
	pthread_rwlock_rdlock(&f->a->swap);
	int rc = append ? content_append(f->a->content, src, len, err)
			: content_write(f->a->content, off, src, len, err);
	if (rc == 0)
		work_file_wrote(f);
	pthread_rwlock_unlock(&f->a->swap);
	return rc;
}

int work_write(struct work_file *f, uint64_t off, const void *src, size_t len, bool append, struct error *err)
{
	if (len == 0)
		return 0;
	int rc = work_active_ready(f->w, f->a, err);
	if (rc == 0)
		rc = write_once(f, off, src, len, append, err);
	if (rc == ERR_NO_SPACE) { /* what was removed lately may still take room */
		error_clear(err);
		work_sweep(f->w);
		rc = write_once(f, off, src, len, append, err);
	}
	return rc;
}

int work_allocate(struct work_file *f, int mode, uint64_t off, uint64_t len, struct error *err)
{
	int rc = work_active_ready(f->w, f->a, err);
	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&f->a->swap);
	rc = content_allocate(f->a->content, mode, off, len, err);
	if (rc == 0)
		work_file_wrote(f);
	pthread_rwlock_unlock(&f->a->swap);
	return rc == ERR_UNSUPPORTED ? WORK_EOPNOTSUPP : rc;
}

int work_seek(struct work_file *f, uint64_t off, bool data, uint64_t *ret_off, struct error *err)
{
	pthread_rwlock_rdlock(&f->a->swap);
	int rc = content_seek(f->a->content, off, data, ret_off, err);
	pthread_rwlock_unlock(&f->a->swap);
	return rc == ERR_NOT_FOUND ? WORK_ENXIO : rc;
}
