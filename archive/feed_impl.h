/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_FEED_IMPL_H
#define ARCHIVE_FEED_IMPL_H

/*
 * The inside of a feed, shared by its files and by the stages of
 * backup_impl.h, whose walker it replaces:
 *   feed.c        a run, the root folder, what the statement says
 *   feed_entry.c  told entries into items
 *   feed_read.c   the readers: told bytes of small and large files
 *   feed_patch.c  files changed in part
 *   feed_range.c  stretches of the base's tree, into the new one
 *   feed_allow.c  what lies in condemned packs is stored anew
 *
 * A stretch is one item of the queue: the caller's thread carries it out when
 * its turn comes, so it is in order with all else, whatever its length.
 *
 * Threads: struct feed belongs to the walker; `whole` is set before the first item. A struct told belongs to whoever
 * has its item.
 */

#include "archive/backup_impl.h"
#include "archive/feed.h"

/* What a told entry has beside what a walked one has. */
struct told {
	bool is_range;
	/* a stretch */
	uint64_t first, end;
	bool renamed;
	size_t old_prefix_len;
	struct buf new_prefix;
	/* an entry */
	bool open; /* reader is to be closed */
	struct feed_reader reader;
	bool taken;       /* its content is of an entry of another snapshot */
	struct item *old; /* FEED_PATCH: what it is a change of; only extents, pieces, refs and size */
	struct feed_range *changes;
	size_t change_count;
};

/* Ranks [first, end) of the base that are taken over under the keys they have. */
struct span {
	uint64_t first, end;
};

struct feed {
	const struct feed_options *options;
	struct backup *b; /* of the attempt that runs */
	bool whole;       /* the base's nodes may be named unread */
	bool rooted;
	char **owners; /* names of users and groups, each once; they live as long as the run */
	size_t owner_count, owner_cap;
	struct span *spans; /* in order, apart */
	size_t span_count, span_cap;
};

/* ---- feed.c ---- */
void *feed_main(void *backup);
/* The tree stands: figures and checks of the statement. */
int feed_finish(struct backup *b, const struct snapshot *s, struct error *err);
/* Tree and root folder of s are those of what there was before (`last`, else the base). */
bool feed_is_base(const struct backup *b, const struct snapshot *s);
/* A copy of the name that lives as long as the run; NULL without memory. */
const char *feed_owner(struct feed *f, const char *name);

/* ---- feed_entry.c ---- */
void told_free(struct backup *b, struct told *told); /* NULL is a no-op */
/* The reader is not needed any more. */
void told_close(struct backup *b, struct told *told);
size_t told_weight(const struct told *told);

/* ---- feed_read.c ---- */
int told_read(struct backup *b, struct item *item, struct error *err);
/* Where data lies: as sparse_next(). */
int told_next(
	const struct told *told, uint64_t at, uint64_t size, uint64_t *ret_begin, uint64_t *ret_end, struct error *err);

/* ---- feed_patch.c ---- */
/* Keeps what the changed file was, and where it changed. */
int patch_plan(struct item *item, const struct feed_content *content, struct error *err);
/* Chunks it anew around the changes. */
int patch_read(struct backup *b, struct item *item, struct error *err);

/* ---- feed_range.c ---- */
/* Puts the stretch into the tree. By the caller's thread. */
int feed_build_range(struct backup *b, const struct told *told, struct error *err);
/* How many entries of the stretches that stay are neither files nor folders. */
int feed_count_others(const struct feed *f, uint64_t *ret_count, struct error *err);

/* ---- feed_allow.c ---- */
/* May all that this entry refers to be referred to? Never asks inside pieces: false for an entry that has them. */
bool feed_allowed(const struct backup *b, const struct entry *entry);
/* Stores anew what the item refers to and may not. */
int feed_allow(struct backup *b, struct item *item, struct error *err);
/* One chunk likewise. Holds no other buffer of the writer. */
int feed_allow_chunk(struct backup *b, struct chunk_ref *ref, struct error *err);

#endif
