/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_WRITER_IMPL_H
#define ARCHIVE_WRITER_IMPL_H

/*
 * The inside of the writer, shared by its files alone:
 *   writer.c         opening, buffers, submitting, finishing
 *   writer_job.c     what a worker does with one chunk
 *   writer_known.c   chunks of this session that no acknowledged segment holds yet
 *   writer_pack.c    open packs, putting them, index segments
 *   writer_nodes.c   the sink of tree nodes
 *
 * Locks, none held over I/O and none taken inside another:
 *   w->lock     buffers, failure, counters, workers' kits
 *   w->packs.lock  which pack is open, fills outstanding, the coming segment
 *   w->known.lock  the table of known chunks
 */

#include <pthread.h>

#include "archive/pack.h"
#include "archive/segment.h"
#include "archive/writer.h"
#include "base/pool.h"

/* A pack with the count of places that are reserved and not filled yet. */
struct open_pack {
	struct pack_writer *pack;
	unsigned filling;
	bool closed; /* full: goes to the store when filling is 0 */
};

/* Who waits for a chunk that another worker is storing right now. */
struct known_waiter {
	struct known_waiter *next;
	writer_done_fn *done;
	void *arg;
};

/* A chunk of this session. `placed`: its ref is right. Dropped when its segment is in the catalog. */
struct known {
	struct known *next;
	struct id id;
	bool placed;
	struct locator loc;
	struct known_waiter *waiters;
};

struct known_table {
	pthread_mutex_t lock;
	struct known **slots;
	size_t slot_count, count; /* slot_count a power of two */
};

/* What a worker needs for itself, lent for one job at a time. */
struct worker_kit {
	struct worker_kit *next;
	struct chunk_encoder *encoder;
	struct chunk_encoder *node_encoder; /* nodes are packed even where the dataset's data is not */
	struct chunk_decoder *decoder;
	struct buf opened, scratch, sealed;
};

struct pack_set {
	pthread_mutex_t lock;
	struct open_pack *data, *tree; /* NULL: none open */
	struct segment coming;         /* rows of packs that are acknowledged, for the next segment */
	size_t pack_cap, chunk_cap;
	uint64_t coming_bytes;
	unsigned segments; /* begun to be put */
};

struct writer {
	struct session *session;
	struct repo *repo;
	struct catalog *catalog;
	struct writer_options options;
	struct pool *workers;
	struct pool *putters; /* put packs and segments */
	struct pool_group jobs, puts;
	pthread_mutex_t lock;
	pthread_cond_t buffer_free;
	struct writer_buffer *buffers;
	struct writer_buffer **free_buffers;
	size_t buffer_count, free_count;
	struct worker_kit *kits;
	int status;
	struct error failure;
	struct writer_stats stats;
	struct known_table known;
	struct pack_set packs;
	struct node_sink sink;
	struct id root_id; /* the node stored last, for writer_root_node(); guarded by lock, as the next two */
	struct buf root_sealed;
	uint8_t *root_key; /* in guarded memory */
};

/* Notes the first failure; wakes who waits. Returns the code. */
int writer_fail(struct writer *w, int status, const struct error *why);
struct worker_kit *writer_kit_take(struct writer *w, struct error *err);
void writer_kit_give(struct writer *w, struct worker_kit *kit);
struct worker_kit *writer_kit_new(int level, struct error *err);
void writer_kit_free(struct worker_kit *kit);

int known_init(struct known_table *t, struct error *err);
void known_release(struct known_table *t);
enum known_answer { KNOWN_NEW, KNOWN_PLACED, KNOWN_WAITING };
/*
 * KNOWN_NEW: the caller stores it and calls known_place() or known_drop(); KNOWN_PLACED: *ret_loc is right;
 * KNOWN_WAITING: done will be called by who stores it. Without `done` a chunk in flight counts as new (nodes).
 */
int known_ask(struct known_table *t, const struct id *id, writer_done_fn *done, void *arg, struct locator *ret_loc,
	enum known_answer *ret_answer, struct error *err);
/* It is stored (or was found): tells who waits. keep: later askers are answered from here. */
void known_settle(struct known_table *t, const struct id *id, int status, const struct locator *loc, bool keep);
/* The catalog has it now. */
void known_forget(struct known_table *t, const struct id *id);

/* Looks in the catalog. ERR_NOT_FOUND: it must be stored. */
int writer_lookup(struct writer *w, const struct id *id, struct chunk_ref *ret_ref, struct error *err);
/* Encodes, reserves, fills. */
int writer_store_chunk(struct writer *w, struct worker_kit *kit, enum object_kind kind, const struct id *id,
	const void *plain, size_t len, struct locator *ret_loc, struct error *err);

int packs_init(struct writer *w, struct error *err);
void packs_release(struct writer *w);
/* Reserves in the open pack of that kind, opening or closing packs as needed. */
int packs_reserve(struct writer *w, enum object_kind kind, const struct id *id, uint32_t sealed_len, uint32_t plain_len,
	struct open_pack **ret_pack, struct locator *ret_loc, struct error *err);
/* One place of the pack is filled. */
void packs_filled(struct writer *w, struct open_pack *p);
/* Closes what is open; the caller then waits for w->puts. */
void packs_close(struct writer *w);
/* Drops the open packs; nobody may be filling them. */
void packs_drop(struct writer *w);
/* Puts the coming segment, if it has rows. */
int packs_put_segment(struct writer *w, struct error *err);

int nodes_init(struct writer *w, struct error *err);
void nodes_release(struct writer *w);

#endif
