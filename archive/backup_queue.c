/* SPDX-License-Identifier: MIT */
#include "archive/backup_impl.h"

enum { BATCH_ITEMS = 64, BATCH_BYTES = 256 << 10 };

int queue_init(struct backup *b, struct error *err)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->space, NULL);
	pthread_cond_init(&b->work, NULL);
	/* A wait by the clock of the day would last until that clock, set back, is there again. */
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->main, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&b->settled, NULL);
	return links_init(b, err);
}

static void free_items(struct backup *b, struct item *item)
{
	while (item != NULL) {
		struct item *next = item->next;
		item_free(b, item);
		item = next;
	}
}

void queue_release(struct backup *b)
{
	free_items(b, b->head);
	free_items(b, b->batch.head);
	b->head = b->batch.head = NULL;
	links_release(b);
	pthread_cond_destroy(&b->space);
	pthread_cond_destroy(&b->work);
	pthread_cond_destroy(&b->main);
	pthread_cond_destroy(&b->settled);
	pthread_mutex_destroy(&b->lock);
}

int backup_fail(struct backup *b, int status, const struct error *why)
{
	pthread_mutex_lock(&b->lock);
	if (b->status == 0) {
		b->status = status;
		if (why != NULL)
			b->failure = *why;
	}
	pthread_cond_broadcast(&b->space);
	pthread_cond_broadcast(&b->work);
	pthread_cond_broadcast(&b->main);
	pthread_cond_broadcast(&b->settled);
	pthread_mutex_unlock(&b->lock);
	return status;
}

bool backup_cancelled(const struct backup *b)
{
	return b->options->cancel != NULL && __atomic_load_n(b->options->cancel, __ATOMIC_RELAXED) != 0;
}

bool backup_stopped(struct backup *b)
{
	if (backup_cancelled(b)) {
		struct error err = ERROR_INIT;
		backup_fail(b, error_set(&err, ERR_CANCELLED, "stopped on request"), &err);
	}
	pthread_mutex_lock(&b->lock);
	bool stopped = b->status < 0;
	pthread_mutex_unlock(&b->lock);
	return stopped;
}

/* An empty queue takes any batch; so does an empty budget one that is larger than it. */
static bool room_locked(const struct backup *b, const struct batch *batch)
{
	if (b->item_count == 0)
		return true;
	if (b->item_count >= BACKUP_ITEMS_MAX || atomic_load(&b->folders) > BACKUP_FOLDERS_MAX ||
		b->weight + batch->weight > BACKUP_QUEUE_BYTES)
		return false;
	return batch->charged == 0 || b->charged == 0 || b->charged + batch->charged <= BACKUP_SMALL_BYTES;
}

/* The first item from there on that a reader has to look at. Only items that no reader has taken yet are asked. */
static struct item *first_to_read(struct item *item)
{
	while (item != NULL && item->work == WORK_NONE)
		item = item->next;
	return item;
}

static void append_locked(struct backup *b, const struct batch *batch)
{
	if (b->tail != NULL)
		b->tail->next = batch->head;
	if (b->head == NULL)
		b->head = batch->head;
	b->tail = batch->tail;
	if (b->to_bundle == NULL)
		b->to_bundle = batch->head;
	if (b->to_read == NULL && batch->reads)
		b->to_read = first_to_read(batch->head);
	b->item_count += batch->count;
	b->weight += batch->weight;
	b->charged += batch->charged;
}

static int flush(struct backup *b)
{
	struct batch batch = b->batch;

	if (batch.count == 0)
		return 0;
	b->batch = (struct batch){0};
	if (backup_stopped(b)) {
		free_items(b, batch.head);
		return ERR_CANCELLED;
	}
	pthread_mutex_lock(&b->lock);
	while (!room_locked(b, &batch) && b->status == 0) {
		b->walker_waits = true;
		pthread_cond_signal(&b->main);
		pthread_cond_wait(&b->space, &b->lock);
	}
	b->walker_waits = false;
	append_locked(b, &batch);
	if (batch.reads)
		pthread_cond_broadcast(&b->work);
	pthread_cond_signal(&b->main);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

int queue_put(struct backup *b, struct item *item)
{
	struct batch *batch = &b->batch;

	item->weight = item_weight(item);
	if (batch->tail != NULL)
		batch->tail->next = item;
	else
		batch->head = item;
	batch->tail = item;
	batch->count++;
	batch->weight += item->weight;
	batch->charged += item->charged;
	batch->reads = batch->reads || item->work != WORK_NONE;
	if (batch->count < BATCH_ITEMS && batch->charged + batch->weight < BATCH_BYTES && item->work != WORK_LARGE)
		return 0;
	return flush(b);
}

void queue_end(struct backup *b)
{
	(void)flush(b);
	pthread_mutex_lock(&b->lock);
	b->walk_done = true;
	pthread_cond_broadcast(&b->work);
	pthread_cond_broadcast(&b->main);
	pthread_mutex_unlock(&b->lock);
}

/*
 * Whether a reader may begin the next item. What was read grows in weight (a large file's chunks), so readers do not
 * run far ahead of a slow one; but what the caller's thread waits for may always be read.
 */
static bool may_read_locked(const struct backup *b)
{
	return b->to_read != NULL && (b->weight <= BACKUP_QUEUE_BYTES || b->to_read == b->to_bundle);
}

size_t queue_take_read(struct backup *b, struct item *items[static QUEUE_READ_MAX])
{
	size_t count = 0, charged = 0;

	pthread_mutex_lock(&b->lock);
	while (b->status == 0 && !may_read_locked(b) && (b->to_read != NULL || !b->walk_done))
		pthread_cond_wait(&b->work, &b->lock);
	while (b->status == 0 && count < QUEUE_READ_MAX && charged < BATCH_BYTES && may_read_locked(b)) {
		struct item *item = b->to_read;
		if (count > 0 && item->work == WORK_LARGE)
			break;
		b->to_read = first_to_read(item->next);
		charged += item->charged;
		items[count++] = item;
		if (item->work == WORK_LARGE)
			break;
	}
	pthread_mutex_unlock(&b->lock);
	return count;
}

void queue_read_done(struct backup *b, struct item *const *items, size_t count)
{
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < count; i++) {
		struct item *item = items[i];
		size_t weight = item_weight(item);
		b->weight += weight - item->weight; /* modulo 2^64 either way */
		item->weight = weight;
		item->read = true;
		if (item == b->to_bundle || item == b->head)
			pthread_cond_signal(&b->main);
	}
	pthread_mutex_unlock(&b->lock);
}

void queue_bundled(struct backup *b, struct item *last, size_t charged)
{
	pthread_mutex_lock(&b->lock);
	b->charged -= charged;
	b->to_bundle = last->next;
	if (charged > 0)
		pthread_cond_signal(&b->space);
	if (may_read_locked(b))
		pthread_cond_signal(&b->work);
	pthread_mutex_unlock(&b->lock);
}

void queue_leave(struct backup *b, size_t count, size_t weight)
{
	pthread_mutex_lock(&b->lock);
	b->item_count -= count;
	b->weight -= weight;
	pthread_cond_signal(&b->space);
	if (may_read_locked(b))
		pthread_cond_signal(&b->work);
	pthread_mutex_unlock(&b->lock);
}
