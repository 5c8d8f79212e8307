/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/backup_impl.h"

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

int bundle_close(struct backup *b, struct error *err)
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
	if (b->bundle_buffer->len >= BUNDLE_MAX || item->data_len >= BUNDLE_SPREAD)
		return true;
	return draw < (UINT64_MAX / BUNDLE_SPREAD) * (item->data_len + 1);
}

int bundle_item(struct backup *b, struct item *item, struct error *err)
{
	size_t size = bundled_size(item);
	int r = 0;

	if (item->work != WORK_SMALL || item->skip || item->data == NULL || item->data_len == 0)
		return 0; /* nothing to lay down: also where the parent's chunk serves again */
	if (size == 0)
		return lay_sparse(b, item, err);
	if (b->bundle != NULL && b->bundle_buffer->len + size > b->bundle_buffer->cap)
		r = bundle_close(b, err);
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
		r = bundle_close(b, err);
	return r;
}

void bundle_unref(struct backup *b, struct bundle *bundle)
{
	if (--bundle->items == 0 && bundle != b->bundle)
		free(bundle);
}
