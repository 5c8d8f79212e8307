/* SPDX-License-Identifier: MIT */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

/*
 * What lies where: a cache on this host, never the truth about anything.
 *
 * It answers a writer's question "is this chunk stored already, and where?",
 * remembers which index segments it has taken in, and keeps small sealed
 * objects as they lie in the store so that they need not be fetched again. It can be deleted at
 * any moment and is then filled again from the archive by its user. Nothing
 * in it is secret in the sense of the archive: ids are keyed hashes, keys are
 * wrapped, objects are sealed. A row enters only when what it names is
 * acknowledged by the store.
 *
 * Threads: every call may be made by any thread. Processes: several may use
 * one catalog at once. Failure: catalog_open() succeeds whenever memory is
 * there: if its folder is absent, read-only or full, or the file is damaged
 * beyond opening, it says so in the log once and works on a private temporary
 * catalog (state CATALOG_PRIVATE); a damaged file in a writable folder is
 * moved aside and begun anew (CATALOG_NEW). A later failure (disk full in the
 * middle) is returned by catalog_segment_add() and friends as an error; the
 * caller may go on with catalog_make_private(), which turns this handle to a fresh
 * private catalog. Lookups that fail return an error, never a wrong row.
 *
 * A row of a chunk, pack or object carries a digest; one that was damaged is
 * ERR_CORRUPT, and the file is begun anew at the next opening. A handle must
 * not be carried across fork(): open it afterwards.
 *
 * The SQL is written once, in catalog_sql.c, in what SQLite and PostgreSQL
 * both take; a driver (sql.h) opens, prepares, runs and reads rows.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"

struct catalog;

enum { CATALOG_ID_LEN = 32, CATALOG_WRAP_MAX = 128 };

enum catalog_state {
	CATALOG_KEPT,    /* as a former run left it */
	CATALOG_NEW,     /* empty, in its folder */
	CATALOG_PRIVATE, /* empty, temporary: gone with this process */
};

/* A chunk that an acknowledged segment names. */
struct catalog_chunk {
	uint8_t id[CATALOG_ID_LEN];
	uint8_t pack[CATALOG_ID_LEN];
	uint8_t base[CATALOG_ID_LEN]; /* zeros where depth is 0 */
	uint64_t offset;              /* in the pack */
	uint32_t stored;              /* sealed bytes */
	uint32_t plain;               /* bytes after opening */
	uint8_t depth;
};

/* A pack, and its key wrapped to the repository's public key of a generation. */
struct catalog_pack {
	uint8_t id[CATALOG_ID_LEN];
	uint32_t generation;
	uint8_t wrap[CATALOG_WRAP_MAX];
	size_t wrap_len;
	uint64_t size;
};

/* An index segment's content. `domain` is the dedup domain (0: the shared one; else a number for a class or put-only
 * slot). */
struct catalog_segment {
	uint8_t id[CATALOG_ID_LEN];
	uint64_t domain;
	const struct catalog_pack *packs;
	size_t pack_count;
	const struct catalog_chunk *chunks;
	size_t chunk_count;
};

struct catalog_options {
	const char *dir;           /* its folder, made with its parents (0700) where missing; NULL: private at once */
	const uint8_t *repository; /* 16 bytes: another repository's catalog is never used */
	struct log *log;
};

int catalog_open(const struct catalog_options *options, struct catalog **ret_catalog, struct error *err);
void catalog_close(struct catalog *catalog); /* NULL is a no-op */
enum catalog_state catalog_state(const struct catalog *catalog);
/* Drops everything it holds: its user saw that it is stale. */
int catalog_reset(struct catalog *catalog, struct error *err);
/* Goes on with an empty private catalog, after a failure. Lookups in other threads see one or the other. */
int catalog_make_private(struct catalog *catalog, struct error *err);

/*
 * Takes a segment in, in one transaction; a segment taken in before is success. Each chunk's pack must be listed in the
 * segment or be known from before, else ERR_USAGE; of one pack's keys the newest generation's stays.
 */
int catalog_segment_add(struct catalog *catalog, const struct catalog_segment *segment, struct error *err);
/* Notes that a segment was seen without rows of its own (its inputs were all taken in already). */
int catalog_segment_note(struct catalog *catalog, const uint8_t id[static CATALOG_ID_LEN], struct error *err);
/* Forgets that it was seen; its rows stay. */
int catalog_segment_forget(struct catalog *catalog, const uint8_t id[static CATALOG_ID_LEN], struct error *err);
/* Calls fn for each segment seen, in the order of ids; non-zero stops and is returned. No lock is held meanwhile. */
int catalog_segments(struct catalog *catalog, int (*fn)(void *arg, const uint8_t *id), void *arg, struct error *err);
/* Any copy of the chunk in that domain, smallest depth first. ERR_NOT_FOUND: not known. */
int catalog_chunk_find(struct catalog *catalog, uint64_t domain, const uint8_t id[static CATALOG_ID_LEN],
	struct catalog_chunk *ret_chunk, struct error *err);
/* ERR_NOT_FOUND: not known. */
int catalog_pack_find(struct catalog *catalog, const uint8_t id[static CATALOG_ID_LEN], struct catalog_pack *ret_pack,
	struct error *err);
/* Drops packs that a verdict names, and every chunk row that lies in them. */
int catalog_packs_drop(struct catalog *catalog, const uint8_t (*ids)[CATALOG_ID_LEN], size_t count, struct error *err);
/* Numbers for status: chunks, packs, bytes in packs. */
struct catalog_counts {
	uint64_t chunks, packs, pack_bytes, segments;
};
int catalog_counts(struct catalog *catalog, struct catalog_counts *ret_counts, struct error *err);

/* Small objects (at most 1 MiB) by name, as the store holds them. Losing one is no loss: put may quietly do nothing. */
int catalog_object_put(struct catalog *catalog, const char *name, const void *data, size_t len, struct error *err);
/* Replaces what `ret` holds. ERR_NOT_FOUND: there is none. */
int catalog_object_get(struct catalog *catalog, const char *name, struct buf *ret, struct error *err);
/* Drops the objects under `prefix` that `keep` says false for. */
int catalog_objects_sweep(struct catalog *catalog, const char *prefix, bool (*keep)(void *arg, const char *name),
	void *arg, struct error *err);

#endif
