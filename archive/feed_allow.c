/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/feed_impl.h"

/*
 * A prune that has not decided yet may delete what it condemned, and what a
 * verdict names is gone. What a told entry refers to there is read through the
 * index and stored once more, so that the new snapshot does not depend on it.
 */

static bool ref_allowed(const struct session *s, const struct chunk_ref *ref)
{
	for (unsigned d = 0; d <= ref->depth; d++)
		if (session_pack_banned(s, &ref->chain[d].pack))
			return false;
	return true;
}

bool feed_allowed(const struct backup *b, const struct entry *entry)
{
	const struct session *s = b->session;

	if (s->banned_count == 0)
		return true;
	if (entry->piece_count > 0)
		return false;
	if (entry->xattr_ref != EXTENT_HOLE && !ref_allowed(s, &entry->refs[entry->xattr_ref]))
		return false;
	for (uint32_t i = 0; i < entry->extent_count; i++) {
		uint32_t ref = entry->extents[i].ref;
		if (ref != EXTENT_HOLE && !ref_allowed(s, &entry->refs[ref]))
			return false;
	}
	return true;
}

/* The writer's word on one chunk. */
struct answer {
	struct backup *b;
	struct chunk_ref ref;
	int status;
	bool done;
};

static void answered(void *arg, int status, const struct chunk_ref *ref, bool is_new)
{
	struct answer *a = arg;
	struct backup *b = a->b;

	(void)is_new;
	pthread_mutex_lock(&b->lock);
	a->status = status;
	if (status == 0)
		a->ref = *ref;
	a->done = true;
	pthread_cond_broadcast(&b->settled);
	pthread_mutex_unlock(&b->lock);
}

static int store_chunk(struct backup *b, const struct chunk *chunk, struct chunk_ref *ref, struct error *err)
{
	struct answer a = {.b = b};
	struct writer_buffer *buffer = writer_buffer(b->writer);

	if (buffer == NULL)
		return writer_status(b->writer, err);
	if (chunk->len > buffer->cap) {
		writer_buffer_drop(b->writer, buffer);
		return error_set(err, ERR_CORRUPT, "a chunk of the base is larger than this archive's");
	}
	memcpy(buffer->data, chunk->data, chunk->len);
	buffer->len = chunk->len;
	writer_submit(b->writer, buffer, answered, &a);
	pthread_mutex_lock(&b->lock);
	while (!a.done)
		pthread_cond_wait(&b->settled, &b->lock);
	pthread_mutex_unlock(&b->lock);
	if (a.status < 0)
		return writer_status(b->writer, err);
	*ref = a.ref;
	return 0;
}

int feed_allow_chunk(struct backup *b, struct chunk_ref *ref, struct error *err)
{
	const struct chunk *chunk = NULL;

	if (ref_allowed(b->session, ref))
		return 0;
	int r = reader_chunk(b->reader, ref, &chunk, err);
	if (r < 0)
		return r;
	r = store_chunk(b, chunk, ref, err);
	reader_release(b->reader, chunk);
	return r;
}

static int allow_xattrs(struct backup *b, struct item *item, struct error *err)
{
	uint32_t ref = item->entry.xattr_ref;

	if (ref == EXTENT_HOLE || ref_allowed(b->session, &item->refs[ref]))
		return 0;
	item_seal(item);
	buf_clear(&item->xattrs);
	int r = entry_xattrs(reader_nodes(b->reader), &item->entry, &item->xattrs, err);
	item->entry.xattr_ref = EXTENT_HOLE;
	return r;
}

/* The list of extents is written anew: what a piece refers to is known only by reading it. */
static int rewrite_pieces(struct backup *b, struct item *item, struct error *err)
{
	struct extent_reader *old = NULL;
	struct extent_writer *new = NULL;
	uint64_t length = 0;
	item_seal(item);
	int r = extent_reader_new(reader_nodes(b->reader), &item->entry, &old, err);

	if (r == 0)
		r = extent_writer_new(&b->keys, writer_node_sink(b->writer), &new, err);
	for (uint64_t at = 0; r == 0 && at < item->entry.size; at += length) {
		const struct chunk_ref *ref = NULL;
		struct chunk_ref own;
		uint32_t offset = 0;
		r = extent_reader_at(old, at, &length, &ref, &offset, err);
		if (r == 0 && ref != NULL) {
			own = *ref;
			r = feed_allow_chunk(b, &own, err);
		}
		if (r == 0)
			r = extent_writer_add(new, length, ref == NULL ? NULL : &own, offset, err);
	}
	struct entry e = {.xattr_ref = EXTENT_HOLE};
	struct chunk_ref xattrs;
	if (r == 0)
		r = extent_writer_finish(new, &e, err);
	bool has_xattrs = item->entry.xattr_ref != EXTENT_HOLE;
	if (r == 0 && has_xattrs)
		xattrs = item->refs[item->entry.xattr_ref];
	if (r == 0) {
		free(item->pieces);
		item->pieces = NULL;
		item->piece_count = item->extent_count = item->ref_count = 0;
		r = item_copy_extents(item, &e, err);
	}
	if (r == 0 && has_xattrs)
		r = item_add_ref(item, &xattrs, &item->entry.xattr_ref, err);
	extent_reader_free(old);
	extent_writer_free(new);
	return r;
}

int feed_allow(struct backup *b, struct item *item, struct error *err)
{
	if (b->session->banned_count == 0)
		return 0;
	int r = allow_xattrs(b, item, err);

	if (r == 0 && item->piece_count > 0 && item->told->taken)
		return rewrite_pieces(b, item, err);
	for (size_t i = 0; r == 0 && item->piece_count == 0 && i < item->ref_count; i++)
		if (i != item->entry.xattr_ref)
			r = feed_allow_chunk(b, &item->refs[i], err);
	return r;
}
