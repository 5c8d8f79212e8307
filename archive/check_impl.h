/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_CHECK_IMPL_H
#define ARCHIVE_CHECK_IMPL_H

/*
 * The inside of a check, shared by its files alone:
 *   check.c          one run, and its steps in their order
 *   check_tell.c     findings, the first failure of the store, counters
 *   check_names.c    everything the store lists, sorted out
 *   check_objects.c  config, slots, marks, summaries, snapshots
 *   check_loose.c    sessions, prune lists, wraps that open nothing
 *   check_chain.c    the numbers and hashes by which each slot's snapshots hang together
 *   check_toc.c      packs' keys and tables, kept for a while
 *   check_packs.c    each pack's envelope and table; all its bytes where asked for
 *   check_index.c    index segments against the packs' own tables
 *   check_tree.c     every tree from its root to the chunks it names
 *
 * What is listed is listed after the snapshots were loaded, so that all that
 * they name must be in it. Nothing is written anywhere.
 *
 * Threads: each step runs its items on c->threads threads at once. c->lock
 * guards what says so; it is not held over I/O. c->tell_lock makes the
 * caller's function be called by one thread at a time and guards nothing else.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "archive/check.h"
#include "archive/pack.h"
#include "archive/signed.h"
#include "catalog/catalog.h"

enum { CHECK_TOC_SLOTS = 4096, CHECK_TOC_BYTES = 64 << 20, CHECK_TOLD_MAX = 10 };

/* A pack that is listed. */
struct check_pack {
	struct id id;
	uint64_t size;
	atomic_bool bad;        /* its table cannot be read; told */
	atomic_bool indexed;    /* some segment holds it */
	atomic_bool referenced; /* some tree needs it */
};

struct check_wrap {
	struct id id;
	uint32_t generation;
};

struct check_prune {
	uint64_t n;
	bool verdict;
};

/* All names, each kind in order. */
struct check_names {
	struct check_pack *packs;
	size_t pack_count, pack_cap;
	struct check_wrap *wraps; /* by id, then generation */
	size_t wrap_count, wrap_cap;
	struct check_prune *prunes;
	size_t prune_count, prune_cap;
	struct id_list slots, index, snapshots, summaries, marks, sessions;
	bool config;
};

/* A pack's table of contents and key. Immutable; reference counted. */
struct check_toc {
	atomic_uint refs;
	struct id pack;
	enum object_kind kind;
	uint8_t key[FORMAT_KEY_LEN]; /* wiped with it */
	struct pack_row *rows;       /* by offset */
	size_t count;
};

/* What a thread needs to open chunks, lent for a while. */
struct check_kit {
	struct check_kit *next;
	struct chunk_decoder *decoder;
	struct buf sealed, plain, base;
};

/* Nodes that were found whole, by id and place. Open addressing. */
struct check_seen {
	struct check_key {
		uint64_t a, b;
	} * places;
	size_t count, slots;
};

struct check {
	struct repo *repo;
	const struct check_options *options;
	unsigned threads;
	const struct snapset *set;
	struct signers signers;
	struct check_names names;
	struct catalog *catalog; /* of bases; NULL while no pack has a chunk that stands on another */
	atomic_bool has_bases;
	bool index_denied; /* some segment does not count */

	atomic_uint_fast64_t objects, nodes, chunks, bytes_read, errors, warnings;
	atomic_int status;
	pthread_mutex_t tell_lock;
	pthread_mutex_t lock; /* failure, kits, tocs, toc_bytes, toc_hand, seen, lost */
	struct error failure;
	struct check_kit *kits;
	struct check_toc *tocs[CHECK_TOC_SLOTS];
	size_t toc_bytes, toc_hand;
	struct check_seen seen;
	struct id_list lost; /* packs that are needed and not there; told */
	struct id_list dead; /* packs that a verdict names; sorted. Made by check_prunes(), read-only then. */
};

/* ---- check_tell.c ---- */
void check_tell(struct check *c, enum check_severity severity, const char *object, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/*
 * An object could not be read or opened. 0: that speaks of the object, and was told as an error; else the store failed
 * as a whole, and the run ends with that code.
 */
int check_failed(struct check *c, const char *object, int status, const struct error *why);
/* Does this error speak of one object? */
bool check_is_finding(int status);
int check_stop(struct check *c, int status, const struct error *why);
/* ERR_CANCELLED, or why the run ends; 0: go on. */
int check_stopped(struct check *c);
struct check_kit *check_kit_take(struct check *c, struct error *err);
void check_kit_give(struct check *c, struct check_kit *kit);
void check_kits_free(struct check *c);

/* ---- check_names.c ---- */
int check_list(struct check *c, struct error *err);
void check_names_release(struct check_names *n);
/* Tells, once a pack, that it is needed and not there. `by`: the object that names it. */
void check_pack_lost(struct check *c, const struct id *pack, const char *by);
/* NULL: it is not listed. */
struct check_pack *check_pack_find(const struct check *c, const struct id *id);

/* ---- check_objects.c ---- */
int check_config(struct check *c);
int check_slots(struct check *c);
int check_marks(struct check *c, struct error *err);
int check_summaries(struct check *c, struct error *err);
int check_snapshots(struct check *c, struct error *err);

/* ---- check_loose.c ---- */
int check_sessions(struct check *c);
int check_prunes(struct check *c);
int check_wraps(struct check *c);

/* ---- check_chain.c ---- */
int check_chain(struct check *c, struct error *err);

/* ---- check_toc.c ---- */
/* The caller unrefs. ERR_NOT_FOUND: no such pack; ERR_CORRUPT and others: it cannot be read. */
int check_toc_get(struct check *c, const struct id *pack, struct check_toc **ret_toc, struct error *err);
void check_toc_unref(struct check_toc *toc);                                        /* NULL is a no-op */
const struct pack_row *check_toc_row(const struct check_toc *toc, uint64_t offset); /* NULL: none begins there */
void check_tocs_free(struct check *c);
/* Reads a row's sealed bytes into kit->sealed. */
int check_read_row(struct check *c, struct check_kit *kit, const struct check_toc *toc, const struct pack_row *row,
	struct error *err);
/* Opens and unpacks sealed bytes of a row (they are overwritten) into *ret_plain. */
int check_open_row(struct check *c, struct check_kit *kit, const struct check_toc *toc, const struct pack_row *row,
	void *sealed, const struct buf *base, struct buf *ret_plain, struct error *err);
/* Is the id of the row the one of these bytes? ERR_CORRUPT. */
int check_row_id(const struct check *c, const struct check_toc *toc, const struct pack_row *row,
	const struct buf *plain, struct error *err);

/* ---- check_packs.c ---- */
int check_pack_tables(struct check *c);
int check_pack_data(struct check *c);
/* After all else: what is in no index, and what nothing needs. */
int check_pack_uses(struct check *c, struct error *err);

/* ---- check_index.c ---- */
int check_index(struct check *c, struct error *err);
/* Looks at the segments that came since the listing. */
int check_index_again(struct check *c, struct error *err);

/* ---- check_tree.c ---- */
int check_trees(struct check *c);

#endif
