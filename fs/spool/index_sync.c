/* SPDX-License-Identifier: MIT */

/*
 * What takes no part in the owner's lock: making ended transactions safe, and writing a large log back.
 *
 * A round of fdatasync that was started before a caller came may have missed the caller's transaction: it waits for
 * the round after. Whoever finds none running starts it, for all who wait.
 */

#include <errno.h>
#include <unistd.h>

#include "fs/spool/index_impl.h"

enum { TIDY_CACHE_KIB = 256 };

int index_sync_init(struct index_sync_state *s)
{
	if (pthread_mutex_init(&s->lock, NULL) != 0)
		return ERR_NO_MEMORY;
	if (pthread_mutex_init(&s->tidy_lock, NULL) != 0) {
		pthread_mutex_destroy(&s->lock);
		return ERR_NO_MEMORY;
	}
	if (pthread_cond_init(&s->done, NULL) != 0) {
		pthread_mutex_destroy(&s->tidy_lock);
		pthread_mutex_destroy(&s->lock);
		return ERR_NO_MEMORY;
	}
	return 0;
}

void index_sync_release(struct index_sync_state *s)
{
	sqlite3_close_v2(s->tidy_db);
	pthread_cond_destroy(&s->done);
	pthread_mutex_destroy(&s->tidy_lock);
	pthread_mutex_destroy(&s->lock);
}

/* Called and returns with the lock held, which it lets go over the sync. */
static void run_round(struct index *ix)
{
	struct index_sync_state *s = &ix->sync;
	int failed = 0;
	s->running = true;
	uint64_t round = ++s->started;
	uint64_t ended = atomic_load_explicit(&ix->ended, memory_order_acquire);
	if (ended != s->synced && !s->failed) {
		pthread_mutex_unlock(&s->lock);
		failed = fdatasync(ix->wal) == 0 ? 0 : errno;
		pthread_mutex_lock(&s->lock);
		if (failed == 0)
			s->synced = ended;
	}
	if (failed != 0) {
		s->failed = true;
		s->failed_errno = failed;
	}
	s->finished = round;
	s->running = false;
	pthread_cond_broadcast(&s->done);
}

int index_sync(struct index *ix, struct error *err)
{
	struct index_sync_state *s = &ix->sync;
	pthread_mutex_lock(&s->lock);
	uint64_t round = s->started + 1;
	while (s->finished < round) {
		if (s->running)
			pthread_cond_wait(&s->done, &s->lock);
		else
			run_round(ix);
	}
	int failed = s->failed ? s->failed_errno : 0;
	pthread_mutex_unlock(&s->lock);
	index_tidy(ix);
	return failed == 0
		       ? 0
		       : error_set_errno(err, failed,
				 "spool index '%s': its log could not be brought to disk; see to the disk and mount "
				 "again",
				 ix->path);
}

/* Pages that nobody's frozen view keeps go back into the file. Failing costs nothing but the log's size. */
static void write_back(struct index *ix, uint64_t pages)
{
	struct index_sync_state *s = &ix->sync;
	if (!s->tidy_db && index_connect(ix->path, false, TIDY_CACHE_KIB, &s->tidy_db, NULL) != 0)
		return;
	(void)sqlite3_wal_checkpoint_v2(s->tidy_db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	atomic_store_explicit(&ix->tidied, pages, memory_order_relaxed);
}

void index_tidy(struct index *ix)
{
	struct index_sync_state *s = &ix->sync;
	uint64_t large = INDEX_LOG_LARGE / INDEX_PAGE;
	uint64_t pages = atomic_load_explicit(&ix->log_pages, memory_order_relaxed);
	if (ix->frozen || pages < atomic_load_explicit(&ix->tidied, memory_order_relaxed) + large ||
		pthread_mutex_trylock(&s->tidy_lock) != 0)
		return;
	write_back(ix, pages);
	pthread_mutex_unlock(&s->tidy_lock);
}
