/* SPDX-License-Identifier: MIT */

/*
 * What took effect, in order, and stores cut from it. A cut holds the objects
 * that are older than the layer and were not touched through it (read from
 * below when the cut is made), those that were deleted through it (kept just
 * before), and on top of them the first n events.
 */

#include <stdlib.h>
#include <string.h>

#include "backends/store_fault.h"

/* An object this layer must keep a copy of is one that fits in a test's memory. */
#define FAULT_OBJECT_MAX ((size_t)1 << 30)

void fault_events_release(struct fault_events *events)
{
	for (size_t i = 0; i < events->count; i++)
		free(events->list[i].data);
	free(events->list);
}

/* Takes `data` over, also when it fails. The lock is held. */
static int append(struct fault_events *events, const char *name, uint8_t *data, size_t len, struct error *err)
{
	if (events->count == events->cap) {
		size_t cap = events->cap ? events->cap * 2 : 64;
		struct fault_event *grown = reallocarray(events->list, cap, sizeof(*grown));

		if (!grown) {
			free(data);
			return error_no_memory(err, "the history of the fault layer");
		}
		events->list = grown;
		events->cap = cap;
	}
	struct fault_event *event = &events->list[events->count++];
	*event = (struct fault_event){.data = data, .len = len};
	memcpy(event->name, name, strlen(name) + 1);
	return 0;
}

static bool knows(const struct fault_events *events, const char *name)
{
	for (size_t i = 0; i < events->count; i++) {
		if (strcmp(events->list[i].name, name) == 0)
			return true;
	}
	return false;
}

int fault_note(struct store_fault *f, const char *name, const uint8_t *data, size_t len, struct error *err)
{
	uint8_t *copy = NULL;

	if (data) {
		copy = malloc(len ? len : 1);
		if (!copy)
			return error_no_memory(err, "the history of the fault layer");
		memcpy(copy, data, len);
	}
	pthread_mutex_lock(&f->lock);
	int rc = append(&f->history, name, copy, len, err);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

int fault_keep(struct store_fault *f, const struct store_call *call, const char *name, struct error *err)
{
	struct buf data = {0};

	pthread_mutex_lock(&f->lock);
	bool known = knows(&f->history, name) || knows(&f->before, name);
	pthread_mutex_unlock(&f->lock);
	if (known)
		return 0;
	int rc = store_get_all(f->below, call, name, FAULT_OBJECT_MAX, &data, err);
	if (rc == 0) {
		pthread_mutex_lock(&f->lock);
		rc = append(&f->before, name, data.data, data.len, err);
		pthread_mutex_unlock(&f->lock);
		return rc;
	}
	buf_release(&data);
	return rc;
}

size_t store_fault_history(struct store *store)
{
	struct store_fault *f = store_fault_of(store);

	pthread_mutex_lock(&f->lock);
	size_t count = f->history.count;
	pthread_mutex_unlock(&f->lock);
	return count;
}

struct copying {
	struct store_fault *f;
	struct store *to;
};

static int copy_untouched(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct copying *c = arg;
	struct buf data = {0};

	(void)size;
	if (knows(&c->f->history, name) || knows(&c->f->before, name))
		return 0;
	int rc = store_get_all(c->f->below, NULL, name, FAULT_OBJECT_MAX, &data, err);
	if (rc == 0)
		rc = store_put_mem(c->to, NULL, name, data.data, data.len, NULL, err);
	buf_release(&data);
	return rc;
}

static int replay(const struct fault_events *events, size_t n, struct store *to, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct fault_event *event = &events->list[i];

		rc = event->data ? store_put_mem(to, NULL, event->name, event->data, event->len, NULL, err)
				 : store_del(to, NULL, event->name, err);
	}
	return rc;
}

int store_fault_cut(struct store *store, size_t n, struct store **ret_store, struct error *err)
{
	struct store_fault *f = store_fault_of(store);
	struct store *to;

	int rc = store_memory_open(&to, err);
	if (rc < 0)
		return rc;
	struct copying copying = {.f = f, .to = to};
	/* No call may be under way, as store.h says of close: so nothing moves while this is read unlocked. */
	if (n > f->history.count)
		rc = error_set(
			err, ERR_USAGE, "the fault layer saw %zu puts and deletes, not %zu", f->history.count, n);
	if (rc == 0)
		rc = store_list(f->below, NULL, "", "", copy_untouched, &copying, err);
	if (rc == 0)
		rc = replay(&f->before, f->before.count, to, err);
	if (rc == 0)
		rc = replay(&f->history, n, to, err);
	if (rc != 0) {
		store_close(to);
		return rc;
	}
	*ret_store = to;
	return 0;
}
