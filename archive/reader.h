/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_READER_H
#define ARCHIVE_READER_H

/*
 * Reads chunks and nodes: one sharded cache of decoded chunks and decoded
 * nodes with a hard cap, single flight (a chunk that is being fetched is
 * awaited, not fetched twice), fetching ahead by coalesced ranges, decoding in
 * parallel.
 *
 * What is handed out is pinned and immutable until it is released; pinned
 * memory counts against the cap, and so do buffers in flight: sealed ranges and decode buffers.
 * A locator that went stale (pack gone) is looked up once more by id in the index (segment_sync on a private
 * catalog, made at first need). Bytes are authenticated by the seal; ids are not recomputed
 * here (check does). Threads: all calls by any thread. No lock is held over I/O.
 */

#include "archive/repo.h"
#include "archive/tree.h"

struct reader;

struct reader_options {
	size_t cache_bytes;      /* hard cap; 0: 64 MiB. At least 24 MiB is used. */
	unsigned threads;        /* that fetch and decode ahead; 0: by cores and store->parallel */
	const char *catalog_dir; /* for stale locators; NULL: private */
};

/* Threads begin when there is work. `repo` is borrowed. ERR_NO_MEMORY. */
int reader_open(struct repo *repo, const struct reader_options *options, struct reader **ret_reader, struct error *err);
/* Ends its threads; nothing may be pinned. NULL is a no-op. */
void reader_close(struct reader *r);

/* A decoded chunk, pinned. */
struct chunk {
	const uint8_t *data;
	uint32_t len;
};
/* Blocks until it is there. */
int reader_chunk(struct reader *r, const struct chunk_ref *ref, const struct chunk **ret_chunk, struct error *err);
/* Gives a pin back. */
void reader_release(struct reader *r, const struct chunk *chunk);
/* Pinned only if it is in the cache now. */
const struct chunk *reader_chunk_cached(struct reader *r, const struct id *id);

/*
 * These will be wanted soon, in this order: fetched and decoded in the background, neighbours in a pack by one ranged
 * read. Best effort: what has no room in the cache is dropped. Refs are copied. Returns how many were taken (those in
 * the cache or in flight count).
 */
size_t reader_prefetch(struct reader *r, const struct chunk_ref *refs, size_t count);

/* The same reader as a source of decoded nodes, for tree.h. Borrowed. */
struct node_source *reader_nodes(struct reader *r);
/* Fetches a whole small tree (under 8 MiB of nodes) in one wave after its root: call once a snapshot, before walking
 * it. */
void reader_warm_tree(struct reader *r, const struct tree_root *root);
/* Takes a root node that came inside a snapshot into the cache, so that it costs no fetch. Damage is ignored. */
void reader_seed_root(struct reader *r, const struct tree_root *root, const void *sealed, size_t len,
	const uint8_t key[static FORMAT_KEY_LEN]);

/* The key of a pack: from the cache, else its wrap. */
int reader_pack_key(struct reader *r, enum object_kind kind, const struct id *pack,
	uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err);

struct reader_stats {
	uint64_t cache_bytes, cache_cap, hits, misses, fetched_bytes, decoded_bytes, requests;
};
/* As of now. */
void reader_get_stats(struct reader *r, struct reader_stats *ret);

/* ---- files ---- */

/* An open file of a snapshot: its extents, and how it is being read. One may be used by several threads. */
struct reader_file;
/* Copies what it needs from the entry (which must be a regular file). */
int reader_file_open(struct reader *r, const struct entry *entry, struct reader_file **ret_file, struct error *err);
/* Nobody may be reading it. NULL is a no-op. */
void reader_file_close(struct reader_file *f);
/* In bytes, as the entry says. */
uint64_t reader_file_size(const struct reader_file *f);

/* A stretch of what was read: data NULL is a hole. */
struct reader_span {
	const uint8_t *data;
	size_t len;
	const struct chunk *chunk; /* the pin behind data; of its other bytes some may not be there yet */
};
enum { READER_SPANS_MAX = 512 };
/*
 * Bytes [off, off+len) as pinned spans without copying; fewer only at the end of the file or when spans_max is reached.
 * Recognises sequential reading and fetches a growing window (up to 64 MiB, a quarter of the cache) ahead.
 */
int reader_file_map(struct reader_file *f, uint64_t off, size_t len, struct reader_span *ret_spans, size_t spans_max,
	size_t *ret_count, struct error *err);
/* Gives back what reader_file_map() pinned. */
void reader_spans_release(struct reader *r, struct reader_span *spans, size_t count);
/* Copying form. *ret_len < len only at the end. */
int reader_file_read(struct reader_file *f, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err);
/* As lseek with SEEK_DATA (data true) or SEEK_HOLE. ERR_NOT_FOUND: ENXIO. */
int reader_file_seek(struct reader_file *f, uint64_t off, bool data, uint64_t *ret_off, struct error *err);

#endif
