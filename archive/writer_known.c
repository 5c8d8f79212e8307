/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/writer_impl.h"

enum { FIRST_SLOTS = 1024 };

int known_init(struct known_table *t, struct error *err)
{
	pthread_mutex_init(&t->lock, NULL);
	t->slots = calloc(FIRST_SLOTS, sizeof(struct known *));
	if (t->slots == NULL)
		return error_no_memory(err, "the table of new chunks");
	t->slot_count = FIRST_SLOTS;
	return 0;
}

void known_release(struct known_table *t)
{
	for (size_t i = 0; i < t->slot_count; i++) {
		while (t->slots[i] != NULL) {
			struct known *k = t->slots[i];
			t->slots[i] = k->next;
			free(k);
		}
	}
	free(t->slots);
	t->slots = NULL;
	t->slot_count = 0;
	pthread_mutex_destroy(&t->lock);
}

/* Ids are keyed hashes: any eight bytes of one are as good a hash as any. */
static struct known **slot_of(struct known_table *t, const struct id *id)
{
	uint64_t h;

	memcpy(&h, id->b, sizeof(h));
	return &t->slots[h & (t->slot_count - 1)];
}

static struct known **find_locked(struct known_table *t, const struct id *id)
{
	struct known **at = slot_of(t, id);

	while (*at != NULL && !id_equal(&(*at)->id, id))
		at = &(*at)->next;
	return at;
}

/* Doubles the table; when there is no memory it only gets slower. */
static void grow_locked(struct known_table *t)
{
	struct known_table bigger = {.slot_count = t->slot_count * 2};

	if (t->count < t->slot_count)
		return;
	bigger.slots = calloc(bigger.slot_count, sizeof(struct known *));
	if (bigger.slots == NULL)
		return;
	for (size_t i = 0; i < t->slot_count; i++) {
		while (t->slots[i] != NULL) {
			struct known *k = t->slots[i];
			t->slots[i] = k->next;
			struct known **at = slot_of(&bigger, &k->id);
			k->next = *at;
			*at = k;
		}
	}
	free(t->slots);
	t->slots = bigger.slots;
	t->slot_count = bigger.slot_count;
}

static int add_locked(struct known_table *t, const struct id *id, struct error *err)
{
	struct known *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return error_no_memory(err, "a new chunk");
	grow_locked(t);
	k->id = *id;
	struct known **at = slot_of(t, id);
	k->next = *at;
	*at = k;
	t->count++;
	return 0;
}

static int wait_locked(struct known *k, writer_done_fn *done, void *arg, struct error *err)
{
	struct known_waiter *waiter = calloc(1, sizeof(*waiter));

	if (waiter == NULL)
		return error_no_memory(err, "a new chunk");
	*waiter = (struct known_waiter){.next = k->waiters, .done = done, .arg = arg};
	k->waiters = waiter;
	return 0;
}

int known_ask(struct known_table *t, const struct id *id, writer_done_fn *done, void *arg, struct locator *ret_loc,
	enum known_answer *ret_answer, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	struct known *k = *find_locked(t, id);
	if (k == NULL) {
		r = add_locked(t, id, err);
		*ret_answer = KNOWN_NEW;
	} else if (k->placed) {
		*ret_loc = k->loc;
		*ret_answer = KNOWN_PLACED;
	} else if (done == NULL) {
		*ret_answer = KNOWN_NEW;
	} else {
		r = wait_locked(k, done, arg, err);
		*ret_answer = KNOWN_WAITING;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

void known_settle(struct known_table *t, const struct id *id, int status, const struct locator *loc, bool keep)
{
	struct known_waiter *waiters = NULL;
	struct known *gone = NULL;

	pthread_mutex_lock(&t->lock);
	struct known **at = find_locked(t, id);
	struct known *k = *at;
	if (k != NULL) {
		waiters = k->waiters;
		k->waiters = NULL;
		if (keep && status == 0) {
			k->placed = true;
			k->loc = *loc;
		} else {
			*at = k->next;
			t->count--;
			gone = k;
		}
	}
	pthread_mutex_unlock(&t->lock);
	free(gone);
	struct chunk_ref ref = {.id = *id};
	if (status == 0)
		ref.chain[0] = *loc;
	while (waiters != NULL) {
		struct known_waiter *next = waiters->next;
		waiters->done(waiters->arg, status, &ref, false);
		free(waiters);
		waiters = next;
	}
}

void known_forget(struct known_table *t, const struct id *id)
{
	pthread_mutex_lock(&t->lock);
	struct known **at = find_locked(t, id);
	struct known *k = *at;
	if (k != NULL && k->placed) {
		*at = k->next;
		t->count--;
	} else {
		k = NULL;
	}
	pthread_mutex_unlock(&t->lock);
	free(k);
}
