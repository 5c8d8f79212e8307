/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive/backup_impl.h"

enum { POLL_MS = 200 };

/* What a bundle's chunk became. */
struct bundle_answer {
	struct backup *b;
	struct bundle *bundle;
};

static void bundle_answered(void *arg, int status, const struct chunk_ref *ref, bool is_new)
{
	struct bundle_answer *a = arg;

	(void)is_new;
	pthread_mutex_lock(&a->b->lock);
	if (status == 0)
		a->bundle->ref = *ref;
	a->bundle->settled = true;
	pthread_cond_signal(&a->b->main);
	pthread_mutex_unlock(&a->b->lock);
	free(a);
}

/* Ends the bundle in the making; its items wait for the answer. */
static int close_bundle(struct backup *b, struct error *err)
{
	struct bundle_answer *a = calloc(1, sizeof(*a));
	struct bundle *bundle = b->bundle;
	struct writer_buffer *buffer = b->bundle_buffer;

	if (a == NULL)
		return error_no_memory(err, "a chunk of small files");
	*a = (struct bundle_answer){.b = b, .bundle = bundle};
	b->bundle = NULL;
	b->bundle_buffer = NULL;
	writer_submit(b->writer, buffer, bundle_answered, a);
	return 0;
}

static int open_bundle(struct backup *b, struct error *err)
{
	b->bundle_buffer = writer_buffer(b->writer);
	if (b->bundle_buffer == NULL)
		return writer_status(b->writer, err);
	b->bundle = calloc(1, sizeof(*b->bundle));
	if (b->bundle == NULL) {
		writer_buffer_drop(b->writer, b->bundle_buffer);
		b->bundle_buffer = NULL;
		return error_no_memory(err, "a chunk of small files");
	}
	return 0;
}

/* Bytes that the file will take in a bundle: without its holes. */
static size_t bundled_size(const struct item *item)
{
	size_t sum = 0;

	if (item->runs == NULL)
		return item->data_len;
	for (size_t i = 0; i < item->run_count; i++)
		sum += item->runs[i].len;
	return sum;
}

/* Copies a stretch of the file behind the bundle and notes its extent. */
static int lay_run(struct backup *b, struct item *item, uint64_t off, size_t len, struct error *err)
{
	struct writer_buffer *buffer = b->bundle_buffer;
	int r = item_add_extent(item, len, 0, buffer->len, err);

	memcpy(buffer->data + buffer->len, item->data + off, len);
	buffer->len += (uint32_t)len;
	return r;
}

static int lay_sparse(struct backup *b, struct item *item, struct error *err)
{
	uint64_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < item->run_count; i++) {
		const struct segment_run *run = &item->runs[i];
		uint64_t off = min_u64(run->off, item->data_len);
		size_t len = (size_t)min_u64(run->len, item->data_len - off);
		r = item_add_extent(item, off - at, EXTENT_HOLE, 0, err);
		if (r == 0 && len > 0)
			r = lay_run(b, item, off, len, err);
		at = off + len;
	}
	return r == 0 ? item_add_extent(item, item->data_len - at, EXTENT_HOLE, 0, err) : r;
}

/*
 * Where bundles end depends on what they hold, so that a file that comes or
 * goes disturbs only its own bundle: after the least size a file ends one
 * with a chance that grows with its length.
 */
static bool ends_bundle(const struct backup *b, const struct item *item)
{
	uint64_t draw;

	if (b->bundle_buffer->len < BUNDLE_MIN)
		return false;
	memcpy(&draw, item->entry.content.b, sizeof(draw));
	return draw < (UINT64_MAX / BUNDLE_SPREAD) * (item->data_len + 1) || b->bundle_buffer->len >= BUNDLE_MAX;
}

static int bundle_item(struct backup *b, struct item *item, struct error *err)
{
	size_t size = bundled_size(item);
	int r = 0;

	if (item->work != WORK_SMALL || item->skip || item->data == NULL || item->data_len == 0)
		return 0;
	if (size == 0)
		return lay_sparse(b, item, err);
	if (b->bundle != NULL && b->bundle_buffer->len + size > b->bundle_buffer->cap)
		r = close_bundle(b, err);
	if (r == 0 && b->bundle == NULL)
		r = open_bundle(b, err);
	if (r < 0)
		return r;
	static const struct chunk_ref unknown = {0};
	uint32_t index;
	r = item_add_ref(item, &unknown, &index, err);
	if (r == 0)
		r = item->runs == NULL ? lay_run(b, item, 0, item->data_len, err) : lay_sparse(b, item, err);
	item->bundle = b->bundle;
	b->bundle->items++;
	if (r == 0 && ends_bundle(b, item))
		r = close_bundle(b, err);
	return r;
}

/* The small file's bytes are laid down: its share of the budget is free again. */
static void bundled(struct backup *b, struct item *item)
{
	free(item->data);
	item->data = NULL;
	pthread_mutex_lock(&b->lock);
	b->charged -= item->charged;
	item->charged = 0;
	b->to_bundle = item->next;
	pthread_cond_signal(&b->space);
	pthread_mutex_unlock(&b->lock);
}

static int finish_content(struct backup *b, struct item *item, struct error *err)
{
	if (item->bundle != NULL)
		item->refs[0] = item->bundle->ref;
	if (item->work != WORK_LARGE)
		return 0;
	int r = stream_fold_content(b, item, err);
	if (r == 0) {
		seal_hasher_final(item->hasher, &item->entry.content);
		item->entry.flags |= ENTRY_HAS_CONTENT_HASH;
	}
	return r;
}

/* Later links have what the first one has; if that could not be read, neither can they. */
static int finish_link(struct backup *b, struct item *item, struct error *err)
{
	struct link *link = item->link;

	if (link == NULL || !S_ISREG(item->entry.mode))
		return 0;
	if (!item->link_first) {
		item->skip = link->content == NULL;
		return item->skip ? 0 : item_share_content(item, link->content, err);
	}
	pthread_mutex_lock(&b->lock);
	bool others = link->refs > 1;
	pthread_mutex_unlock(&b->lock);
	if (!others || item->skip)
		return 0;
	link->content = item_new();
	if (link->content == NULL)
		return error_no_memory(err, "an entry");
	item_seal(item);
	int r = item_share_content(link->content, item, err);
	item_seal(link->content);
	return r;
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

static int build_item(struct backup *b, struct item *item, struct error *err)
{
	int r = item->skip ? 0 : finish_content(b, item, err);

	if (r == 0)
		r = finish_link(b, item, err);
	if (r < 0 || item->skip)
		return r;
	item_seal(item);
	count(b, item);
	return b->builder == NULL ? 0 : tree_builder_add(b->builder, &item->entry, err);
}

static void leave_queue(struct backup *b, struct item *item)
{
	pthread_mutex_lock(&b->lock);
	b->head = item->next;
	if (b->head == NULL)
		b->tail = NULL;
	b->item_count--;
	pthread_cond_signal(&b->space);
	pthread_mutex_unlock(&b->lock);
	item_free(b, item);
}

enum step { STEP_BUNDLE, STEP_BUILD, STEP_FLUSH, STEP_DONE, STEP_FAILED };

static void wait_main_locked(struct backup *b)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += POLL_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&b->main, &b->lock, &until);
}

/* What the caller's thread can do next; waits until there is something. */
static enum step next_step(struct backup *b)
{
	enum step step = STEP_FAILED;

	pthread_mutex_lock(&b->lock);
	while (b->status == 0) {
		const struct item *head = b->head;
		bool stuck = b->walk_done || b->walker_waits; /* nothing more will come that could fill the bundle */
		if (b->to_bundle != NULL && b->to_bundle->read)
			step = STEP_BUNDLE;
		else if (head != NULL && head != b->to_bundle && head->chunks == 0 &&
			 (head->bundle == NULL || head->bundle->settled))
			step = STEP_BUILD;
		else if (b->bundle != NULL && b->to_bundle == NULL && stuck)
			step = STEP_FLUSH;
		else if (b->walk_done && head == NULL)
			step = STEP_DONE;
		else {
			wait_main_locked(b);
			if (b->options->cancel != NULL && *b->options->cancel != 0)
				break;
			continue;
		}
		break;
	}
	pthread_mutex_unlock(&b->lock);
	return step;
}

int build_run(struct backup *b, struct error *err)
{
	int r = 0;

	while (r == 0) {
		enum step step = next_step(b);
		struct item *item = step == STEP_BUNDLE ? b->to_bundle : b->head;
		if (step == STEP_DONE)
			break;
		if (backup_stopped(b) || step == STEP_FAILED) { /* which also sets the failure */
			pthread_mutex_lock(&b->lock);
			r = b->status < 0 ? b->status : ERR_CANCELLED;
			if (err != NULL)
				*err = b->failure;
			pthread_mutex_unlock(&b->lock);
		} else if (step == STEP_BUNDLE) {
			r = bundle_item(b, item, err);
			bundled(b, item);
		} else if (step == STEP_BUILD) {
			r = build_item(b, item, err);
			leave_queue(b, item);
		} else {
			r = close_bundle(b, err);
		}
	}
	return r;
}
