/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ARCHIVE_MADE_H
#define TESTS_ARCHIVE_MADE_H

/*
 * Repositories, snapshots and segments as the tests of snapshots, sessions and
 * the index need them: made without the writer, so that a test says itself
 * what stands in them. Everything asserts; single-threaded.
 */

#include "archive/segment.h"
#include "archive/snapset.h"
#include "backends/fault.h"

/* A repository in a fresh memory store under a fault layer, opened with all rights. Close with repo_close(). */
struct repo *made_repo(void);
/* Opens what is in `store` (taken over) with the key that made_repo() used. */
struct repo *made_open(struct store *store);
/* The repository as another host sees it: its own handle on the same memory. Close it first. */
struct repo *made_other_host(struct repo *repo);
/* As it stood after the first n puts and deletes. */
struct repo *made_cut(struct repo *repo, size_t n);

/* What a snapshot says; zero is a good default. */
struct made_snapshot {
	const char *dataset; /* NULL: "db" */
	const char *name;    /* NULL: the minute of `time` */
	int64_t time;        /* 0: 2024-01-15T14:30:41 */
	uint32_t number;     /* 0: drawn */
	enum snapshot_state state;
	uint64_t seq;       /* 0: 1 */
	size_t root_sealed; /* bytes of a root node that are carried along */
};
/* A snapshot in memory with every field filled. */
struct snapshot *made_statement(const struct made_snapshot *m);
/* Puts it, without a session. */
struct id made_snapshot(struct repo *repo, const struct made_snapshot *m);
/* Puts a void. */
struct id made_void(struct repo *repo);
/* A mark about a snapshot. */
struct id made_mark(struct repo *repo, int kind, const struct id *subject);
/* The set as it stands, without a catalog. */
const struct snapset *made_set(struct repo *repo);
/* A moment from "2024-01-15T14:30:41". */
int64_t made_time(const char *text);

/* Puts a segment of chunks first .. first+count-1, each known by its number, in packs of eight. */
struct id made_segment(struct repo *repo, uint32_t first, uint32_t count);
/* The id that made_segment() gives a chunk. */
void made_chunk_id(uint32_t number, uint8_t dst[static CATALOG_ID_LEN]);
void made_pack_id(uint32_t number, uint8_t dst[static CATALOG_ID_LEN]);
/* A catalog of this repository in `dir` (NULL: private). */
struct catalog *made_catalog(const struct repo *repo, const char *dir);
/* Does the catalog know exactly the chunks first .. first+count-1 among 0 .. limit-1? */
void made_expect_chunks(struct catalog *catalog, uint32_t first, uint32_t count, uint32_t limit);
/* How many objects stand under a prefix. */
size_t made_count(struct repo *repo, const char *prefix);
/* A flipped bit in an object that stands, as a bad disk does. */
void made_damage(struct repo *repo, const char *name);
/* The same, that many bytes behind the object's header. */
void made_damage_at(struct repo *repo, const char *name, size_t at);

#endif
