/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"
#include "archive/wave.h"
#include "base/checked.h"
#include "base/host.h"
#include "base/pool.h"

enum { REMOTE_FETCHERS_MAX = 32 };

void fetch_init(struct reader *r, unsigned threads)
{
	unsigned parallel = r->repo->store->parallel;

	r->decode_max = threads > 0 ? threads : pool_cores();
	r->decode_max = (unsigned)min_u64(r->decode_max, THREADS_MAX / 2);
	r->fetch_max = r->decode_max;
	r->thread_max = r->decode_max;
	if (r->local)
		return;
	r->fetch_max = (unsigned)max_u64(min_u64(parallel, REMOTE_FETCHERS_MAX), 1);
	r->thread_max = r->decode_max + r->fetch_max;
}

/* ---- the queue of runs ---- */

static void run_unlink_locked(struct reader *r, struct run *run)
{
	if (run->prev != NULL)
		run->prev->next = run->next;
	else
		r->run_first = run->next;
	if (run->next != NULL)
		run->next->prev = run->prev;
	else
		r->run_last = run->prev;
	run->prev = run->next = NULL;
	run->queued = false;
}

static void run_free_locked(struct reader *r, struct run *run)
{
	room_buf_free_locked(r, &run->buf);
	room_give_locked(r, run->spare);
	free(run);
}

static void *thread_main(void *arg);

void fetch_rouse_locked(struct reader *r)
{
	if (r->sleeping > 0) {
		pthread_cond_signal(&r->work);
		return;
	}
	if (r->thread_count == r->thread_max || r->stopping)
		return;
	if (host_thread(&r->threads[r->thread_count], thread_main, r) == 0)
		r->thread_count++;
}

void fetch_queue_locked(struct reader *r, struct run *run)
{
	run->prev = r->run_last;
	run->next = NULL;
	if (run->prev != NULL)
		run->prev->next = run;
	else
		r->run_first = run;
	r->run_last = run;
	run->queued = true;
	fetch_rouse_locked(r);
}

void fetch_raise_locked(struct reader *r, struct run *run)
{
	if (!run->queued || r->run_first == run)
		return;
	run_unlink_locked(r, run);
	run->next = r->run_first;
	run->next->prev = run;
	r->run_first = run;
	run->queued = true;
}

static bool run_awaited(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++)
		if (run->slots[i]->waiters > 0)
			return true;
	return false;
}

/* A queued run that nobody will execute. What was taken out of it by others goes on. */
static void run_drop_locked(struct reader *r, struct run *run)
{
	run_unlink_locked(r, run);
	for (unsigned i = 0; i < run->count; i++) {
		struct slot *s = run->slots[i];
		if (s->state == SLOT_QUEUED)
			cache_fail_locked(r, s, ERR_BUSY, NULL);
		s->run = NULL;
		cache_unref_locked(r, s);
	}
	run_free_locked(r, run);
}

bool fetch_drop_locked(struct reader *r)
{
	struct run *run = r->run_last;

	while (run != NULL && run_awaited(run))
		run = run->prev;
	if (run == NULL)
		return false;
	run_drop_locked(r, run);
	return true;
}

/* ---- decoding ---- */

void fetch_claim_locked(struct reader *r, struct slot *s)
{
	slot_list_remove(&r->decode_queue, s);
	s->state = SLOT_BUSY;
}

/* One slot less needs the run's bytes. */
static void run_left_locked(struct reader *r, struct run *run)
{
	if (--run->left == 0)
		run_free_locked(r, run);
}

int fetch_decode_locked(struct reader *r, struct slot *s, struct error *err)
{
	struct run *run = s->run;
	struct loaded l = {.spare = s->charge};
	struct error why = ERROR_INIT;

	s->charge = 0;
	reader_unlock(r);
	int status = load_sealed(r, s->class, &s->ref, s->sealed, &l, &why);
	reader_lock(r);
	s->run = NULL;
	load_settle_locked(r, s, status, &l, &why);
	run_left_locked(r, run);
	cache_unref_locked(r, s); /* the run's */
	if (status != 0 && err != NULL)
		*err = why;
	return status;
}

/* ---- fetching ---- */

/* Takes the slots that are still to be fetched for this run and narrows its range to them. False: none is left. */
static bool run_begin_locked(struct reader *r, struct run *run)
{
	unsigned kept = 0;

	run_unlink_locked(r, run);
	run->from = UINT64_MAX;
	run->to = 0;
	for (unsigned i = 0; i < run->count; i++) {
		struct slot *s = run->slots[i];
		const struct locator *l = &s->ref.chain[0];
		if (s->state != SLOT_QUEUED) {
			s->run = NULL;
			cache_unref_locked(r, s);
			continue;
		}
		s->state = SLOT_BUSY;
		run->slots[kept++] = s;
		run->from = min_u64(run->from, l->offset);
		run->to = max_u64(run->to, l->offset + l->stored);
	}
	run->count = run->left = kept;
	if (kept == 0)
		run_free_locked(r, run);
	return kept > 0;
}

struct run_fetch {
	struct reader *r;
	struct run *run;
	int status[2];
	uint8_t key[FORMAT_KEY_LEN]; /* only so that it lies in the cache of keys; wiped */
};

static void run_fetch_one(void *arg, size_t index)
{
	struct run_fetch *f = arg;
	struct run *run = f->run;

	if (index == 0)
		f->status[0] = load_range(
			f->r, run->kind, &run->pack, run->from, (size_t)(run->to - run->from), run->buf.data, NULL);
	else
		f->status[1] = keys_get(f->r->keys, run->kind, &run->pack, f->key, NULL);
}

/* The range, and at the same time the pack's key where it is not known. */
static int run_fetch(struct reader *r, struct run *run)
{
	struct run_fetch f = {.r = r, .run = run};
	size_t count = keys_has(r->keys, &run->pack) ? 1 : 2, len = (size_t)(run->to - run->from);

	if (!room_buf_new(r, len, len, &run->spare, &run->buf))
		return ERR_NO_MEMORY;
	wave_run(r->local ? 1 : 2, count, run_fetch_one, &f);
	host_wipe(f.key, sizeof(f.key));
	return f.status[0] != 0 ? f.status[0] : f.status[1];
}

/* All of the run's slots fail: who waits for one asks for it himself and hears why. */
static void run_failed_locked(struct reader *r, struct run *run, int status)
{
	for (unsigned i = 0; i < run->count; i++) {
		struct slot *s = run->slots[i];
		s->run = NULL;
		s->ahead = true;
		cache_fail_locked(r, s, status, NULL);
		cache_unref_locked(r, s);
	}
	run_free_locked(r, run);
}

/* The bytes are there: the first slot is decoded here and now, the others by whoever has time. */
static void run_fetched_locked(struct reader *r, struct run *run)
{
	struct slot *first = run->slots[0];

	for (unsigned i = 0; i < run->count; i++) {
		struct slot *s = run->slots[i];
		s->sealed = run->buf.data + (s->ref.chain[0].offset - run->from);
		if (i == 0)
			continue;
		s->state = SLOT_FETCHED;
		slot_list_push(&r->decode_queue, s, false);
	}
	if (run->count > 1)
		fetch_rouse_locked(r);
	(void)fetch_decode_locked(r, first, NULL);
}

/* A chunk with bases: all of its chain. */
static void chain_fetch_locked(struct reader *r, struct run *run)
{
	struct slot *s = run->slots[0];
	struct loaded l = {.spare = s->charge};

	s->charge = 0;
	reader_unlock(r);
	int status = load_whole(r, s->class, &s->ref, &l, NULL);
	reader_lock(r);
	s->run = NULL;
	s->ahead = s->ahead || status != 0;
	load_settle_locked(r, s, status, &l, NULL);
	cache_unref_locked(r, s);
	run_free_locked(r, run);
}

static void run_execute_locked(struct reader *r, struct run *run)
{
	if (!run_begin_locked(r, run))
		return;
	if (run->chain) {
		chain_fetch_locked(r, run);
		return;
	}
	reader_unlock(r);
	int status = run_fetch(r, run);
	reader_lock(r);
	if (status != 0)
		run_failed_locked(r, run, status);
	else
		run_fetched_locked(r, run);
}

/* Decodes before it fetches: somebody waits for what was fetched first. False: there is nothing to do now. */
static bool work_locked(struct reader *r)
{
	struct slot *s = r->decoding < r->decode_max ? r->decode_queue.first : NULL;
	struct slot *half = s == NULL && r->decoding < r->decode_max ? r->grow_queue.first : NULL;
	bool idle = s == NULL && half == NULL;
	struct run *run = idle && r->fetching < r->fetch_max ? r->run_first : NULL;

	if (half != NULL) {
		if (half->next != NULL || r->run_first != NULL)
			fetch_rouse_locked(r);
		r->decoding++;
		(void)grow_on_locked(r, half, SLOT_WHOLE, NULL);
		r->decoding--;
	} else if (s != NULL) {
		fetch_claim_locked(r, s);
		if (r->decode_queue.first != NULL || r->run_first != NULL)
			fetch_rouse_locked(r);
		r->decoding++;
		(void)fetch_decode_locked(r, s, NULL);
		r->decoding--;
	} else if (run != NULL) {
		if (run->next != NULL)
			fetch_rouse_locked(r);
		r->fetching++;
		run_execute_locked(r, run);
		r->fetching--;
	}
	return !idle || run != NULL;
}

static void *thread_main(void *arg)
{
	struct reader *r = arg;

	reader_lock(r);
	while (!r->stopping) {
		if (work_locked(r))
			continue;
		r->sleeping++;
		pthread_cond_wait(&r->work, &r->lock);
		r->sleeping--;
	}
	reader_unlock(r);
	return NULL;
}

void fetch_stop(struct reader *r)
{
	reader_lock(r);
	r->stopping = true;
	pthread_cond_broadcast(&r->work);
	reader_unlock(r);
	for (unsigned i = 0; i < r->thread_count; i++)
		pthread_join(r->threads[i], NULL);
	reader_lock(r);
	while (r->run_first != NULL)
		run_drop_locked(r, r->run_first);
	grow_drop_locked(r);
	while (r->decode_queue.first != NULL) {
		struct slot *s = r->decode_queue.first;
		struct run *run = s->run;
		fetch_claim_locked(r, s);
		cache_fail_locked(r, s, ERR_CANCELLED, NULL);
		cache_unref_locked(r, s);
		run_left_locked(r, run);
	}
	reader_unlock(r);
}
