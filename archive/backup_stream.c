/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_stream.h"
#include "base/fileio.h"

enum { PIPE_WAIT_MS = 200 };

/* A chunk at the writer's: whose it is, and which of its refs. */
struct answer {
	struct backup *b;
	struct item *item;
	uint32_t ref;
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

/* Notes the chunk that the first `cut` bytes are to become. */
static int plan_chunk(struct stream *s, size_t cut, struct answer *a, struct error *err)
{
	static const struct chunk_ref unknown = {0};
	struct item *item = s->item;

	*a = (struct answer){.b = s->b, .item = item};
	pthread_mutex_lock(&s->b->lock);
	int r = item_add_ref(item, &unknown, &a->ref, err);
	if (r == 0)
		r = add_extents(s, a->ref, cut, err);
	if (r == 0)
		item->chunks++;
	pthread_mutex_unlock(&s->b->lock);
	return r;
}

/*
 * Hands the first `cut` bytes of the buffer to the writer; the rest begins the next chunk. No buffer is held while the
 * next one is waited for: as many threads as there are buffers could each hold one.
 */
static int emit(struct stream *s, size_t cut, struct error *err)
{
	struct writer_buffer *full = s->buffer;
	size_t rest = full->len - cut;
	struct answer *a = malloc(sizeof(*a));
	int r = a == NULL            ? error_no_memory(err, "a chunk")
		: rest > STREAM_READ ? error_set(err, ERR_BUG, "a cut far behind what was read last")
				     : plan_chunk(s, cut, a, err);

	if (r < 0) {
		free(a);
		return r;
	}
	if (rest > 0)
		memcpy(s->rest, full->data + cut, rest);
	full->len = (uint32_t)cut;
	s->buffer = NULL;
	s->state = (struct chunker_state){0};
	writer_submit(s->b->writer, full, answered, a);
	if (rest == 0)
		return 0;
	s->buffer = writer_buffer(s->b->writer);
	if (s->buffer == NULL)
		return writer_status(s->b->writer, err);
	memcpy(s->buffer->data, s->rest, rest);
	s->buffer->len = (uint32_t)rest;
	return 0;
}

/* Where in the file the buffer's first byte, or the hole before it, lies. */
static uint64_t cut_place(const struct stream *s)
{
	uint64_t behind = 0;

	for (size_t i = 0; i < s->run_count; i++)
		behind += s->runs[i].off + s->runs[i].len;
	return s->size - behind;
}

/* Asks whether chunking ends at the cut just made; forgets what was read behind it. */
static int ask_stop(struct stream *s, struct error *err)
{
	uint64_t at = cut_place(s);
	int r = s->stop(s->stop_arg, at, &s->stopped, err);

	if (r < 0 || !s->stopped)
		return r;
	if (s->buffer != NULL)
		s->buffer->len = 0;
	s->run_count = 0;
	s->size = at;
	return 0;
}

/* Cuts off every whole chunk that the buffer holds. */
static int cut_chunks(struct stream *s, struct error *err)
{
	int r = 0;

	while (r == 0 && !s->stopped && s->buffer != NULL && s->buffer->len > 0) {
		size_t cut = chunker_scan(s->b->chunker, &s->state, s->buffer->data, s->buffer->len);
		if (cut == 0)
			break;
		r = emit(s, cut, err);
		if (r == 0 && s->item->extent_count >= STREAM_FOLD)
			r = stream_fold(s->b, s->item, err);
		if (r == 0 && s->stop != NULL)
			r = ask_stop(s, err);
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
	size_t n = (size_t)min_u64(min_u64(room, STREAM_READ), want);
	uint8_t *at = s->buffer->data + s->buffer->len;
	const struct feed_reader *told = s->item->told == NULL ? NULL : &s->item->told->reader;
	int r = told != NULL ? told->read(told->arg, off, at, n, ret_got, err)
		: pipe       ? read_pipe(s, fd, at, n, ret_got, err)
			     : fileio_pread(fd, s->path, at, n, off, ret_got, err);
	if (r < 0)
		return r;
	s->buffer->len += (uint32_t)*ret_got;
	if (s->judge != NULL && complete_wants_more(s->judge))
		complete_feed(s->judge, at, *ret_got);
	return 0;
}

int stream_data(struct stream *s, int fd, uint64_t off, uint64_t len, uint64_t hole, bool *ret_ended, struct error *err)
{
	bool pipe = s->item->stream_fd >= 0;
	int r = 0;

	for (uint64_t done = 0; r == 0 && !s->stopped && done < len;) {
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
			r = cut_chunks(s, err);
	}
	return r;
}

/* Island by island; the holes in between are noted, not read. *ret_tail: the hole at the end. */
static int read_sparse(struct stream *s, int fd, uint64_t size, uint64_t *ret_tail, struct error *err)
{
	uint64_t begin, end;
	bool ended = false;
	int r = 0;

	*ret_tail = 0;
	for (uint64_t at = 0; r == 0 && at < size && !ended; at = end) {
		r = sparse_next_of(s->item, fd, at, size, &begin, &end, err);
		if (r < 0)
			break;
		if (s->judge != NULL && begin > at)
			complete_hole(s->judge, begin - at);
		if (begin < end)
			r = stream_data(s, fd, begin, end - begin, begin - at, &ended, err);
		else
			*ret_tail = size - at;
	}
	if (!ended)
		s->size = size;
	return r;
}

int stream_flush(struct stream *s, struct error *err)
{
	return s->buffer != NULL && s->buffer->len > 0 ? emit(s, s->buffer->len, err) : 0;
}

int stream_hole(struct stream *s, uint64_t len, struct error *err)
{
	pthread_mutex_lock(&s->b->lock);
	int r = item_add_extent(s->item, len, EXTENT_HOLE, 0, err);
	pthread_mutex_unlock(&s->b->lock);
	return r;
}

int stream_finish(struct stream *s, uint64_t tail, struct error *err)
{
	struct item *item = s->item;
	int r = stream_flush(s, err);

	if (r == 0)
		r = stream_hole(s, tail, err);
	if (r < 0 || item->folded == NULL)
		return r;
	r = stream_fold(s->b, item, err);
	return r == 0 ? stream_unfold(item, err) : r;
}

int stream_init(struct stream *s, struct backup *b, struct item *item, const char *path, struct error *err)
{
	*s = (struct stream){.b = b, .item = item, .path = path, .rest = malloc(STREAM_READ)};
	return s->rest == NULL ? error_no_memory(err, "reading a file") : 0;
}

void stream_release(struct stream *s, int r)
{
	writer_buffer_drop(s->b->writer, s->buffer);
	if (r < 0) {
		stream_settle(s->b, s->item);
		item_drop_content(s->item);
	}
	free(s->runs);
	free(s->rest);
}

int stream_read(struct backup *b, struct item *item, int fd, const char *path, uint64_t size, bool sparse,
	struct complete *judge, uint64_t *ret_size, struct error *err)
{
	struct stream s;
	uint64_t tail = 0;
	bool ended = false;
	int r = stream_init(&s, b, item, path, err);

	s.judge = judge;
	if (r == 0)
		r = sparse ? read_sparse(&s, fd, size, &tail, err) : stream_data(&s, fd, 0, size, 0, &ended, err);
	if (r == 0)
		r = stream_finish(&s, tail, err);
	stream_release(&s, r);
	*ret_size = s.size;
	return r;
}
