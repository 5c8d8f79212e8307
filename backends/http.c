/* SPDX-License-Identifier: MIT */

/* A request from the first attempt to the last, in the thread that wants it. */

#include "backends/http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "backends/http_impl.h"
#include "base/clock.h"

enum {
	PARALLEL = 64,
	AT_ONCE_MOST = 3,
	THROTTLED_TIMES = 20, /* as long, where the server said that it is too much */
	BUDGET_TIMES = 4,     /* repetitions for each transfer that may run */
};
static const int64_t slice = CLOCK_SECOND / 40; /* how soon a cancelled call is noticed */
static const int64_t retry_after_most = 30 * CLOCK_SECOND;
/*
 * So many repetitions without a success, then none until there is one. A repetition that helped is given back whole, so
 * that a line that fails now and then is lived with; one first answer is worth a tenth.
 */
static const double token_success = 0.1, token_helped = 1;

/* ---- the engine ---- */

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void set_defaults(struct http_options *o)
{
	o->parallel = o->parallel != 0 ? o->parallel : PARALLEL;
	o->attempts = o->attempts != 0 ? o->attempts : HTTP_ATTEMPTS;
	o->budget = o->budget != 0 ? o->budget : BUDGET_TIMES * o->parallel;
	o->connect_ns = o->connect_ns != 0 ? o->connect_ns : 5 * CLOCK_SECOND;
	o->stall_ns = o->stall_ns != 0 ? o->stall_ns : 20 * CLOCK_SECOND;
	o->backoff_ns = o->backoff_ns != 0 ? o->backoff_ns : CLOCK_SECOND / 20;
}

int http_new(const struct http_options *options, struct http **ret, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT; /* the library's own state, not ours */
	struct http *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return error_no_memory(err, "an HTTP engine");
	pthread_once(&once, init_curl);
	h->o = *options;
	set_defaults(&h->o);
	h->o.ca_file = NULL; /* borrowed for the call */
	h->tokens = h->tokens_most = h->o.budget;
	h->pace.hedges = 1;
	pthread_mutex_init(&h->lock, NULL);
	if (options->ca_file != NULL)
		h->ca_file = strdup(options->ca_file);
	int r = options->ca_file != NULL && h->ca_file == NULL ? error_no_memory(err, "an HTTP engine") : 0;
	if (r == 0)
		r = http_engine_start(h, err);
	if (r < 0) {
		http_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

void http_free(struct http *h)
{
	if (h == NULL)
		return;
	http_engine_stop(h);
	pthread_mutex_destroy(&h->lock);
	free(h->ca_file);
	free(h);
}

void http_get_metrics(struct http *h, struct http_metrics *ret)
{
	pthread_mutex_lock(&h->lock);
	*ret = h->metrics;
	ret->limit = (unsigned)h->limit;
	pthread_mutex_unlock(&h->lock);
}

/* ---- from attempt to attempt ---- */

/* No answer: some causes do not go away by asking again. */
static enum http_verdict judge_broken(const struct http_call *call, const struct http_answer *a, struct error *err)
{
	error_set(err, ERR_UNAVAILABLE, "%s: no answer: %s", call->what, a->broken);
	return !a->hopeless && (call->repeatable || !a->sent) ? HTTP_AGAIN : HTTP_FAILED;
}

enum http_verdict http_judge_status(const struct http_answer *a, const char *what, struct error *err)
{
	if (a->status / 100 == 2)
		return HTTP_DONE;
	if (a->status == 429 || a->status == 503) {
		error_set(err, ERR_THROTTLED, "%s: the server asks to slow down (%d)", what, a->status);
		return HTTP_THROTTLED;
	}
	if (a->status == 408 || a->status >= 500) {
		error_set(err, ERR_UNAVAILABLE, "%s: the server failed (%d)", what, a->status);
		return a->status == 501 || a->status == 505 ? HTTP_FAILED : HTTP_AGAIN;
	}
	error_set(err,
		a->status == 404                       ? ERR_NOT_FOUND
		: a->status == 401 || a->status == 403 ? ERR_DENIED
						       : ERR_IO,
		"%s: the server answered %d", what, a->status);
	return HTTP_FAILED;
}

static bool may_repeat(struct http *h)
{
	pthread_mutex_lock(&h->lock);
	bool may = h->tokens >= 1;
	if (may) {
		h->tokens -= 1;
		h->metrics.repeated++;
	}
	pthread_mutex_unlock(&h->lock);
	return may;
}

static void note_success(struct http *h, unsigned attempt)
{
	pthread_mutex_lock(&h->lock);
	h->tokens += attempt > 0 ? token_helped : token_success;
	if (h->tokens > h->tokens_most)
		h->tokens = h->tokens_most;
	pthread_mutex_unlock(&h->lock);
}

static int give_up(struct http *h, const struct error *err)
{
	pthread_mutex_lock(&h->lock);
	h->metrics.failed++;
	pthread_mutex_unlock(&h->lock);
	return err->code;
}

/* What the server asked for; a date says too little about whose clock it is by. */
static int64_t retry_after(const struct http_answer *a)
{
	const char *ms = http_answer_header(a, "x-amz-retry-after"), *text = http_answer_header(a, "retry-after");
	const char *by = ms != NULL ? ms : text;
	int64_t unit = ms != NULL ? CLOCK_SECOND / 1000 : CLOCK_SECOND;
	char *behind = NULL;
	long long count = by != NULL ? strtoll(by, &behind, 10) : 0;

	if (count <= 0 || *behind != '\0')
		return 0;
	return count > retry_after_most / unit ? retry_after_most : count * unit;
}

static int64_t pause_before(const struct http *h, const struct http_answer *a, enum http_verdict verdict)
{
	int64_t asked = retry_after(a);
	int64_t base = h->o.backoff_ns * (verdict == HTTP_THROTTLED && asked == 0 ? THROTTLED_TIMES : 1);
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		random = UINT64_MAX;
	/* Behind the moment that was asked for, too: others were told the same. */
	return asked + http_pace_backoff(base, a->attempt, random);
}

static int nap(const struct http_call *call, int64_t ns, struct error *err)
{
	int64_t until = clock_monotonic() + ns, now;

	while ((now = clock_monotonic()) < until) {
		struct timespec t = {.tv_sec = 0, .tv_nsec = until - now < slice ? until - now : slice};
		int r = http_go_on(call, err);
		if (r < 0)
			return r;
		nanosleep(&t, NULL);
	}
	return 0;
}

/* Would the pause end behind the call's deadline? Then the last answer stands. */
static bool too_late(const struct http_call *call, int64_t pause)
{
	return call->limits != NULL && call->limits->deadline != 0 &&
	       clock_monotonic() + pause >= call->limits->deadline;
}

/* What is made of the last answer. err is set for all but HTTP_DONE. */
static enum http_verdict judge(
	struct http *h, const struct http_call *call, const struct http_answer *a, unsigned *at_once, struct error *err)
{
	enum http_verdict verdict = a->status == 0 ? judge_broken(call, a, err) : call->judge(call->arg, a, err);

	if (verdict == HTTP_DONE)
		return verdict;
	if (err->code == 0)
		error_set(err, ERR_UNAVAILABLE, "%s: the server answered %d", call->what, a->status);
	if (verdict == HTTP_THROTTLED)
		http_narrow(h);
	return verdict == HTTP_AT_ONCE && ++*at_once > AT_ONCE_MOST ? HTTP_FAILED : verdict;
}

int http_run(struct http *h, const struct http_call *call, struct http_answer *ret, struct error *err)
{
	struct error ignored = ERROR_INIT;
	unsigned at_once = 0;

	err = err != NULL ? err : &ignored;
	error_clear(err);
	*ret = (struct http_answer){0};
	for (unsigned attempt = 0;; attempt++) {
		http_answer_release(ret);
		int r = http_attempt(h, call, attempt, ret, err);
		if (r < 0)
			return r;
		enum http_verdict verdict = judge(h, call, ret, &at_once, err);
		if (verdict == HTTP_DONE) {
			note_success(h, attempt);
			return 0;
		}
		if (verdict == HTTP_FAILED)
			return ret->status == 0 ? give_up(h, err) : (int)err->code;
		int64_t pause = verdict == HTTP_AT_ONCE ? 0 : pause_before(h, ret, verdict);
		if (attempt + 1 >= h->o.attempts || too_late(call, pause) || !may_repeat(h))
			return give_up(h, err);
		log_debug(
			h->o.log, "again in %lld ms: %s", (long long)(pause / (CLOCK_SECOND / 1000)), error_text(err));
		error_clear(err);
		r = nap(call, pause, err);
		if (r < 0)
			return r;
	}
}
