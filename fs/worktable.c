/* SPDX-License-Identifier: MIT */
#include "fs/worktable.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonout.h"
#include "fs/nodeid.h"

struct row {
	char *dataset;
	struct work *work;
	uint32_t number;
	unsigned held; /* requests that are in it */
	bool moving;
	char *told; /* how the last commit ended, as JSON; NULL: none was asked for */
};

struct worktable {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a row was let go of, or stopped moving */
	struct row *rows;       /* all under the lock */
	size_t count, cap;
	uint32_t *gone; /* numbers that were in use */
	size_t gone_count, gone_cap;
};

struct worktable *worktable_new(void)
{
	pthread_condattr_t attr;
	struct worktable *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	return t;
}

static void row_release(struct row *r)
{
	free(r->dataset);
	free(r->told);
}

void worktable_free(struct worktable *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++)
		row_release(&t->rows[i]);
	free(t->rows);
	free(t->gone);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct row *by_number(struct worktable *t, uint32_t number)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->rows[i].number == number)
			return &t->rows[i];
	return NULL;
}

static struct row *by_dataset(struct worktable *t, const char *dataset)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->rows[i].dataset, dataset) == 0)
			return &t->rows[i];
	return NULL;
}

static bool is_free(struct worktable *t, uint32_t number)
{
	if (number == 0 || number > NODEID_NUMBER_MAX || by_number(t, number) != NULL)
		return false;
	for (size_t i = 0; i < t->gone_count; i++)
		if (t->gone[i] == number)
			return false;
	return true;
}

/* 0: none is left. Snapshots draw theirs from all, so those from 1 on are rarely wanted by another. */
static uint32_t pick(struct worktable *t, uint32_t wanted)
{
	if (is_free(t, wanted))
		return wanted;
	for (uint32_t number = 1; number <= NODEID_NUMBER_MAX; number++)
		if (is_free(t, number))
			return number;
	return 0;
}

/* Room for one more in both lists, so that a move cannot fail half way. */
static bool grow(struct worktable *t)
{
	if (t->count == t->cap) {
		size_t cap = t->cap * 2 + 8;
		struct row *more = reallocarray(t->rows, cap, sizeof(*more));
		if (more == NULL)
			return false;
		t->rows = more;
		t->cap = cap;
	}
	if (t->gone_count + t->count >= t->gone_cap) {
		size_t cap = (t->gone_count + t->count + 8) * 2;
		uint32_t *more = reallocarray(t->gone, cap, sizeof(*more));
		if (more == NULL)
			return false;
		t->gone = more;
		t->gone_cap = cap;
	}
	return true;
}

struct work *worktable_find(struct worktable *t, uint32_t number)
{
	struct work *work = NULL;
	struct row *r = NULL;
	pthread_mutex_lock(&t->lock);
	while ((r = by_number(t, number)) != NULL && r->moving)
		pthread_cond_wait(&t->changed, &t->lock);
	if (r != NULL) {
		r->held++;
		work = r->work;
	}
	pthread_mutex_unlock(&t->lock);
	return work;
}

void worktable_release(struct worktable *t, uint32_t number)
{
	pthread_mutex_lock(&t->lock);
	struct row *r = by_number(t, number);
	if (r != NULL && --r->held == 0 && r->moving)
		pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

struct work *worktable_work(struct worktable *t, const char *dataset)
{
	pthread_mutex_lock(&t->lock);
	const struct row *r = by_dataset(t, dataset);
	struct work *work = r != NULL ? r->work : NULL;
	pthread_mutex_unlock(&t->lock);
	return work;
}

/* With the lock, and a row that is moving. */
static void stop_moving(struct worktable *t, struct row *r)
{
	r->moving = false;
	pthread_cond_broadcast(&t->changed);
}

bool worktable_moving(struct worktable *t, const char *dataset, int64_t timeout_ns)
{
	int64_t deadline = clock_monotonic() + timeout_ns;
	struct timespec until = {.tv_sec = deadline / CLOCK_SECOND, .tv_nsec = (long)(deadline % CLOCK_SECOND)};
	struct row *r = NULL;
	bool late = false;

	pthread_mutex_lock(&t->lock);
	if ((r = by_dataset(t, dataset)) != NULL)
		r->moving = true;
	/* Rows change their places while the lock is given up. */
	while (!late && (r = by_dataset(t, dataset)) != NULL && r->held > 0)
		late = pthread_cond_timedwait(&t->changed, &t->lock, &until) == ETIMEDOUT;
	r = by_dataset(t, dataset);
	bool ready = r == NULL || r->held == 0;
	if (!ready)
		stop_moving(t, r);
	pthread_mutex_unlock(&t->lock);
	return ready;
}

void worktable_stayed(struct worktable *t, const char *dataset)
{
	pthread_mutex_lock(&t->lock);
	struct row *r = by_dataset(t, dataset);
	if (r != NULL)
		stop_moving(t, r);
	pthread_mutex_unlock(&t->lock);
}

uint32_t worktable_number(struct worktable *t, const char *dataset)
{
	pthread_mutex_lock(&t->lock);
	const struct row *r = by_dataset(t, dataset);
	uint32_t number = r != NULL ? r->number : 0;
	pthread_mutex_unlock(&t->lock);
	return number;
}

static int enter(struct worktable *t, const char *dataset, struct work *work, uint32_t wanted, struct error *err)
{
	char *copy = grow(t) ? strdup(dataset) : NULL;
	if (copy == NULL)
		return error_no_memory(err, "a working copy");
	uint32_t number = pick(t, wanted);
	if (number == 0) {
		free(copy);
		return error_set(err, ERR_UNSUPPORTED, "the numbers of working copies are used up; mount again");
	}
	t->rows[t->count++] = (struct row){.dataset = copy, .work = work, .number = number};
	return 0;
}

int worktable_enter(struct worktable *t, const char *dataset, struct work *work, uint32_t wanted, uint32_t *ret_number,
	struct error *err)
{
	int rc = 0;
	pthread_mutex_lock(&t->lock);
	if (by_dataset(t, dataset) == NULL)
		rc = enter(t, dataset, work, wanted, err);
	if (rc == 0)
		*ret_number = by_dataset(t, dataset)->number;
	pthread_mutex_unlock(&t->lock);
	return rc;
}

void worktable_moved(struct worktable *t, const char *dataset, uint32_t wanted)
{
	pthread_mutex_lock(&t->lock);
	struct row *r = by_dataset(t, dataset);
	if (r != NULL && grow(t)) {
		t->gone[t->gone_count++] = r->number;
		r->number = pick(t, wanted);
	} else if (r != NULL) {
		r->number = 0; /* nothing is answered rather than something else */
	}
	if (r != NULL)
		stop_moving(t, r);
	pthread_mutex_unlock(&t->lock);
}

void worktable_drop(struct worktable *t, const char *dataset)
{
	pthread_mutex_lock(&t->lock);
	struct row *r = by_dataset(t, dataset);
	if (r != NULL) {
		/* enter() made room for it. */
		if (t->gone_count < t->gone_cap)
			t->gone[t->gone_count++] = r->number;
		row_release(r);
		*r = t->rows[--t->count];
	}
	pthread_mutex_unlock(&t->lock);
}

static json_t *text_or_null(const char *text)
{
	return text != NULL ? jsonout_text(text, strlen(text)) : json_null();
}

/* Caller frees; NULL without memory. */
static char *result_text(const struct worktable_result *result)
{
	json_t *o = json_object();
	json_object_set_new(o, "snapshot", text_or_null(result->name));
	json_object_set_new(o, "state", text_or_null(result->state));
	json_object_set_new(o, "reason", text_or_null(result->reason));
	json_object_set_new(o, "error", text_or_null(result->error));
	char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(o);
	return text;
}

void worktable_set_result(struct worktable *t, uint32_t number, const struct worktable_result *result)
{
	char *text = result_text(result);
	pthread_mutex_lock(&t->lock);
	struct row *r = by_number(t, number);
	if (r != NULL) {
		free(r->told);
		r->told = text;
		text = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	free(text);
}

int worktable_result(struct worktable *t, uint32_t number, struct buf *ret, struct error *err)
{
	static const struct worktable_result none = {0};
	pthread_mutex_lock(&t->lock);
	const struct row *r = by_number(t, number);
	bool there = r != NULL;
	char *text = there && r->told != NULL ? strdup(r->told) : NULL;
	bool asked = there && r->told != NULL;
	pthread_mutex_unlock(&t->lock);
	if (!there)
		return error_set(err, ERR_NOT_FOUND, "the working copy moved on");
	if (!asked)
		text = result_text(&none);
	if (text != NULL)
		buf_put(ret, text, strlen(text));
	bool ok = text != NULL && !buf_failed(ret);
	free(text);
	return ok ? 0 : error_no_memory(err, "the outcome of a commit");
}
