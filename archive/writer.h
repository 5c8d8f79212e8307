/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_WRITER_H
#define ARCHIVE_WRITER_H

/*
 * Stores chunks for one session: hash, look up, compress, seal, check, pack,
 * put; index segments as packs are acknowledged. backup.h stands on it, and
 * so will spool commits.
 *
 * Chunks are handed in by any thread in buffers of the writer's own (their
 * number bounds memory: writer_buffer() waits for a free one); workers do the
 * rest and call back. Packs are put by a thread of their own. After the first failure every call returns it.
 */

#include "archive/chunkcodec.h"
#include "archive/session.h"
#include "archive/tree.h"

struct writer;

struct writer_options {
	int compression;  /* zstd level; 0: off */
	uint64_t domain;  /* of dedup; 0 */
	unsigned threads; /* 0: cores */
};

int writer_open(
	struct session *session, const struct writer_options *options, struct writer **ret_writer, struct error *err);
/* Waits for workers; drops what is not finished. */
void writer_free(struct writer *w);

/* A buffer of CHUNK capacity for one chunk's plain bytes. */
struct writer_buffer {
	uint8_t *data;
	uint32_t cap, len;
};
/* Blocks until one is free. NULL after a failure. */
struct writer_buffer *writer_buffer(struct writer *w);
void writer_buffer_drop(struct writer *w, struct writer_buffer *b);

/* What became of a chunk. Called by a worker; must be quick and not block. `status` is 0 or the writer's failure. */
typedef void writer_done_fn(void *arg, int status, const struct chunk_ref *ref, bool is_new);
/* Takes the buffer over. Blocks while the queue is full. */
void writer_submit(struct writer *w, struct writer_buffer *b, writer_done_fn *done, void *arg);

/* Tree nodes go to packs of their own. Belongs to the writer; for tree_builder_new(). */
struct node_sink *writer_node_sink(struct writer *w);

/* Waits for all chunks, closes packs, waits until they are acknowledged, puts the last segments. Then a snapshot may
 * name it all. */
int writer_finish(struct writer *w, struct error *err);
/*
 * The run ends without a snapshot: drops the open packs and puts the segment of those that are acknowledged, so that
 * the next run finds their chunks. Best effort; nothing else may be called afterwards but writer_free().
 */
void writer_salvage(struct writer *w);
/* The first failure; 0 while there is none. */
int writer_status(struct writer *w, struct error *err);

struct writer_stats {
	uint64_t chunks, new_chunks, new_bytes, stored_bytes, packs;
	uint64_t known_bytes; /* of chunks that were there already */
};
void writer_get_stats(struct writer *w, struct writer_stats *ret);
/* The sealed root node and its pack key, if the sink stored it in this session and it is under 64 KiB: for the
 * snapshot. */
bool writer_root_node(
	struct writer *w, const struct id *node, struct buf *ret_sealed, uint8_t ret_key[static FORMAT_KEY_LEN]);

#endif
