/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "fs/spool/spool_impl.h"

static void wait_free(struct spool_wait *w)
{
	for (size_t i = 0; i < w->tag_count; i++)
		free(w->tags[i]);
	free(w->tags);
	free(w->description);
	free(w);
}

static struct spool_wait *wait_new(const struct spool_request *request)
{
	struct spool_wait *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->change = request->change;
	w->done = request->done;
	w->arg = request->arg;
	w->since = clock_monotonic();
	w->tags = calloc(request->tag_count + 1, sizeof(char *));
	if (request->description != NULL)
		w->description = strdup(request->description);
	while (w->tags != NULL && w->tag_count < request->tag_count &&
		(w->tags[w->tag_count] = strdup(request->tags[w->tag_count])) != NULL)
		w->tag_count++;
	if (w->tags != NULL && w->tag_count == request->tag_count &&
		(request->description == NULL || w->description != NULL))
		return w;
	wait_free(w);
	return NULL;
}

void spool_answer(struct spool_wait *list, int status, const struct snapshot *made, const struct error *why)
{
	while (list != NULL) {
		struct spool_wait *w = list;
		list = w->next;
		if (w->done != NULL && !w->told)
			w->done(w->arg, status, made, why);
		wait_free(w);
	}
}

static bool has_tag(const struct spool_asked *a, const char *tag)
{
	for (size_t i = 0; i < a->tag_count; i++)
		if (a->tags[i] != NULL && strcmp(a->tags[i], tag) == 0)
			return true;
	return false;
}

void spool_take_waits(struct spool_copy *c, struct spool_asked *ret)
{
	size_t most = 0;

	*ret = (struct spool_asked){0};
	for (struct spool_wait *w = c->waits; w != NULL; w = w->next) {
		w->taken = true;
		most += w->tag_count;
		if (w->description != NULL)
			ret->description = w->description;
	}
	ret->tags = most == 0 ? NULL : calloc(most, sizeof(char *));
	for (struct spool_wait *w = c->waits; ret->tags != NULL && w != NULL; w = w->next)
		for (size_t i = 0; i < w->tag_count; i++)
			if (!has_tag(ret, w->tags[i]))
				ret->tags[ret->tag_count++] = w->tags[i];
}

/* Moves to a list of their own those for which all given conditions hold. */
static struct spool_wait *take_off(struct spool_copy *c, uint64_t change, bool only_taken)
{
	struct spool_wait *off = NULL, **end = &off, **at = &c->waits;

	while (*at != NULL) {
		struct spool_wait *w = *at;
		if (w->change > change || (only_taken && !w->taken)) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = NULL;
		*end = w;
		end = &w->next;
	}
	return off;
}

struct spool_wait *spool_answered(struct spool_copy *c, uint64_t change)
{
	for (struct spool_wait *w = c->waits; w != NULL; w = w->next)
		w->taken = false;
	return take_off(c, change, false);
}

struct spool_wait *spool_refused(struct spool_copy *c, bool all)
{
	return take_off(c, UINT64_MAX, !all);
}

/* What a commit that gets nowhere has waited for. A retry begins from the start: it is no progress. */
static int64_t last_step(struct spool_copy *c, const struct spool_wait *w, int64_t now)
{
	uint64_t progress = atomic_load(&c->progress);

	if (progress != c->progress_seen) {
		c->progress_seen = progress;
		if (c->failures == 0)
			c->progress_at = now;
	}
	return c->progress_at > w->since ? c->progress_at : w->since;
}

/* Somebody waited too long: a copy of what is to be told. */
struct overdue {
	spool_done_fn *done;
	void *arg;
	struct error why;
};

/* With the lock. False: nobody is overdue. *ret_any: somebody waits. */
static bool find_overdue(struct spool *s, struct overdue *ret, bool *ret_any)
{
	int64_t now = clock_monotonic();

	*ret_any = false;
	for (size_t i = 0; i < s->copy_count; i++) {
		struct spool_copy *c = s->copies[i];
		for (struct spool_wait *w = c->waits; w != NULL; w = w->next) {
			if (w->told || w->done == NULL)
				continue;
			*ret_any = true;
			if (now - last_step(c, w, now) < s->patience)
				continue;
			w->told = true;
			*ret = (struct overdue){.done = w->done, .arg = w->arg};
			error_set(&ret->why, ERR_TIMEOUT, "the commit of '%s' gets nowhere%s%s; it goes on", c->name,
				c->last_error[0] != '\0' ? ": " : "", c->last_error);
			if (c->last_error[0] == '\0') /* a store that hangs says nothing itself */
				snprintf(c->last_error, sizeof(c->last_error), "no progress for %lld s",
					(long long)(s->patience / CLOCK_SECOND));
			return true;
		}
	}
	return false;
}

/* Runs while somebody waits for a commit. */
static void *watch(void *arg)
{
	struct spool *s = arg;
	struct overdue overdue;
	bool any = true;

	pthread_mutex_lock(&s->lock);
	while (any) {
		if (find_overdue(s, &overdue, &any)) {
			pthread_mutex_unlock(&s->lock);
			overdue.done(overdue.arg, ERR_TIMEOUT, NULL, &overdue.why);
			pthread_mutex_lock(&s->lock);
		} else if (any) {
			int64_t step = s->patience < CLOCK_SECOND ? s->patience / 4 : CLOCK_SECOND;
			spool_wait_until(s, clock_monotonic() + step);
		}
	}
	s->watching = false;
	s->threads--;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void append(struct spool_copy *c, struct spool_wait *w)
{
	struct spool_wait **at = &c->waits;

	while (*at != NULL)
		at = &(*at)->next;
	*at = w;
}

/* Puts it in line. False: it is refused. */
static bool queue_wait(struct spool *s, const struct work *w, struct spool_wait *wait)
{
	pthread_mutex_lock(&s->lock);
	struct spool_copy *c = spool_copy_of_work(s, w);
	bool taken = c != NULL && !c->removed && !s->closing;
	if (taken) {
		c->next_try = 0; /* whoever asks has it tried at once */
		spool_wake(c);
		taken = c->running;
	}
	if (taken) {
		append(c, wait);
		if (wait->done != NULL && !s->watching)
			s->watching = spool_thread(s, watch, s);
	}
	pthread_mutex_unlock(&s->lock);
	return taken;
}

void spool_commit(struct spool *s, struct work *w, const struct spool_request *request)
{
	struct error err = ERROR_INIT;
	struct work_state state;
	struct spool_wait *wait;

	work_get_state(w, &state);
	uint64_t change = request->change == 0 ? state.changes : min_u64(request->change, state.changes);
	if (change <= state.committed) {
		if (request->done != NULL)
			request->done(request->arg, 0, NULL, NULL);
		return;
	}
	wait = wait_new(request);
	if (wait != NULL) {
		wait->change = change;
		if (queue_wait(s, w, wait))
			return;
		wait_free(wait);
		error_set(&err, ERR_CANCELLED, "the spool is being closed; what was written is kept");
	} else {
		error_no_memory(&err, "a commit");
	}
	if (request->done != NULL)
		request->done(request->arg, err.code, NULL, &err);
}
