/* SPDX-License-Identifier: MIT */

/*
 * One attempt at a request, and its twin where a small read is late. The twin's bytes go to a place of their own: both
 * are in the engine's hands until http_abandon() returns, and only then is anything copied.
 */

#include <stdlib.h>
#include <string.h>

#include "backends/http_impl.h"
#include "base/clock.h"

static const int64_t slice = CLOCK_SECOND / 40; /* how soon a cancelled call is noticed */
static const int64_t long_wait = CLOCK_SECOND;

struct pair {
	struct http *h;
	const struct http_call *call;
	struct http_waiter waiter;
	struct http_transfer *first, *second;
	uint8_t *spare; /* where the second one's object goes */
};

int http_go_on(const struct http_call *call, struct error *err)
{
	const struct store_call *limits = call->limits;

	if (limits == NULL)
		return 0;
	if (limits->cancel != NULL && atomic_load(limits->cancel))
		return error_set(err, ERR_CANCELLED, "%s: cancelled", call->what);
	if (limits->deadline != 0 && clock_monotonic() >= limits->deadline)
		return error_set(err, ERR_TIMEOUT, "%s: no answer in the time that was given", call->what);
	return 0;
}

static int launch(struct pair *p, unsigned attempt, bool twin, struct http_transfer **ret, struct error *err)
{
	struct http_transfer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return error_no_memory(err, "a request");
	t->waiter = &p->waiter;
	t->body = p->call->body;
	t->dst = twin ? p->spare : p->call->dst;
	t->dst_len = p->call->dst_len;
	t->twin = twin;
	/* libcurl sends again by itself where a kept connection turns out to be closed: a new one never is. */
	t->fresh = twin || !p->call->repeatable;
	t->answer.attempt = attempt;
	int r = p->call->prepare(p->call->arg, attempt, &t->message, err);
	if (r == 0)
		r = http_submit(p->h, t, err);
	if (r < 0)
		http_transfer_release(t);
	else
		*ret = t;
	return r;
}

/* A second one is a help, not a need: that it cannot be made is no failure. */
static void launch_twin(struct pair *p, unsigned attempt)
{
	p->spare = malloc(p->call->dst_len);
	if (p->spare != NULL)
		(void)launch(p, attempt, true, &p->second, NULL);
}

static bool answered(const struct http_transfer *t)
{
	return t != NULL && t->done && t->answer.status != 0;
}

/* An answer that is worth more than what the other one may still bring. */
static bool answered_well(const struct http_transfer *t)
{
	return answered(t) && t->answer.status < 500 && t->answer.status != 408 && t->answer.status != 429;
}

static bool pending(const struct http_transfer *t)
{
	return t != NULL && !t->done;
}

/* Who has it, with the lock: a good answer, or the best of those when the last hope is gone. NULL: not yet. */
static struct http_transfer *winner_locked(const struct pair *p)
{
	if (answered_well(p->first))
		return p->first;
	if (answered_well(p->second))
		return p->second;
	if (pending(p->first) || pending(p->second))
		return NULL;
	return answered(p->first) || !answered(p->second) ? p->first : p->second;
}

/* May the twin be asked for at all? */
static bool may_hedge(const struct http_call *call)
{
	return call->hedge && call->repeatable && call->dst != NULL && call->dst_len > 0 &&
	       call->dst_len <= HTTP_HEDGE_MAX;
}

/* Asks for the twin where the first is late. *hedge becomes false when that is decided. Gives the lock up for it. */
static void hedge_locked(struct pair *p, unsigned attempt, bool *hedge)
{
	struct http *h = p->h;

	/* What still waits for its turn is not late: the server does not know of it. */
	if (p->first->began == 0 || clock_monotonic() < p->first->began + http_pace_late(&h->pace))
		return;
	*hedge = false;
	if (p->first->done || !http_pace_spend(&h->pace))
		return;
	h->metrics.hedged++;
	pthread_mutex_unlock(&h->lock);
	launch_twin(p, attempt);
	pthread_mutex_lock(&h->lock);
}

/* Until when nothing needs to be looked at. */
static int64_t next_look(const struct pair *p, bool hedge)
{
	int64_t until = clock_monotonic() + (p->call->limits != NULL || hedge ? slice : long_wait);
	int64_t late = p->first->began + http_pace_late(&p->h->pace);

	return hedge && p->first->began != 0 && late < until ? late : until;
}

/* Waits for the winner; ERR_CANCELLED and ERR_TIMEOUT leave both running. */
static int await(struct pair *p, unsigned attempt, struct http_transfer **ret, struct error *err)
{
	struct http *h = p->h;
	bool hedge = may_hedge(p->call);
	int r = 0;

	pthread_mutex_lock(&h->lock);
	while ((*ret = winner_locked(p)) == NULL) {
		r = http_go_on(p->call, err);
		if (r < 0)
			break;
		if (hedge)
			hedge_locked(p, attempt, &hedge);
		if (winner_locked(p) == NULL)
			http_wait_locked(h, &p->waiter, next_look(p, hedge));
	}
	if (r == 0 && *ret == p->second)
		h->metrics.hedges_won++;
	pthread_mutex_unlock(&h->lock);
	return r;
}

static void put_away(struct pair *p, struct http_transfer *t)
{
	if (t == NULL)
		return;
	http_abandon(p->h, t);
	http_transfer_release(t);
}

static int init_waiter(struct http_waiter *w, struct error *err)
{
	pthread_condattr_t attr;

	if (pthread_condattr_init(&attr) != 0)
		return error_no_memory(err, "a request");
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	int failed = pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	return failed == 0 ? 0 : error_no_memory(err, "a request");
}

/* The URL without its query, which may hold what must not be seen. */
static void note(const struct http *h, const struct http_transfer *t)
{
	if (log_get_level(h->o.log) < LOG_LEVEL_DEBUG)
		return;
	const char *url = (const char *)t->message.url.data;
	log_debug(h->o.log, "%s %.*s: %d in %lld ms%s%s", t->message.method, (int)strcspn(url, "?"), url,
		t->answer.status, (long long)((t->ended - t->began) / (CLOCK_SECOND / 1000)),
		t->answer.broken[0] != '\0' ? ": " : "", t->answer.broken);
}

static void take_answer(struct pair *p, struct http_transfer *won, struct http_answer *ret)
{
	struct http_transfer *lost = won == p->first ? p->second : p->first;

	if (lost != NULL)
		http_abandon(p->h, lost); /* it may be writing to the caller's memory until then */
	if (won == p->second && won->to_dst)
		memcpy(p->call->dst, p->spare, (size_t)won->answer.len);
	note(p->h, won);
	*ret = won->answer;
	won->answer = (struct http_answer){0};
}

int http_attempt(
	struct http *h, const struct http_call *call, unsigned attempt, struct http_answer *ret, struct error *err)
{
	struct pair p = {.h = h, .call = call};
	struct http_transfer *won = NULL;
	int r = init_waiter(&p.waiter, err);

	if (r < 0)
		return r;
	r = http_go_on(call, err);
	if (r == 0)
		r = launch(&p, attempt, false, &p.first, err);
	if (r == 0)
		r = await(&p, attempt, &won, err);
	if (r == 0)
		take_answer(&p, won, ret);
	put_away(&p, p.first);
	put_away(&p, p.second);
	free(p.spare);
	pthread_cond_destroy(&p.waiter.wake);
	return r;
}
