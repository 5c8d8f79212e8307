/* SPDX-License-Identifier: MIT */

/* Taking a working copy up, and letting it go. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fileio.h"
#include "fs/spool/work_impl.h"

/* ---- facts ---- */

static int id_fact(struct work *w, const char *name, struct id *ret, bool *ret_set, struct error *err)
{
	struct buf value = {0};
	int rc = index_fact(w->index, name, &value, err);
	*ret = (struct id){{0}};
	*ret_set = rc == 0;
	if (rc == 0 && value.len == sizeof(ret->b))
		memcpy(ret->b, value.data, sizeof(ret->b));
	buf_release(&value);
	if (rc == ERR_NOT_FOUND)
		error_clear(err);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

int work_base_put(struct work *w, struct error *err)
{
	return index_fact_put(w->index, "base", w->base != NULL ? w->base->id.b : NULL,
		w->base != NULL ? sizeof(w->base->id.b) : 0, err);
}

static int committed_fact(struct work *w, struct error *err)
{
	struct buf value = {0};
	bool set;
	int rc = index_fact(w->index, "committed", &value, err);
	if (rc == 0) {
		struct cursor c = cursor_of(value.data, value.len);
		w->committed = cursor_u64(&c);
	} else if (rc == ERR_NOT_FOUND) {
		error_clear(err);
		rc = 0;
	}
	buf_release(&value);
	return rc < 0 ? rc : id_fact(w, "committed_snapshot", &w->committed_at, &set, err);
}

/* Did the host restart since this was written? Then what was not synced may be gone. */
static int rebooted(struct work *w, bool *ret_rebooted, struct error *err)
{
	struct buf now = {0}, then = {0};
	int rc = fileio_slurp("/proc/sys/kernel/random/boot_id", 256, &now, NULL);
	*ret_rebooted = false;
	if (rc < 0)
		goto out;
	rc = index_fact(w->index, "boot", &then, err);
	if (rc == ERR_NOT_FOUND)
		error_clear(err);
	if (rc < 0 && rc != ERR_NOT_FOUND)
		goto out;
	bool same = rc == 0 && then.len == now.len && memcmp(then.data, now.data, now.len) == 0;
	*ret_rebooted = rc == 0 && !same;
	rc = same ? 0 : index_fact_put(w->index, "boot", now.data, now.len, err);
out:
	buf_release(&then);
	buf_release(&now);
	return rc;
}

/* ---- opening ---- */

static int root_make(struct work *w, struct error *err)
{
	struct index_inode root = INDEX_INODE_INIT;
	struct entry_time now = work_now();
	int rc = index_get(w->index, INDEX_ROOT, &root, err);
	if (rc == ERR_NOT_FOUND && w->base == NULL) {
		error_clear(err);
		root.ino = INDEX_ROOT;
		root.mode = S_IFDIR | 0755;
		root.uid = w->uid;
		root.gid = w->gid;
		root.nlink = 2;
		root.mtime = root.ctime = now;
		rc = index_put(w->index, &root, err);
	}
	index_inode_release(&root);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int copy_base(struct work *w, const struct snapshot *s, struct error *err)
{
	struct snapshot *copy = s != NULL ? snapshot_copy(s) : NULL;
	if (s != NULL && copy == NULL)
		return error_no_memory(err, "a snapshot");
	snapshot_free(w->base);
	w->base = copy;
	return 0;
}

/*
 * All that was changed is in a snapshot. Is there anything to move to? Where the newest is what this stands on, what
 * was committed since may have been forgotten; else it may only not be known yet.
 */
static bool may_move(const struct work *w, const struct work_options *o, const struct snapshot *base, uint64_t rows)
{
	if (o->newest == NULL)
		return false;
	if (base == NULL || !id_equal(&base->id, &o->newest->id))
		return true;
	return rows > 0 && !id_is_zero(&w->committed_at) &&
	       (id_equal(&w->committed_at, &base->id) || o->find == NULL ||
		       o->find(o->find_arg, &w->committed_at) == NULL);
}

/* The snapshot that the index stands on; the newest where there is nothing to keep. */
static int take_base(struct work *w, const struct work_options *o, struct error *err)
{
	struct id id;
	bool set, any = false;
	uint64_t rows = 0;
	char hex[ID_HEX_MAX];
	int rc = id_fact(w, "base", &id, &set, err);
	if (rc == 0)
		rc = index_changed_after(w->index, w->committed, &any, err);
	if (rc == 0)
		rc = index_count(w->index, &rows, err);
	if (rc < 0)
		return rc;
	const struct snapshot *s = NULL;
	if (set && !id_is_zero(&id)) {
		s = o->newest != NULL && id_equal(&o->newest->id, &id) ? o->newest : NULL;
		if (s == NULL && o->find != NULL)
			s = o->find(o->find_arg, &id);
	}
	bool gone = set && !id_is_zero(&id) && s == NULL;
	if (gone && any) {
		id_hex(&id, hex);
		return error_set(err, ERR_NOT_FOUND,
			"the snapshot %.16s that changes in '%s' stand on is gone: keep that folder, and move it away "
			"to begin anew",
			hex, w->dir);
	}
	bool moved = !set || (!any && may_move(w, o, s, rows));
	if (moved || gone) {
		s = o->newest;
		rc = rows > 0 ? index_clear(w->index, err) : 0;
	}
	if (rc == 0)
		rc = copy_base(w, s, err);
	return rc == 0 && (moved || gone) ? work_base_put(w, err) : rc;
}

static int take_up(struct work *w, const struct work_options *o, struct error *err)
{
	struct buf closed = {0};
	bool any = false, restarted = false;
	int rc = rebooted(w, &restarted, err);
	if (rc == 0)
		rc = committed_fact(w, err);
	bool peace = rc == 0 && index_fact(w->index, "closed", &closed, NULL) == 0 && closed.len > 0;
	/* Before the base is chosen: what was never closed is a change now. */
	if (rc == 0 && !peace)
		rc = work_close_new(w, err);
	if (rc == 0)
		rc = take_base(w, o, err);
	if (rc == 0)
		rc = root_make(w, err);
	if (rc == 0)
		rc = index_fact_put(w->index, "closed", NULL, 0, err);
	if (rc == 0)
		rc = work_recover(w, restarted, peace, err);
	if (rc == 0)
		rc = index_changed_after(w->index, w->committed, &any, err);
	w->changes = any ? max_u64(index_changes(w->index), w->committed + 1) : w->committed;
	w->first_change = any ? clock_monotonic() : 0;
	w->last_change = 0;
	w->told = false;
	atomic_store(&w->tell_changed, false);
	buf_release(&closed);
	return rc;
}

/* A damaged index is kept aside, with the bytes that it names. */
static int set_aside(struct work *w, struct error *err)
{
	char stamp[CLOCK_TEXT_MAX];
	static const char *const names[] = {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "data"};
	clock_compact_name(clock_now(), stamp);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *from = fileio_format("%s/%s", w->dir, names[i]);
		char *to = fileio_format("%s/damaged-%s-%s", w->dir, stamp, names[i]);
		int bad = from == NULL || to == NULL ? ENOMEM : rename(from, to) == 0 || errno == ENOENT ? 0 : errno;
		free(from);
		free(to);
		if (bad != 0)
			return error_set_errno(err, bad, "cannot set the damaged '%s/%s' aside", w->dir, names[i]);
	}
	work_lose(w, "the index in '%s' was damaged and is set aside as damaged-%s-*: changes not committed are there",
		w->dir, stamp);
	return 0;
}

static int open_folder(struct work *w, struct error *err)
{
	char *data = fileio_format("%s/data", w->dir);
	int rc = data == NULL ? error_no_memory(err, "a path") : fileio_mkdirs(data, 0700, err);
	if (rc == 0) {
		w->data = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = w->data < 0 ? error_set_errno(err, errno, "cannot open '%s'", data) : 0;
	}
	free(data);
	return rc;
}

static int open_all(struct work *w, const struct work_options *o, struct error *err)
{
	int rc = open_folder(w, err);
	if (rc < 0)
		return rc;
	rc = index_open(w->index_path, &w->index, err);
	if (rc == ERR_CORRUPT) {
		error_clear(err);
		close(w->data);
		w->data = -1;
		rc = set_aside(w, err);
		if (rc == 0)
			rc = open_folder(w, err);
		if (rc == 0)
			rc = index_open(w->index_path, &w->index, err);
	}
	if (rc == 0)
		rc = stage_new(w->data, &w->stage, err);
	return rc == 0 ? take_up(w, o, err) : rc;
}

static struct work *work_new(const struct work_options *o)
{
	struct work *w = calloc(1, sizeof(*w));
	pthread_rwlockattr_t attr;
	if (w == NULL)
		return NULL;
	w->view = o->view;
	w->find = o->find;
	w->find_arg = o->find_arg;
	w->changed = o->changed;
	w->changed_arg = o->changed_arg;
	w->uid = o->uid;
	w->gid = o->gid;
	w->power = o->power;
	w->data = -1;
	w->dir = strdup(o->dir);
	w->dataset = strdup(o->dataset);
	w->index_path = fileio_format("%s/index.sqlite", o->dir);
	pthread_mutex_init(&w->lock, NULL);
	pthread_mutex_init(&w->links_lock, NULL);
	pthread_cond_init(&w->opened, NULL);
	pthread_rwlock_init(&w->gate, NULL);
	/* A freeze is not to wait for as long as files keep being closed. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&w->record_gate, &attr);
	pthread_rwlockattr_destroy(&attr);
	return w;
}

int work_open(const struct work_options *options, struct work **ret_work, struct error *err)
{
	struct work *w = work_new(options);
	if (w == NULL)
		return error_no_memory(err, "a working copy");
	int rc = w->dir == NULL || w->dataset == NULL || w->index_path == NULL ? error_no_memory(err, "a working copy")
									       : open_all(w, options, err);
	if (rc < 0) {
		rc = error_wrap(err, rc, "taking up the working copy of '%s'", options->dataset);
		work_close(w);
		return rc;
	}
	*ret_work = w;
	return 0;
}

/* What is still open is recorded as at close. */
static void close_files(struct work *w)
{
	bool clean = true;
	for (size_t i = 0; i < ACTIVE_SLOTS; i++) {
		while (w->active[i] != NULL) {
			struct active *a = w->active[i];
			clean = work_active_record(w, a, RECORD_CLOSE, NULL, NULL) == 0 && clean;
			a->refs = 1;
			work_active_put(w, a);
		}
	}
	/* What was closed in peace is safe at the next start, also behind a restart of the host. */
	if (clean && w->index != NULL && w->data >= 0 && syncfs(w->data) == 0)
		index_fact_put(w->index, "closed", "1", 1, NULL);
}

void work_close(struct work *w)
{
	if (w == NULL)
		return;
	if (w->index != NULL) {
		close_files(w);
		work_sweep(w);
		work_end(w, NULL);
		index_close(w->index);
	}
	stage_free(w->stage);
	if (w->data >= 0)
		close(w->data);
	for (size_t i = 0; i < w->lost_count; i++)
		free(w->lost[i]);
	free(w->lost);
	snapshot_free(w->base);
	map_clear(&w->groups);
	map_clear(&w->folders);
	map_clear(&w->fresh);
	map_clear(&w->shared);
	buf_release(&w->garbage);
	free(w->links);
	pthread_rwlock_destroy(&w->record_gate);
	pthread_rwlock_destroy(&w->gate);
	pthread_cond_destroy(&w->opened);
	pthread_mutex_destroy(&w->links_lock);
	pthread_mutex_destroy(&w->lock);
	free(w->index_path);
	free(w->dataset);
	free(w->dir);
	free(w);
}
