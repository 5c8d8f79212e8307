/* SPDX-License-Identifier: MIT */

/* The calls of the fault layer: each draws its plan, then does, or misdoes, what was asked. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backends/driver.h"
#include "backends/store_fault.h"
#include "base/checked.h"

/* Sleeps in short steps, so that a flag or deadline is seen soon. */
static int sleep_on(const struct store_call *call, const char *name, unsigned ms, struct error *err)
{
	enum { STEP_MS = 10 };
	int rc = 0;

	while (rc == 0 && ms > 0) {
		unsigned step = ms < STEP_MS ? ms : STEP_MS;
		struct timespec t = {.tv_nsec = (long)step * 1000000};

		(void)nanosleep(&t, NULL);
		ms -= step;
		rc = store_go_on(call, name, err);
	}
	return rc;
}

/* Not raise(3), which would end only after other threads had gone on. */
static void kill_self(void)
{
	(void)kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* What comes before the call itself. Returns what the call shall return when it is not to be made. */
static int before(struct store_fault *f, const struct store_call *call, const char *name, const struct fault_plan *plan,
	struct error *err)
{
	int rc = store_begin(&f->base, call, NULL, err);
	if (rc == 0)
		rc = sleep_on(call, name, plan->delay_ms, err);
	if (rc < 0)
		return rc;
	if (plan->kill_before)
		kill_self();
	if (plan->fail)
		return error_set(err, (enum error_code)plan->fail, "'%s' in '%s' failed on order (call %llu)", name,
			f->base.url, (unsigned long long)plan->number);
	return 0;
}

/* What comes after a call that returned `rc`. */
static int after(struct store_fault *f, const char *name, const struct fault_plan *plan, int rc, struct error *err)
{
	if (plan->kill_after)
		kill_self();
	if (plan->lose_reply && rc == 0)
		return error_set(err, ERR_TIMEOUT, "no answer about '%s' in '%s' (call %llu, on order)", name,
			f->base.url, (unsigned long long)plan->number);
	return rc;
}

/* Flips one bit, at a place that differs from call to call and is the same in every run. */
static void flip(uint8_t *data, size_t len, uint64_t number)
{
	uint64_t at = number * UINT64_C(0x9e3779b97f4a7c15);

	if (len > 0)
		data[(at >> 3) % len] ^= (uint8_t)(1u << (at & 7));
}

static int fault_get(struct store *store, const struct store_call *call, const char *name, uint64_t off, size_t len,
	void *dst, size_t *ret_len, struct error *err)
{
	struct store_fault *f = store_fault_of(store);
	struct fault_plan plan = fault_plan_draw(f, FAULT_GET, name);
	size_t n = 0;

	int rc = before(f, call, name, &plan, err);
	if (rc < 0)
		return rc;
	rc = store_get(f->below, call, name, off, len, dst, &n, err);
	if (rc == 0 && plan.truncate)
		n /= 2;
	if (rc == 0 && plan.corrupt)
		flip(dst, n, plan.number);
	rc = after(f, name, &plan, rc, err);
	if (rc == 0)
		*ret_len = n;
	return rc;
}

/* Puts what the plan makes of the bytes; *ret_new tells whether the name was free. */
static int put_below(struct store_fault *f, const struct store_call *call, const char *name,
	const struct store_body *body, struct store_reply *ret_reply, bool *ret_new, struct error *err)
{
	uint64_t size;

	int rc = store_stat(f->below, call, name, &size, NULL);
	if (rc < 0 && rc != ERR_NOT_FOUND)
		return store_stat(f->below, call, name, &size, err);
	*ret_new = rc == ERR_NOT_FOUND;
	return store_put(f->below, call, name, body, ret_reply, err);
}

static int put_changed(struct store_fault *f, const struct store_call *call, const char *name,
	const struct store_body *body, const struct fault_plan *plan, struct store_reply *ret_reply, struct error *err)
{
	struct store_body changed = {.fd = -1, .len = plan->truncate ? body->len / 2 : body->len};
	uint8_t *data = NULL;
	bool is_new = false;

	int rc = store_body_load(body, name, &data, err);
	if (rc < 0)
		return rc;
	if (plan->corrupt)
		flip(data, (size_t)changed.len, plan->number);
	changed.data = data;
	/* What is put unchanged goes down as it came, so that a file from tmpfile() is still taken over. */
	bool as_is = !plan->corrupt && !plan->truncate;
	rc = put_below(f, call, name, as_is ? body : &changed, ret_reply, &is_new, err);
	if (rc == 0 && is_new && f->recording)
		rc = fault_note(f, name, data, (size_t)changed.len, err);
	free(data);
	if (rc == 0 && plan->truncate)
		rc = error_set(err, ERR_UNAVAILABLE, "half of '%s' was stored in '%s' (call %llu, on order)", name,
			f->base.url, (unsigned long long)plan->number);
	return rc;
}

static int fault_put(struct store *store, const struct store_call *call, const char *name,
	const struct store_body *body, struct store_reply *ret_reply, struct error *err)
{
	struct store_fault *f = store_fault_of(store);
	struct fault_plan plan = fault_plan_draw(f, FAULT_PUT, name);
	struct store_reply reply = {0};

	int rc = before(f, call, name, &plan, err);
	if (rc == 0)
		rc = store_begin(store, NULL, name, err);
	if (rc < 0)
		return rc;
	if (f->recording || plan.corrupt || plan.truncate)
		rc = put_changed(f, call, name, body, &plan, &reply, err);
	else
		rc = store_put(f->below, call, name, body, &reply, err);
	rc = after(f, name, &plan, rc, err);
	if (rc == 0 && ret_reply)
		*ret_reply = reply;
	return rc;
}

/* A deletion that is kept: one of a name that is not there has no effect, and leaves no trace. */
static int del_recorded(struct store_fault *f, const struct store_call *call, const char *name, struct error *err)
{
	uint64_t size;

	int rc = store_stat(f->below, call, name, &size, err);
	if (rc == ERR_NOT_FOUND) {
		if (err)
			error_clear(err);
		return store_del(f->below, call, name, err);
	}
	if (rc == 0)
		rc = fault_keep(f, call, name, err);
	if (rc == 0)
		rc = store_del(f->below, call, name, err);
	if (rc == 0)
		rc = fault_note(f, name, NULL, 0, err);
	return rc;
}

static int fault_del(struct store *store, const struct store_call *call, const char *name, struct error *err)
{
	struct store_fault *f = store_fault_of(store);
	struct fault_plan plan = fault_plan_draw(f, FAULT_DEL, name);

	int rc = before(f, call, name, &plan, err);
	if (rc < 0)
		return rc;
	rc = f->recording ? del_recorded(f, call, name, err) : store_del(f->below, call, name, err);
	return after(f, name, &plan, rc, err);
}

static int fault_list(struct store *store, const struct store_call *call, const char *prefix, const char *after_name,
	store_list_fn *fn, void *arg, struct error *err)
{
	struct store_fault *f = store_fault_of(store);
	struct fault_plan plan = fault_plan_draw(f, FAULT_LIST, prefix);

	int rc = before(f, call, prefix, &plan, err);
	if (rc < 0)
		return rc;
	return after(f, prefix, &plan, store_list(f->below, call, prefix, after_name, fn, arg, err), err);
}

static int fault_stat(
	struct store *store, const struct store_call *call, const char *name, uint64_t *ret_size, struct error *err)
{
	struct store_fault *f = store_fault_of(store);
	struct fault_plan plan = fault_plan_draw(f, FAULT_STAT, name);
	uint64_t size = 0;

	int rc = before(f, call, name, &plan, err);
	if (rc < 0)
		return rc;
	rc = after(f, name, &plan, store_stat(f->below, call, name, &size, err), err);
	if (rc == 0)
		*ret_size = size;
	return rc;
}

static int fault_tmpfile(struct store *store, const char *name, int *ret_fd, struct error *err)
{
	return store_tmpfile(store_fault_of(store)->below, name, ret_fd, err);
}

static int fault_free_space(struct store *store, uint64_t *ret_bytes, struct error *err)
{
	return store_free_space(store_fault_of(store)->below, ret_bytes, err);
}

static void fault_close(struct store *store)
{
	struct store_fault *f = store_fault_of(store);

	store_fault_clear(store);
	fault_events_release(&f->history);
	fault_events_release(&f->before);
	pthread_mutex_destroy(&f->lock);
	store_close(f->below);
	store_release(store);
	free(f);
}

static const struct store_ops fault_ops = {
	.get = fault_get,
	.put = fault_put,
	.del = fault_del,
	.list = fault_list,
	.stat = fault_stat,
	.tmpfile = fault_tmpfile,
	.free_space = fault_free_space,
	.close = fault_close,
};

int fault_open(struct store *below, bool recording, struct store **ret_store, struct error *err)
{
	struct store_fault *f = calloc(1, sizeof(*f));
	char *url = strdup(below->url);
	char *path = below->local_path ? strdup(below->local_path) : NULL;

	if (!f || !url || (below->local_path && !path)) {
		free(f);
		free(url);
		free(path);
		return error_no_memory(err, "the fault layer");
	}
	f->base.ops = &fault_ops;
	f->base.features = below->features;
	f->base.parallel = below->parallel;
	f->base.url = url;
	f->base.local_path = path;
	f->below = below;
	f->recording = recording;
	pthread_mutex_init(&f->lock, NULL);
	*ret_store = &f->base;
	return 0;
}

int store_fault_open(struct store *below, struct store **ret_store, struct error *err)
{
	return fault_open(below, true, ret_store, err);
}
