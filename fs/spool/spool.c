/* SPDX-License-Identifier: MIT */
#include "fs/spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "base/hex.h"
#include "base/host.h"
#include "catalog/catalog.h"
#include "fs/spool/parked.h"
#include "fs/spool/spool_impl.h"

void spool_wait_until(struct spool *s, int64_t deadline)
{
	struct timespec until = {.tv_sec = deadline / CLOCK_SECOND, .tv_nsec = deadline % CLOCK_SECOND};

	if (deadline == INT64_MAX)
		pthread_cond_wait(&s->cond, &s->lock);
	else
		pthread_cond_timedwait(&s->cond, &s->lock, &until);
}

bool spool_thread(struct spool *s, void *(*main)(void *arg), void *arg)
{
	pthread_t thread;

	if (host_thread(&thread, main, arg) != 0)
		return false;
	pthread_detach(thread);
	s->threads++;
	return true;
}

const struct epoch *spool_epoch(struct spool *s)
{
	pthread_mutex_lock(&s->known_lock);
	const struct epoch *epoch = epoch_ref(s->epoch);
	pthread_mutex_unlock(&s->known_lock);
	return epoch;
}

static const struct snapshot *known_of(const struct spool *s, const struct id *id)
{
	for (size_t i = 0; i < s->known_count; i++)
		if (id_equal(&s->known[i]->id, id))
			return s->known[i];
	return NULL;
}

/* With known_lock. */
static const struct snapshot *keep_locked(struct spool *s, const struct snapshot *snapshot)
{
	const struct snapshot *known = known_of(s, &snapshot->id);

	if (known != NULL)
		return known;
	if (s->known_count == s->known_cap) {
		size_t cap = s->known_cap == 0 ? 16 : s->known_cap * 2;
		struct snapshot **bigger = reallocarray(s->known, cap, sizeof(*bigger));
		if (bigger == NULL)
			return NULL;
		s->known = bigger;
		s->known_cap = cap;
	}
	struct snapshot *copy = snapshot_copy(snapshot);
	if (copy != NULL)
		s->known[s->known_count++] = copy;
	return copy;
}

const struct snapshot *spool_keep(struct spool *s, const struct snapshot *snapshot)
{
	pthread_mutex_lock(&s->known_lock);
	const struct snapshot *known = keep_locked(s, snapshot);
	pthread_mutex_unlock(&s->known_lock);
	return known;
}

const struct snapshot *spool_find(void *arg, const struct id *id)
{
	struct spool *s = arg;

	pthread_mutex_lock(&s->known_lock);
	const struct snapshot *known = known_of(s, id);
	const struct snapshot *there = known == NULL ? snapset_by_id(s->epoch->set, id) : NULL;
	for (size_t i = 0; known == NULL && there == NULL && i < s->epoch->ghost_count; i++)
		if (id_equal(&s->epoch->ghosts[i]->id, id))
			there = s->epoch->ghosts[i];
	if (there != NULL)
		known = keep_locked(s, there);
	pthread_mutex_unlock(&s->known_lock);
	return known;
}

const struct snapshot *spool_newest(struct spool *s, const char *dataset)
{
	const struct snapshot *newest = NULL;
	size_t first, count;

	pthread_mutex_lock(&s->known_lock);
	const struct snapset *set = s->epoch->set;
	if (snapset_dataset(set, dataset, &first, &count))
		for (size_t i = first + count; newest == NULL && i-- > first;)
			if (set->list[i]->state != SNAPSHOT_DAMAGED)
				newest = set->list[i];
	if (newest != NULL)
		newest = keep_locked(s, newest);
	pthread_mutex_unlock(&s->known_lock);
	return newest;
}

void spool_show(struct spool *s, const struct epoch *epoch)
{
	pthread_mutex_lock(&s->known_lock);
	const struct epoch *old = s->epoch;
	s->epoch = epoch_ref(epoch);
	pthread_mutex_unlock(&s->known_lock);
	epoch_unref(old);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->copy_count && !s->closing; i++) {
		struct spool_copy *c = s->copies[i];
		if (c->work == NULL || c->removed)
			continue;
		c->shown = true;
		spool_wake(c);
	}
	pthread_mutex_unlock(&s->lock);
}

/* The repository's folder below the state folder, made where it is missing. */
static int make_folder(struct spool *s, struct error *err)
{
	char hex[2 * FORMAT_REPO_LEN + 1];
	char *top = s->o.dir != NULL ? strdup(s->o.dir) : fileio_state_dir();

	hex_encode(s->o.repo->config.repository, FORMAT_REPO_LEN, hex);
	if (top != NULL)
		s->dir = fileio_format("%s/%s", top, hex);
	free(top);
	return s->dir == NULL ? error_no_memory(err, "the spool") : fileio_mkdirs(s->dir, 0700, err);
}

static int take_lock(struct spool *s, struct error *err)
{
	char *path = fileio_format("%s/lock", s->dir);
	int r = 0;

	if (path == NULL)
		return error_no_memory(err, "the spool");
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		r = error_set_errno(err, errno, "cannot open '%s'", path);
	else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
		r = errno == EWOULDBLOCK
			    ? error_set(err, ERR_BUSY, "another mount of this host has the spool in '%s'", s->dir)
			    : error_set_errno(err, errno, "cannot lock '%s'", path);
	free(path);
	return r;
}

static int init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr) != 0)
		return ERR_NO_MEMORY;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	int r = pthread_cond_init(cond, &attr) != 0 ? ERR_NO_MEMORY : 0;
	pthread_condattr_destroy(&attr);
	return r;
}

static void spool_free(struct spool *s)
{
	for (size_t i = 0; i < s->copy_count; i++)
		spool_copy_free(s->copies[i]);
	free(s->copies);
	for (size_t i = 0; i < s->known_count; i++)
		snapshot_free(s->known[i]);
	free(s->known);
	catalog_close(s->catalog);
	epoch_unref(s->epoch);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	pthread_mutex_destroy(&s->known_lock);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
	free((char *)s->o.catalog_dir);
	free(s->dir);
	free(s);
}

static bool has_pending(struct spool_copy *c)
{
	struct work_state state = {0};

	if (c->work != NULL && !c->removed)
		work_get_state(c->work, &state);
	return state.changes > state.committed;
}

/* In one line, what an earlier mount left. */
static void tell_taken_up(struct spool *s)
{
	struct buf names = {0};

	for (size_t i = 0; i < s->copy_count; i++) {
		const char *name = s->copies[i]->name;
		if (!has_pending(s->copies[i]))
			continue;
		buf_put(&names, names.len > 0 ? ", '" : "'", names.len > 0 ? 3 : 1);
		buf_put(&names, name, strlen(name));
		buf_put_u8(&names, '\'');
	}
	bool any = names.len > 0;
	buf_put_u8(&names, 0);
	if (any && !buf_failed(&names))
		log_notice(s->o.log,
			"spool: an earlier mount left changes that are not committed, they are taken up: %s",
			(const char *)names.data);
	buf_release(&names);
	(void)parked_write(s->dir, NULL, 0, NULL); /* told; what stays is only told again */
}

/* What an earlier run left uncommitted goes on. */
static void begin(struct spool *s)
{
	pthread_mutex_lock(&s->lock);
	s->opening = false;
	for (size_t i = 0; i < s->copy_count; i++)
		if (s->copies[i]->events > 0 || s->copies[i]->work != NULL) /* it may have to be swept */
			spool_wake(s->copies[i]);
	pthread_mutex_unlock(&s->lock);
}

const char *spool_folder(const struct spool *s)
{
	return s->dir;
}

int spool_open(
	const struct spool_options *options, const struct epoch *epoch, struct spool **ret_spool, struct error *err)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (s == NULL || init_cond(&s->cond) < 0) {
		free(s);
		return error_no_memory(err, "the spool");
	}
	s->o = *options;
	s->lock_fd = -1;
	s->patience = SPOOL_PATIENCE;
	s->grown = SPOOL_GROWN;
	s->opening = true;
	s->epoch = epoch_ref(epoch);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->known_lock, NULL);
	int r = make_folder(s, err);
	s->o.dir = NULL; /* borrowed for the call */
	s->o.catalog_dir = options->catalog_dir == NULL ? NULL : strdup(options->catalog_dir);
	if (r == 0 && options->catalog_dir != NULL && s->o.catalog_dir == NULL)
		r = error_no_memory(err, "the spool");
	if (r == 0)
		r = take_lock(s, err);
	if (r == 0)
		r = spool_take_up(s, err);
	if (r < 0) {
		spool_free(s);
		return r;
	}
	*ret_spool = s;
	tell_taken_up(s);
	begin(s);
	return 0;
}

/* Waits for all threads, with the lock; those that take longer are told to stop. */
static void end_threads(struct spool *s, int64_t wait_ns)
{
	int64_t deadline = clock_monotonic() + wait_ns;

	s->closing = true;
	s->last_round = wait_ns > 0;
	for (size_t i = 0; i < s->copy_count; i++)
		if (s->copies[i]->work != NULL)
			work_hurry(s->copies[i]->work);
	for (size_t i = 0; i < s->copy_count; i++)
		if (s->last_round || s->copies[i]->running)
			spool_wake(s->copies[i]);
	while (s->threads > (s->watching ? 1u : 0u) && clock_monotonic() < deadline)
		spool_wait_until(s, deadline);
	__atomic_store_n(&s->cancel, 1, __ATOMIC_RELAXED);
	while (s->threads > (s->watching ? 1u : 0u))
		spool_wait_until(s, INT64_MAX);
}

/* No thread is left. What is not committed is told in the log, and left to be told by whoever waits for the end. */
static void tell_left(struct spool *s)
{
	struct error err = ERROR_INIT;
	const char **names = calloc(s->copy_count + 1, sizeof(char *));
	size_t count = 0;

	for (size_t i = 0; i < s->copy_count; i++) {
		struct spool_copy *c = s->copies[i];
		if (!has_pending(c))
			continue;
		log_notice(s->o.log, "spool: '%s' has changes that are not committed yet; they are kept in '%s'",
			c->name, c->dir);
		if (names != NULL)
			names[count++] = c->name;
	}
	if (names != NULL && parked_write(s->dir, names, count, &err) < 0)
		log_warn(s->o.log, "spool: %s", error_text(&err));
	free(names);
}

void spool_close(struct spool *s, int64_t wait_ns)
{
	struct error why = ERROR_INIT;

	if (s == NULL)
		return;
	error_set(&why, ERR_CANCELLED, "the spool is being closed; what was written is kept");
	pthread_mutex_lock(&s->lock);
	end_threads(s, wait_ns);
	for (size_t i = 0; i < s->copy_count; i++) {
		struct spool_wait *left = spool_refused(s->copies[i], true);
		pthread_mutex_unlock(&s->lock);
		spool_answer(left, ERR_CANCELLED, NULL, &why);
		pthread_mutex_lock(&s->lock);
	}
	pthread_cond_broadcast(&s->cond);
	while (s->threads > 0)
		spool_wait_until(s, INT64_MAX);
	pthread_mutex_unlock(&s->lock);
	tell_left(s);
	spool_free(s);
}
