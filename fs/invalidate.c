/* SPDX-License-Identifier: MIT */
#define FUSE_USE_VERSION 312
#include "fs/invalidate.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* One thing to forget: a name in a folder, or (name NULL) a node's attributes and cached target. */
struct note {
	struct note *next;
	uint64_t node;
	char *name;
};

struct invalidate {
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct note *first, **last; /* under the lock */
	bool stop;                  /* under the lock */
};

static void note_free(struct note *n)
{
	free(n->name);
	free(n);
}

static void send_note(struct fuse_session *session, const struct note *n)
{
	/* What the kernel does not know it need not forget: every error is as good as done. */
	if (n->name != NULL)
		fuse_lowlevel_notify_inval_entry(session, n->node, n->name, strlen(n->name));
	else
		fuse_lowlevel_notify_inval_inode(session, n->node, 0, 0);
}

static struct note *take(struct invalidate *inv)
{
	pthread_mutex_lock(&inv->lock);
	while (inv->first == NULL && !inv->stop)
		pthread_cond_wait(&inv->wake, &inv->lock);
	struct note *n = inv->stop ? NULL : inv->first;
	if (n != NULL) {
		inv->first = n->next;
		if (inv->first == NULL)
			inv->last = &inv->first;
	}
	pthread_mutex_unlock(&inv->lock);
	return n;
}

static void *run(void *arg)
{
	struct invalidate *inv = arg;
	for (struct note *n = take(inv); n != NULL; n = take(inv)) {
		send_note(inv->session, n);
		note_free(n);
	}
	return NULL;
}

int invalidate_new(struct fuse_session *session, struct invalidate **ret, struct error *err)
{
	struct invalidate *inv = calloc(1, sizeof(*inv));
	if (inv == NULL)
		return error_no_memory(err, "the thread that tells the kernel");
	inv->session = session;
	inv->last = &inv->first;
	pthread_mutex_init(&inv->lock, NULL);
	pthread_cond_init(&inv->wake, NULL);
	int failed = pthread_create(&inv->thread, NULL, run, inv);
	if (failed != 0) {
		pthread_mutex_destroy(&inv->lock);
		pthread_cond_destroy(&inv->wake);
		free(inv);
		return error_set_errno(err, failed, "cannot start a thread");
	}
	*ret = inv;
	return 0;
}

void invalidate_free(struct invalidate *inv)
{
	if (inv == NULL)
		return;
	pthread_mutex_lock(&inv->lock);
	inv->stop = true;
	pthread_cond_signal(&inv->wake);
	pthread_mutex_unlock(&inv->lock);
	pthread_join(inv->thread, NULL);
	while (inv->first != NULL) {
		struct note *n = inv->first;
		inv->first = n->next;
		note_free(n);
	}
	pthread_mutex_destroy(&inv->lock);
	pthread_cond_destroy(&inv->wake);
	free(inv);
}

/* Queues one; `name` NULL: the node itself. */
static void queue(struct invalidate *inv, const struct nodeid *node, const char *name)
{
	struct note *n = calloc(1, sizeof(*n));
	char *copy = n != NULL && name != NULL ? strdup(name) : NULL;
	if (n == NULL || (name != NULL && copy == NULL)) {
		free(n);
		return;
	}
	n->node = nodeid_make(node);
	n->name = copy;
	pthread_mutex_lock(&inv->lock);
	*inv->last = n;
	inv->last = &n->next;
	pthread_cond_signal(&inv->wake);
	pthread_mutex_unlock(&inv->lock);
}

void invalidate_attributes(struct fuse_session *session, uint64_t node)
{
	/* An offset below 0 leaves the pages alone, for which the kernel might have to wait. */
	fuse_lowlevel_notify_inval_inode(session, node, -1, 0);
}

void invalidate_name(struct invalidate *inv, const struct nodeid *folder, const char *name)
{
	queue(inv, folder, name);
}

/* Links to a snapshot that got another name hold the old one. */
static void queue_links(struct invalidate *inv, uint32_t number)
{
	static const enum nodeid_kind kinds[] = {NODEID_LATEST, NODEID_AT_LINK, NODEID_POINT_LINK};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct nodeid node = {.kind = kinds[i], .number = number};
		queue(inv, &node, NULL);
	}
}

static void compare_snapshot(
	struct invalidate *inv, const struct epoch *now, const struct nodeid *folder, const struct snapshot *before)
{
	const struct snapshot *s = snapset_by_id(now->set, &before->id);
	if (s != NULL && strcmp(s->name, before->name) == 0)
		return;
	queue(inv, folder, before->name);
	if (s != NULL)
		queue_links(inv, s->number);
}

void invalidate_changes(struct invalidate *inv, const struct epoch *old, const struct epoch *now)
{
	struct nodeid root = {.kind = NODEID_ROOT};
	for (size_t i = 0; i < old->dataset_count; i++) {
		const struct epoch_dataset *d = &old->datasets[i], *same = epoch_dataset(now, d->name);
		struct nodeid folder = {.kind = NODEID_DATASET, .tag = d->tag};
		for (size_t j = d->first; j < d->first + d->count; j++)
			compare_snapshot(inv, now, &folder, old->set->list[j]);
		if (same == NULL)
			queue(inv, &root, d->name);
		else
			queue(inv, &folder, NULL);
	}
	queue(inv, &root, NULL);
}
