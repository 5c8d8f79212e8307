/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_BACKUP_STREAM_H
#define ARCHIVE_BACKUP_STREAM_H

/*
 * A file on its way into chunks, for backup_stream.c and those who make a
 * file of more than one stretch of bytes (feed_patch.c). Data is chunked as if
 * there were no holes, and `runs` remembers where in the file the bytes of the chunk in the making
 * belong, so a chunk may span a hole and a file of many small islands makes few chunks.
 *
 * A stream belongs to one reader. Errors are of the source or the writer; after one it is only released.
 */

#include "archive/feed_impl.h"

enum { STREAM_READ = 256 << 10, STREAM_FOLD = 4096 }; /* bytes at once; extents before they go to pieces */

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
	uint8_t *rest; /* what a cut left of the buffer, while the next buffer is waited for: at most STREAM_READ */
	/* Asked after each cut, with its place in the file: whether chunking ends there. NULL: never. */
	int (*stop)(void *arg, uint64_t at, bool *ret_stop, struct error *err);
	void *stop_arg;
	bool stopped; /* it did: what had been read behind the cut was dropped, and size is the cut's */
};

int stream_init(struct stream *s, struct backup *b, struct item *item, const char *path, struct error *err);
/* After a failure (r < 0) the item holds nothing any more. */
void stream_release(struct stream *s, int r);
/* Bytes [off, off+len) as data that follows a hole of `hole` bytes. Ends early where the file does: *ret_ended. */
int stream_data(
	struct stream *s, int fd, uint64_t off, uint64_t len, uint64_t hole, bool *ret_ended, struct error *err);
/* What is in the buffer becomes the last chunk for now. */
int stream_flush(struct stream *s, struct error *err);
int stream_hole(struct stream *s, uint64_t len, struct error *err);
/* The last chunk, the hole behind it, and what was folded. */
int stream_finish(struct stream *s, uint64_t tail, struct error *err);

#endif
