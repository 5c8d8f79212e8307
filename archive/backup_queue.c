/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <time.h>

#include "archive/backup_impl.h"

enum { POLL_MS = 200 };

int queue_init(struct backup *b, struct error *err)
{
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->space, NULL);
	pthread_cond_init(&b->work, NULL);
	pthread_cond_init(&b->main, NULL);
	pthread_cond_init(&b->settled, NULL);
	return links_init(b, err);
}

void queue_release(struct backup *b)
{
	while (b->head != NULL) {
		struct item *item = b->head;
		b->head = item->next;
		item_free(b, item);
	}
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

bool backup_stopped(struct backup *b)
{
	struct error err = ERROR_INIT;

	if (b->options->cancel != NULL && *b->options->cancel != 0)
		backup_fail(b, error_set(&err, ERR_CANCELLED, "stopped on request"), &err);
	pthread_mutex_lock(&b->lock);
	bool stopped = b->status < 0;
	pthread_mutex_unlock(&b->lock);
	return stopped;
}

/* There is always room for one: an item larger than the budget goes alone. */
static bool room_locked(const struct backup *b, const struct item *item)
{
	if (b->item_count >= BACKUP_ITEMS_MAX || atomic_load(&b->folders) > BACKUP_FOLDERS_MAX)
		return b->item_count == 0;
	return item->charged == 0 || b->charged == 0 || b->charged + item->charged <= BACKUP_SMALL_BYTES;
}

int queue_put(struct backup *b, struct item *item)
{
	if (backup_stopped(b)) {
		item_free(b, item);
		return ERR_CANCELLED;
	}
	pthread_mutex_lock(&b->lock);
	while (!room_locked(b, item) && b->status == 0) {
		b->walker_waits = true;
		pthread_cond_signal(&b->main);
		pthread_cond_wait(&b->space, &b->lock);
	}
	b->walker_waits = false;
	bool needs_reader = item->work != WORK_NONE;
	bool was_idle = b->to_bundle == NULL;
	if (b->tail != NULL)
		b->tail->next = item;
	else
		b->head = item;
	b->tail = item;
	if (b->to_bundle == NULL)
		b->to_bundle = item;
	if (b->to_read == NULL && needs_reader)
		b->to_read = item;
	b->item_count++;
	b->charged += item->charged;
	if (needs_reader)
		pthread_cond_signal(&b->work);
	else if (was_idle)
		pthread_cond_signal(&b->main);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

void queue_end(struct backup *b)
{
	pthread_mutex_lock(&b->lock);
	b->walk_done = true;
	pthread_cond_broadcast(&b->work);
	pthread_cond_broadcast(&b->main);
	pthread_mutex_unlock(&b->lock);
}

struct item *queue_take_read(struct backup *b)
{
	struct item *item = NULL;

	pthread_mutex_lock(&b->lock);
	while (b->to_read == NULL && !b->walk_done && b->status == 0)
		pthread_cond_wait(&b->work, &b->lock);
	if (b->status == 0 && b->to_read != NULL) {
		item = b->to_read;
		b->to_read = item->next;
		while (b->to_read != NULL && b->to_read->work == WORK_NONE)
			b->to_read = b->to_read->next;
	}
	pthread_mutex_unlock(&b->lock);
	return item;
}

void queue_read_done(struct backup *b, struct item *item)
{
	pthread_mutex_lock(&b->lock);
	item->read = true;
	if (item == b->to_bundle || item == b->head)
		pthread_cond_signal(&b->main);
	pthread_mutex_unlock(&b->lock);
}
