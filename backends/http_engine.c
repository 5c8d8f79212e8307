/* SPDX-License-Identifier: MIT */

/* The engine's thread: starts what is queued while there is room, and hands back what is done. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "backends/http_impl.h"
#include "base/clock.h"

enum {
	POLL_MS = 1000,
	LOOKS = 8,        /* for stalled ones, in the time after which one is given up */
	LIMIT_FIRST = 16, /* transfers at once, before anything is known */
	LIMIT_LEAST = 2,
};
static const int64_t narrow_again = CLOCK_SECOND; /* one refusal too many comes with others of the same moment */
static const double narrow_by = 0.7;

/* ---- how many at once ---- */

static void widen_locked(struct http *h)
{
	/*
	 * Only where there was no room for more does an answer say that there could be more. Until the server said for
	 * the first time that it is too much, twice as many after each round; then one more.
	 */
	if (h->count + 1 >= (unsigned)h->limit)
		h->limit += h->narrowed == 0 ? 1 : 1 / h->limit;
	if (h->limit > h->o.parallel)
		h->limit = h->o.parallel;
}

void http_narrow(struct http *h)
{
	double least = h->o.parallel < LIMIT_LEAST ? h->o.parallel : LIMIT_LEAST;
	int64_t now = clock_monotonic();

	pthread_mutex_lock(&h->lock);
	h->metrics.throttled++;
	if (h->narrowed == 0 || now - h->narrowed >= narrow_again) {
		h->narrowed = now;
		h->limit = h->limit * narrow_by < least ? least : h->limit * narrow_by;
	}
	pthread_mutex_unlock(&h->lock);
}

static void learn_locked(struct http *h, const struct http_transfer *t)
{
	int status = t->answer.status;

	if (status != 0 && status < 500 && status != 429)
		widen_locked(h);
	if (status / 100 == 2 && t->to_dst && t->dst_len <= HTTP_HEDGE_MAX)
		http_pace_note(&h->pace, t->ended - t->began);
}

/* ---- the thread ---- */

static void unlink_running_locked(struct http *h, struct http_transfer *t)
{
	struct http_transfer **p = &h->running;

	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	h->count--;
}

static void hand_back_locked(struct http *h, struct http_transfer *t)
{
	CURL *easy = t->easy;

	t->easy = NULL;
	if (h->idle_count < HTTP_IDLE_EASY && !h->closing) {
		curl_easy_reset(easy);
		h->idle[h->idle_count++] = easy;
	} else {
		curl_easy_cleanup(easy);
	}
	t->done = true;
	pthread_cond_broadcast(&t->waiter->wake);
}

static void finish(struct http *h, struct http_transfer *t, int code)
{
	long made = 0;
	curl_off_t up = 0;

	curl_multi_remove_handle(h->multi, t->easy);
	t->code = code;
	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &made);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	http_transfer_end(t);
	pthread_mutex_lock(&h->lock);
	unlink_running_locked(h, t);
	h->metrics.connections += (uint64_t)made;
	h->metrics.sent_bytes += (uint64_t)up;
	h->metrics.received_bytes += t->answer.len;
	learn_locked(h, t);
	hand_back_locked(h, t);
	pthread_mutex_unlock(&h->lock);
}

/* The next that may run; NULL: none, or no room. */
static struct http_transfer *next_to_run(struct http *h)
{
	struct http_transfer *t = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->queue != NULL && h->count < (unsigned)h->limit) {
		t = h->queue;
		h->queue = t->next;
		if (h->queue == NULL)
			h->queue_end = &h->queue;
		t->next = h->running;
		h->running = t;
		h->count++;
		t->began = t->looked = clock_monotonic();
		h->metrics.requests++;
	}
	pthread_mutex_unlock(&h->lock);
	return t;
}

static void start_queued(struct http *h)
{
	struct http_transfer *t;

	while ((t = next_to_run(h)) != NULL) {
		if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
			finish(h, t, CURLE_OUT_OF_MEMORY);
	}
}

/* One that nobody wants any more and that is under way; NULL: none. */
static struct http_transfer *next_abandoned(struct http *h)
{
	struct http_transfer *t = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->unwanted)
		for (t = h->running; t != NULL && !t->abandoned;)
			t = t->next;
	if (t == NULL)
		h->unwanted = false;
	pthread_mutex_unlock(&h->lock);
	return t;
}

static void drop_abandoned(struct http *h)
{
	struct http_transfer *t;

	while ((t = next_abandoned(h)) != NULL)
		finish(h, t, CURLE_ABORTED_BY_CALLBACK);
}

static struct http_transfer *next_stalled(struct http *h, int64_t now)
{
	pthread_mutex_lock(&h->lock);
	struct http_transfer *t = h->running;
	while (t != NULL && !http_transfer_stalls(t, now, h->o.stall_ns))
		t = t->next;
	pthread_mutex_unlock(&h->lock);
	return t;
}

/* This thread itself was stopped for a while: that nothing moved says nothing about the others. */
static void forgive(struct http *h, int64_t now)
{
	pthread_mutex_lock(&h->lock);
	for (struct http_transfer *t = h->running; t != NULL; t = t->next)
		t->looked = now;
	pthread_mutex_unlock(&h->lock);
}

/* Now and then, after all that came was read. Returns for how many ms nothing needs to be looked at. */
static int drop_stalled(struct http *h)
{
	int64_t now = clock_monotonic(), every = h->o.stall_ns / LOOKS;
	struct http_transfer *t;
	bool any = false;

	if (now >= h->look_at) {
		if (now >= h->look_at + 2 * every)
			forgive(h, now);
		while ((t = next_stalled(h, now)) != NULL) {
			finish(h, t, CURLE_OPERATION_TIMEDOUT);
			any = true;
		}
		h->look_at = now + every;
	}
	int64_t ms = (h->look_at - now) / (CLOCK_SECOND / 1000) + 1;
	return any ? 0 : ms < POLL_MS ? (int)ms : POLL_MS;
}

static bool closing(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	bool is = h->closing;
	pthread_mutex_unlock(&h->lock);
	return is;
}

/* Begins anew what was stopped for its connection's sake; false: that is not why it ended. */
static bool renew(struct http *h, struct http_transfer *t)
{
	if (!http_transfer_renew(t))
		return false;
	curl_multi_remove_handle(h->multi, t->easy);
	return curl_multi_add_handle(h->multi, t->easy) == CURLM_OK;
}

/* False: nothing was done. */
static bool finish_done(struct http *h)
{
	CURLMsg *m;
	int left;
	bool any = false;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_transfer *t = NULL;
		if (m->msg != CURLMSG_DONE)
			continue;
		int code = (int)m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
		if (!renew(h, t))
			finish(h, t, code);
		any = true;
	}
	return any;
}

static void *engine_main(void *arg)
{
	struct http *h = arg;
	int left;

	while (!closing(h)) {
		drop_abandoned(h);
		int wait = drop_stalled(h);
		start_queued(h);
		curl_multi_perform(h->multi, &left);
		/* What is done may have made room. A wake-up that came since the last poll ends the next one at once.
		 */
		if (!finish_done(h))
			curl_multi_poll(h->multi, NULL, 0, wait, NULL);
	}
	return NULL;
}

/* ---- from other threads ---- */

int http_submit(struct http *h, struct http_transfer *t, struct error *err)
{
	CURL *easy = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->idle_count > 0)
		easy = h->idle[--h->idle_count];
	pthread_mutex_unlock(&h->lock);
	if (easy == NULL)
		easy = curl_easy_init();
	if (easy == NULL)
		return error_no_memory(err, "a request");
	int r = http_transfer_begin(h, t, easy, err);
	if (r < 0) {
		curl_easy_cleanup(easy);
		t->easy = NULL;
		return r;
	}
	pthread_mutex_lock(&h->lock);
	struct http_transfer **place = t->twin ? &h->queue : h->queue_end;
	t->next = *place;
	*place = t;
	if (t->next == NULL)
		h->queue_end = &t->next;
	pthread_mutex_unlock(&h->lock);
	curl_multi_wakeup(h->multi);
	return 0;
}

void http_wait_locked(struct http *h, struct http_waiter *w, int64_t until)
{
	struct timespec at = {.tv_sec = until / CLOCK_SECOND, .tv_nsec = until % CLOCK_SECOND};

	pthread_cond_timedwait(&w->wake, &h->lock, &at);
}

/* Takes it out of the queue; false: it is not there (any more). */
static bool unqueue_locked(struct http *h, struct http_transfer *t)
{
	struct http_transfer **p = &h->queue;

	while (*p != NULL && *p != t)
		p = &(*p)->next;
	if (*p == NULL)
		return false;
	*p = t->next;
	if (h->queue_end == &t->next)
		h->queue_end = p;
	return true;
}

void http_abandon(struct http *h, struct http_transfer *t)
{
	pthread_mutex_lock(&h->lock);
	if (!t->done && unqueue_locked(h, t)) {
		t->code = CURLE_ABORTED_BY_CALLBACK;
		hand_back_locked(h, t);
	}
	t->abandoned = true;
	if (!t->done) {
		h->unwanted = true;
		curl_multi_wakeup(h->multi); /* writes a byte, never waits */
	}
	while (!t->done)
		pthread_cond_wait(&t->waiter->wake, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

int http_engine_start(struct http *h, struct error *err)
{
	sigset_t all, before;

	h->limit = h->o.parallel < LIMIT_FIRST ? h->o.parallel : LIMIT_FIRST;
	h->queue_end = &h->queue;
	memset(h->kept, -1, sizeof(h->kept));
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		return error_no_memory(err, "an HTTP engine");
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->o.parallel);
	/* Signals are for others; and a write to a closed connection raises one. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&h->thread, NULL, engine_main, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed == 0)
		return 0;
	curl_multi_cleanup(h->multi);
	h->multi = NULL;
	return error_set_errno(err, failed, "cannot start a thread");
}

void http_engine_stop(struct http *h)
{
	if (h->multi == NULL)
		return;
	pthread_mutex_lock(&h->lock);
	h->closing = true;
	pthread_mutex_unlock(&h->lock);
	curl_multi_wakeup(h->multi);
	pthread_join(h->thread, NULL);
	for (unsigned i = 0; i < h->idle_count; i++)
		curl_easy_cleanup(h->idle[i]);
	curl_multi_cleanup(h->multi);
}
