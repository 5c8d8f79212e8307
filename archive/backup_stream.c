/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/complete.h"
#include "base/fileio.h"

enum { READ_SIZE = 256 << 10, PIPE_WAIT_MS = 200 };

/* A chunk at the writer's: whose it is, and which of its refs. */
struct answer {
	struct backup *b;
	struct item *item;
	uint32_t ref;
};

/*
 * A file on its way into chunks. Data is chunked as if there were no holes,
 * and `runs` remembers where in the file the bytes of the chunk in the making
 * belong, so a chunk may span a hole and a file of many small islands makes few chunks.
 */
struct stream {
	struct backup *b;
	struct item *item;
	const char *path;
	struct complete *judge;
	struct writer_buffer *buffer;
	struct chunker_state state;
	struct segment_run *runs; /* off: hole before it, in bytes; len: its bytes in this chunk */
	size_t run_count, run_cap;
	uint64_t size; /* of the file so far, holes included */
};

static void answered(void *arg, int status, const struct chunk_ref *ref, bool is_new)
{
	struct answer *a = arg;
	struct backup *b = a->b;

	(void)is_new;
	pthread_mutex_lock(&b->lock);
	if (status == 0)
		a->item->refs[a->ref] = *ref;
	if (--a->item->chunks == 0) {
		pthread_cond_broadcast(&b->settled);
		if (a->item == b->head)
			pthread_cond_signal(&b->main);
	}
	pthread_mutex_unlock(&b->lock);
	free(a);
}

static void wait_settled(struct backup *b, struct item *item)
{
	pthread_mutex_lock(&b->lock);
	while (item->chunks > 0)
		pthread_cond_wait(&b->settled, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

int stream_fold_content(struct backup *b, struct item *item, struct error *err)
{
	if (item->hasher == NULL)
		item->hasher = seal_hasher_new(b->repo->config.hash, b->repo->sec->content_key);
	if (item->hasher == NULL)
		return error_no_memory(err, "a file's hash");
	for (size_t i = 0; i < item->extent_count; i++) {
		const struct extent *x = &item->extents[i];
		static const struct id hole = {0};
		uint8_t row[12];
		for (unsigned k = 0; k < 8; k++)
			row[k] = (uint8_t)(x->length >> (8 * k));
		for (unsigned k = 0; k < 4; k++)
			row[8 + k] = (uint8_t)(x->offset >> (8 * k));
		seal_hasher_update(item->hasher, row, sizeof(row));
		seal_hasher_update(
			item->hasher, x->ref == EXTENT_HOLE ? hole.b : item->refs[x->ref].id.b, sizeof(hole.b));
	}
	return 0;
}

static int store_piece(struct backup *b, struct item *item, struct chunk_ref *ret_ref, struct error *err)
{
	struct node_encoder *e = node_encoder_new(NODE_EXTENTS, 0);
	struct buf out = {0};
	size_t at, len;
	struct id id;
	int r = e == NULL ? error_no_memory(err, "a piece of a long file") : 0;

	for (size_t i = 0; r == 0 && i < item->extent_count; i++) {
		const struct extent *x = &item->extents[i];
		r = node_encoder_extent(e, x, x->ref == EXTENT_HOLE ? NULL : &item->refs[x->ref], err);
	}
	if (r == 0)
		r = node_encoder_finish(e, &out, &at, &len, err);
	if (r == 0) {
		seal_hash(b->repo->config.hash, b->repo->sec->node_id_key, out.data + at, len, &id);
		struct node_sink *sink = writer_node_sink(b->writer);
		r = sink->store(sink, &id, out.data, out.len, ret_ref, err);
	}
	buf_release(&out);
	node_encoder_free(e);
	return r;
}

/*
 * A file of very many chunks: its first extents go to a piece of their own,
 * so that memory does not grow with the file. item->refs then begins with the pieces' refs,
 * held apart in `pieces` until the end.
 */
static int flush_piece(struct backup *b, struct item *item, struct chunk_ref **pieces, struct error *err)
{
	struct chunk_ref ref;
	uint64_t length = 0;

	wait_settled(b, item);
	int r = writer_status(b->writer, err);
	if (r == 0)
		r = stream_fold_content(b, item, err);
	if (r == 0)
		r = store_piece(b, item, &ref, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < item->extent_count; i++)
		length += item->extents[i].length;
	struct entry_piece *list = reallocarray(item->pieces, item->piece_count + 1, sizeof(*list));
	if (list != NULL)
		item->pieces = list;
	struct chunk_ref *refs = reallocarray(*pieces, item->piece_count + 1, sizeof(*refs));
	if (refs != NULL)
		*pieces = refs;
	if (list == NULL || refs == NULL)
		return error_no_memory(err, "a piece of a long file");
	list[item->piece_count] = (struct entry_piece){.length = length, .ref = (uint32_t)item->piece_count};
	refs[item->piece_count++] = ref;
	item->extent_count = item->ref_count = 0;
	return 0;
}

static int add_run(struct stream *s, uint64_t hole, uint64_t len, struct error *err)
{
	if (hole == 0 && s->run_count > 0) {
		s->runs[s->run_count - 1].len += len;
		return 0;
	}
	if (s->run_count == s->run_cap) {
		size_t cap = s->run_cap == 0 ? 8 : s->run_cap * 2;
		struct segment_run *bigger = reallocarray(s->runs, cap, sizeof(*bigger));
		if (bigger == NULL)
			return error_no_memory(err, "a sparse file's map");
		s->runs = bigger;
		s->run_cap = cap;
	}
	s->runs[s->run_count++] = (struct segment_run){.off = hole, .len = len};
	return 0;
}

/* Extents of the first `cut` bytes in the buffer; what is left of the runs moves to the front. */
static int add_extents(struct stream *s, uint32_t ref, size_t cut, struct error *err)
{
	size_t i = 0;
	uint64_t at = 0;
	int r = 0;

	for (; r == 0 && i < s->run_count && at < cut; i++) {
		struct segment_run *run = &s->runs[i];
		uint64_t n = min_u64(run->len, cut - at);
		r = item_add_extent(s->item, run->off, EXTENT_HOLE, 0, err);
		if (r == 0)
			r = item_add_extent(s->item, n, ref, (uint32_t)at, err);
		at += n;
		if (n < run->len) {
			*run = (struct segment_run){.off = 0, .len = run->len - n};
			break;
		}
	}
	memmove(s->runs, s->runs + i, (s->run_count - i) * sizeof(*s->runs));
	s->run_count -= i;
	return r;
}

/* Hands the first `cut` bytes of the buffer to the writer; the rest begins the next chunk. */
static int emit(struct stream *s, size_t cut, struct error *err)
{
	struct backup *b = s->b;
	struct writer_buffer *full = s->buffer, *next = NULL;
	static const struct chunk_ref unknown = {0};
	struct answer *a = calloc(1, sizeof(*a));
	uint32_t ref = 0;

	if (a == NULL)
		return error_no_memory(err, "a chunk");
	if (full->len > cut) {
		next = writer_buffer(b->writer);
		if (next == NULL) {
			free(a);
			return writer_status(b->writer, err);
		}
		next->len = full->len - (uint32_t)cut;
		memcpy(next->data, full->data + cut, next->len);
	}
	pthread_mutex_lock(&b->lock);
	int r = item_add_ref(s->item, &unknown, &ref, err);
	if (r == 0)
		r = add_extents(s, ref, cut, err);
	if (r == 0)
		s->item->chunks++;
	pthread_mutex_unlock(&b->lock);
	s->buffer = next;
	s->state = (struct chunker_state){0};
	if (r < 0) {
		free(a);
		writer_buffer_drop(b->writer, full);
		return r;
	}
	*a = (struct answer){.b = b, .item = s->item, .ref = ref};
	full->len = (uint32_t)cut;
	writer_submit(b->writer, full, answered, a);
	return 0;
}

/* Cuts off every whole chunk that the buffer holds. */
static int cut_chunks(struct stream *s, struct chunk_ref **pieces, struct error *err)
{
	int r = 0;

	while (r == 0 && s->buffer != NULL && s->buffer->len > 0) {
		size_t cut = chunker_scan(s->b->chunker, &s->state, s->buffer->data, s->buffer->len);
		if (cut == 0)
			break;
		r = emit(s, cut, err);
		if (r == 0 && s->item->extent_count >= ENTRY_PIECE_EXTENTS)
			r = flush_piece(s->b, s->item, pieces, err);
	}
	return r;
}

/*
 * What a pipe holds now, at least a byte; none at its end. A program that says nothing for hours can still be stopped,
 * so the wait is never left to read(2).
 */
static int read_pipe(struct stream *s, int fd, void *dst, size_t len, size_t *ret_got, struct error *err)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	for (;;) {
		if (backup_stopped(s->b))
			return error_set(err, ERR_CANCELLED, "stopped on request");
		if (poll(&wait, 1, PIPE_WAIT_MS) == 0)
			continue;
		ssize_t n = read(fd, dst, len);
		if (n >= 0) {
			*ret_got = (size_t)n;
			return 0;
		}
		if (errno != EINTR && errno != EAGAIN)
			return error_set_errno(err, errno, "cannot read '%s'", s->path);
	}
}

/* Reads up to `want` bytes at `off` (a pipe: at its position) into the buffer. */
static int fill(struct stream *s, int fd, uint64_t off, uint64_t want, bool pipe, size_t *ret_got, struct error *err)
{
	if (s->buffer == NULL)
		s->buffer = writer_buffer(s->b->writer);
	if (s->buffer == NULL)
		return writer_status(s->b->writer, err);
	size_t room = s->buffer->cap - s->buffer->len;
	size_t n = (size_t)min_u64(min_u64(room, READ_SIZE), want);
	uint8_t *at = s->buffer->data + s->buffer->len;
	int r = pipe ? read_pipe(s, fd, at, n, ret_got, err) : fileio_pread(fd, s->path, at, n, off, ret_got, err);
	if (r < 0)
		return r;
	s->buffer->len += (uint32_t)*ret_got;
	if (s->judge != NULL && complete_wants_more(s->judge))
		complete_feed(s->judge, at, *ret_got);
	return 0;
}

/* Bytes [off, off+len) as data that follows a hole of `hole` bytes. Ends early where the file does: *ret_ended. */
static int read_data(struct stream *s, int fd, uint64_t off, uint64_t len, uint64_t hole, struct chunk_ref **pieces,
	bool *ret_ended, struct error *err)
{
	bool pipe = s->item->stream_fd >= 0;
	int r = 0;

	for (uint64_t done = 0; r == 0 && done < len;) {
		size_t got = 0;
		if (backup_stopped(s->b))
			return error_set(err, ERR_CANCELLED, "stopped");
		r = fill(s, fd, off + done, len - done, pipe, &got, err);
		if (r == 0 && got == 0) {
			*ret_ended = true;
			break;
		}
		if (r == 0)
			r = add_run(s, hole, got, err);
		hole = 0;
		done += got;
		s->size = off + done;
		if (r == 0)
			r = cut_chunks(s, pieces, err);
	}
	return r;
}

/* Island by island; the holes in between are noted, not read. */
static int read_sparse(
	struct stream *s, int fd, uint64_t size, uint64_t *ret_tail, struct chunk_ref **pieces, struct error *err)
{
	uint64_t at = 0;
	bool ended = false;
	int r = 0;

	*ret_tail = 0;
	while (r == 0 && at < size && !ended) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = (off_t)size;
		off_t hole = data < 0 || (uint64_t)data >= size ? (off_t)size : lseek(fd, data, SEEK_HOLE);
		if (data < 0 || hole < 0) {
			data = (off_t)at; /* no maps here */
			hole = (off_t)size;
		}
		uint64_t begin = min_u64((uint64_t)data, size), end = min_u64((uint64_t)hole, size);
		if (s->judge != NULL && begin > at)
			complete_hole(s->judge, begin - at);
		if (begin < end)
			r = read_data(s, fd, begin, end - begin, begin - at, pieces, &ended, err);
		else
			*ret_tail = begin - at;
		at = end;
	}
	if (!ended)
		s->size = size;
	return r;
}

static int finish(struct stream *s, uint64_t tail, struct chunk_ref *pieces, struct error *err)
{
	struct item *item = s->item;
	int r = 0;

	if (s->buffer != NULL && s->buffer->len > 0)
		r = emit(s, s->buffer->len, err);
	if (r == 0) {
		pthread_mutex_lock(&s->b->lock);
		r = item_add_extent(item, tail, EXTENT_HOLE, 0, err);
		pthread_mutex_unlock(&s->b->lock);
	}
	if (r < 0 || item->piece_count == 0) {
		free(pieces);
		return r;
	}
	struct chunk_ref *list = pieces;
	if (item->extent_count > 0)
		r = flush_piece(s->b, item, &list, err);
	wait_settled(s->b, item);
	item->ref_count = 0;
	for (size_t i = 0; r == 0 && i < item->piece_count; i++)
		r = item_add_ref(item, &list[i], &item->pieces[i].ref, err);
	free(list);
	return r;
}

int stream_read(struct backup *b, struct item *item, int fd, const char *path, uint64_t size, bool sparse,
	struct complete *judge, uint64_t *ret_size, struct error *err)
{
	struct stream s = {.b = b, .item = item, .path = path, .judge = judge};
	struct chunk_ref *pieces = NULL;
	uint64_t tail = 0;
	bool ended = false;
	int r = sparse ? read_sparse(&s, fd, size, &tail, &pieces, err)
		       : read_data(&s, fd, 0, size, 0, &pieces, &ended, err);

	if (r == 0) {
		r = finish(&s, tail, pieces, err);
		pieces = NULL; /* finish() took it */
	} else {
		free(pieces);
	}
	if (s.buffer != NULL)
		writer_buffer_drop(b->writer, s.buffer);
	if (r < 0) {
		wait_settled(b, item);
		item->extent_count = item->ref_count = 0;
	}
	free(s.runs);
	*ret_size = s.size;
	return r;
}
