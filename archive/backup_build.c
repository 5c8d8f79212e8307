/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <time.h>

#include "archive/feed_impl.h"
#include "archive/walk.h"

enum { POLL_MS = 200, STEP_ITEMS = 64 };

static int finish_content(struct backup *b, struct item *item, struct error *err)
{
	if (item->bundle != NULL)
		item->refs[0] = item->bundle->ref;
	int r = item->work == WORK_LARGE ? stream_hash(b, item, err) : 0;
	return r == 0 && item->told != NULL ? feed_allow(b, item, err) : r;
}

/* Later links have what the first one has; if that could not be read, neither can they. */
static int finish_link(struct backup *b, struct item *item, struct error *err)
{
	if (item->link == NULL || !S_ISREG(item->entry.mode))
		return 0;
	if (item->link_first) {
		item_seal(item);
		return item->skip ? 0 : links_keep(b, item, err);
	}
	int r = links_share(b, item, err);
	if (r != ERR_NOT_FOUND || b->writer == NULL)
		return r == ERR_NOT_FOUND ? 0 : r;
	char *path = judge_path(item->key.data, item->key.len);
	walk_warn(b, path == NULL ? "?" : path, "the file that it is a link of could not be saved");
	free(path);
	item->skip = true;
	return 0;
}

static void count(struct backup *b, const struct item *item)
{
	struct backup_result *res = b->result;

	if (S_ISDIR(item->entry.mode)) {
		res->dirs++;
	} else if (S_ISREG(item->entry.mode)) {
		res->files++;
		res->bytes += item->entry.size;
		res->new_files += item->is_new ? 1 : 0;
		res->changed_files += item->is_changed ? 1 : 0;
		res->unchanged_files += !item->is_new && !item->is_changed ? 1 : 0;
	} else {
		res->others++;
	}
}

/* For who asked for more: each file that is new or changed, by its path in the snapshot. */
static void tell_item(const struct backup *b, const struct item *item)
{
	if ((!item->is_new && !item->is_changed) || log_get_level(b->repo->log) < LOG_LEVEL_INFO)
		return;
	char *path = judge_path(item->key.data, item->key.len);
	log_info(b->repo->log, "%s %s", item->is_new ? "new" : "changed", path == NULL ? "?" : path);
	free(path);
}

static int build_item(struct backup *b, struct item *item, struct error *err)
{
	if (item->told != NULL && item->told->is_range)
		return feed_build_range(b, item->told, err);
	int r = item->skip ? 0 : finish_content(b, item, err);

	if (r == 0)
		r = finish_link(b, item, err);
	if (r < 0 || item->skip)
		return r;
	item_seal(item);
	count(b, item);
	tell_item(b, item);
	if (b->builder == NULL)
		return 0;
	r = tree_builder_add(b->builder, &item->entry, err);
	if (r == 0)
		return 0;
	char *path = judge_path(item->key.data, item->key.len);
	r = error_wrap(err, r, "cannot save '%s'", path == NULL ? "?" : path);
	free(path);
	return r;
}

enum step_kind { STEP_BUNDLE, STEP_BUILD, STEP_CLOSE, STEP_DONE, STEP_FAILED };

/* What the caller's thread does next: with `count` items from `first` on. */
struct step {
	enum step_kind kind;
	struct item *first;
	size_t count;
};

static void wait_main_locked(struct backup *b)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += POLL_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&b->main, &b->lock, &until);
}

/* How many items in line are read. */
static size_t count_read_locked(const struct backup *b)
{
	size_t n = 0;

	for (const struct item *item = b->to_bundle; item != NULL && item->read && n < STEP_ITEMS; item = item->next)
		n++;
	return n;
}

/* Takes the items off the front that are laid down and have all their answers. */
static size_t take_ready_locked(struct backup *b)
{
	size_t n = 0;

	while (b->head != NULL && b->head != b->to_bundle && n < STEP_ITEMS && b->head->chunks == 0 &&
		(b->head->bundle == NULL || b->head->bundle->settled)) {
		b->head = b->head->next;
		n++;
	}
	if (b->head == NULL)
		b->tail = NULL;
	return n;
}

static bool find_step_locked(struct backup *b, struct step *ret_step)
{
	bool stuck = b->walk_done || b->walker_waits; /* nothing more will come that could fill the bundle */

	*ret_step = (struct step){.kind = STEP_BUNDLE, .first = b->to_bundle, .count = count_read_locked(b)};
	if (ret_step->count > 0)
		return true;
	*ret_step = (struct step){.kind = STEP_BUILD, .first = b->head};
	ret_step->count = take_ready_locked(b);
	if (ret_step->count > 0)
		return true;
	ret_step->kind = b->walk_done && b->head == NULL ? STEP_DONE : STEP_CLOSE;
	return ret_step->kind == STEP_DONE || (b->bundle != NULL && b->to_bundle == NULL && stuck);
}

/* Waits until there is something to do. */
static struct step next_step(struct backup *b)
{
	struct step step = {.kind = STEP_FAILED};

	pthread_mutex_lock(&b->lock);
	while (b->status == 0 && !find_step_locked(b, &step)) {
		wait_main_locked(b);
		if (backup_cancelled(b))
			break;
	}
	pthread_mutex_unlock(&b->lock);
	return step;
}

/* Lays small files down, in order. The last one's `next` is the walker's to write. */
static int do_bundle(struct backup *b, const struct step *step, struct error *err)
{
	struct item *item = step->first;
	size_t charged = 0;
	int r = 0;

	for (size_t i = 0;; i++) {
		if (r == 0)
			r = bundle_item(b, item, err);
		free(item->data);
		item->data = NULL;
		charged += item->charged;
		if (i + 1 == step->count)
			break;
		item = item->next;
	}
	queue_bundled(b, item, charged);
	return r;
}

/* They are off the queue already: where all is over they are freed here, unbuilt. */
static int do_build(struct backup *b, const struct step *step, bool stopped, struct error *err)
{
	struct item *item = step->first;
	size_t weight = 0;
	int r = stopped ? ERR_CANCELLED : 0;

	for (size_t i = 0; i < step->count; i++) {
		struct item *next = i + 1 < step->count ? item->next : NULL;
		if (r == 0)
			r = build_item(b, item, err);
		weight += item->weight;
		item_free(b, item);
		item = next;
	}
	queue_leave(b, step->count, weight);
	return r;
}

static int stop_reason(struct backup *b, struct error *err)
{
	pthread_mutex_lock(&b->lock);
	int r = b->status < 0 ? b->status : ERR_CANCELLED;
	if (err != NULL)
		*err = b->failure;
	pthread_mutex_unlock(&b->lock);
	return r;
}

int build_run(struct backup *b, struct error *err)
{
	for (;;) {
		struct step step = next_step(b);
		bool stopped = backup_stopped(b);
		int r = 0;
		if (step.kind == STEP_BUILD)
			r = do_build(b, &step, stopped, err);
		if (stopped || step.kind == STEP_FAILED)
			return stop_reason(b, err);
		if (step.kind == STEP_DONE)
			return 0;
		if (step.kind == STEP_BUNDLE)
			r = do_bundle(b, &step, err);
		else if (step.kind == STEP_CLOSE)
			r = bundle_close(b, err);
		if (r < 0)
			return r;
	}
}
