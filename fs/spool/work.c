/* SPDX-License-Identifier: MIT */

/* Locks, transactions, what is told to the outside, and staged files that nothing needs any more. */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "fs/spool/work_impl.h"

enum { BLOCK = 512 };

void work_enter(struct work *w)
{
	pthread_rwlock_rdlock(&w->gate);
}

void work_leave(struct work *w)
{
	bool due = atomic_load_explicit(&w->sweep_due, memory_order_relaxed);
	if (due && atomic_exchange(&w->sweep_due, false))
		work_sweep(w);
	if (atomic_load_explicit(&w->ended, memory_order_relaxed) && atomic_exchange(&w->ended, false))
		index_tidy(w->index);
	pthread_rwlock_unlock(&w->gate);
	if (atomic_load_explicit(&w->tell_changed, memory_order_relaxed) && atomic_exchange(&w->tell_changed, false) &&
		w->changed != NULL)
		w->changed(w->changed_arg, false);
}

void work_lock(struct work *w)
{
	pthread_mutex_lock(&w->lock);
}

/* On the way out: a transaction that is old or large is ended, garbage that has waited long is seen to. */
void work_unlock(struct work *w)
{
	if (w->tx_began != 0 || w->garbage.len > 0) {
		int64_t now = clock_monotonic();
		if (w->tx_began != 0 && (w->tx_changes >= TICK_CHANGES || now - w->tx_began >= TICK_NS))
			work_end(w, NULL);
		if (w->garbage.len > 0 && w->frozen == NULL &&
			(w->garbage.len >= SWEEP_MOST || now - w->swept >= SWEEP_NS)) {
			w->swept = now;
			atomic_store(&w->sweep_due, true);
		}
	}
	pthread_mutex_unlock(&w->lock);
}

uint64_t work_change(struct work *w)
{
	int64_t now = clock_monotonic();
	if (w->tx_began == 0)
		w->tx_began = now;
	w->tx_changes++;
	w->last_change = now;
	if (w->first_change == 0)
		w->first_change = now;
	if (!w->told) {
		w->told = true;
		atomic_store(&w->tell_changed, true);
	}
	w->changes = index_next_change(w->index);
	return w->changes;
}

int work_end(struct work *w, struct error *err)
{
	w->tx_began = 0;
	w->tx_changes = 0;
	atomic_store_explicit(&w->ended, true, memory_order_relaxed);
	return index_end(w->index, err);
}

struct entry_time work_now(void)
{
	int64_t now = clock_now();
	return (struct entry_time){.sec = now / CLOCK_SECOND, .nsec = (uint32_t)(now % CLOCK_SECOND)};
}

static uint64_t disk_bytes(struct work *w, const char *name)
{
	struct stat st;
	return fstatat(w->data, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_blocks * BLOCK : 0;
}

static int drop_layer(void *arg, const char *name, struct error *err)
{
	struct work *w = arg;
	(void)err;
	w->staged -= min_u64(w->staged, disk_bytes(w, name));
	buf_put(&w->garbage, name, STAGED_NAME);
	return 0;
}

void work_drop_layers(struct work *w, const struct buf *layers)
{
	/* What does not decode names nothing that could be removed: the next work_open() purges. */
	if (layers->len > 0)
		content_layer_names(layers->data, layers->len, drop_layer, w, NULL);
}

/* Some of the names; none while a commit may read those files. */
static struct buf take_garbage_locked(struct work *w)
{
	struct buf names = {0};
	size_t len = min_u64(w->garbage.len, SWEEP_MOST / STAGED_NAME * STAGED_NAME);
	if (w->frozen != NULL || len == 0)
		return names;
	buf_put(&names, w->garbage.data + (w->garbage.len - len), len);
	if (!buf_failed(&names))
		w->garbage.len -= len;
	w->swept = clock_monotonic();
	return names;
}

/*
 * Only when the index forgot them for good may staged files go: after a power cut it may stand where it still names
 * them.
 */
bool work_sweep(struct work *w)
{
	work_lock(w);
	struct buf names = take_garbage_locked(w);
	int rc = names.len > 0 ? work_end(w, NULL) : 0;
	bool more = names.len > 0 && w->garbage.len > 0;
	work_unlock(w);
	if (names.len > 0 && rc == 0 && index_sync(w->index, NULL) == 0) {
		for (size_t at = 0; at + STAGED_NAME <= names.len; at += STAGED_NAME)
			unlinkat(w->data, (const char *)names.data + at, 0);
	}
	buf_release(&names);
	return more;
}

void work_sweep_all(struct work *w)
{
	while (work_sweep(w) && !atomic_load(&w->hurry))
		;
}

void work_hurry(struct work *w)
{
	atomic_store(&w->hurry, true);
}

struct active *work_active(struct work *w, uint64_t ino)
{
	struct active *a = w->active[ino % ACTIVE_SLOTS];
	while (a != NULL && a->ino != ino)
		a = a->next;
	return a;
}

void work_lose(struct work *w, const char *fmt, ...)
{
	char *line = NULL;
	va_list args;
	char **more = realloc(w->lost, (w->lost_count + 2) * sizeof(*more));
	if (more == NULL)
		return;
	w->lost = more;
	va_start(args, fmt);
	if (vasprintf(&line, fmt, args) < 0)
		line = NULL;
	va_end(args);
	if (line != NULL)
		w->lost[w->lost_count++] = line;
	w->lost[w->lost_count] = NULL;
}

int work_snapshot_of(struct work *w, const struct id *id, const struct snapshot **ret, struct error *err)
{
	const struct snapshot *s = NULL;
	char hex[ID_HEX_MAX];
	if (w->base != NULL && id_equal(id, &w->base->id))
		s = w->base;
	else if (w->find != NULL)
		s = w->find(w->find_arg, id);
	if (s == NULL) {
		id_hex(id, hex);
		return error_set(err, ERR_IO, "the snapshot %.16s that holds bytes of '%s' is gone", hex, w->dataset);
	}
	*ret = s;
	return 0;
}

int work_entry_of(struct work *w, const struct id *id, const struct buf *key, const struct node **ret_leaf,
	const struct entry **ret_entry, struct error *err)
{
	const struct snapshot *s;
	int rc = work_snapshot_of(w, id, &s, err);
	if (rc < 0)
		return rc;
	rc = tree_find(
		reader_nodes(view_reader(w->view)), &s->root, key->data, key->len, ret_leaf, ret_entry, NULL, err);
	if (rc == ERR_NOT_FOUND)
		rc = error_set(err, ERR_CORRUPT, "the spool of '%s' names an entry that '%s/%s' does not have",
			w->dataset, s->dataset, s->name);
	return rc;
}

const char *work_dataset(const struct work *w)
{
	return w->dataset;
}

const struct snapshot *work_base(struct work *w)
{
	return w->base;
}

const char *const *work_lost(const struct work *w)
{
	static const char *const none[] = {NULL};
	return w->lost_count > 0 ? (const char *const *)w->lost : none;
}

void work_get_state(struct work *w, struct work_state *ret)
{
	work_lock(w);
	*ret = (struct work_state){
		.changes = w->changes,
		.committed = w->committed,
		.last_change = w->last_change,
		.first_change = w->first_change,
		.open_dirty = atomic_load(&w->open_dirty),
		.open_files = w->open_files,
		.staged_bytes = w->staged,
	};
	work_unlock(w);
}
