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
 *   feed_judge.c  verdicts on files at the top that are not read as they are told
 *   feed_dump.c   folders written by pg_dump -Fd, gathered as they are told
 *   feed_verdict.c  and judged
 *   feed_member.c  with those of their files that are not told
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
	bool judged;      /* read for a verdict alone */
	bool taken;       /* its content is of an entry of another snapshot */
	struct item *old; /* FEED_PATCH: what it is a change of; only extents, pieces, refs and size */
	struct feed_range *changes;
	size_t change_count;
};

/* Ranks [first, end) of the base that are taken over under the keys they have. */
struct span {
	uint64_t first, end;
};

/* Ranks [first, end) that are taken over under other keys. */
struct move {
	uint64_t first, end;
	struct buf old_prefix, new_prefix;
};

/* A told file: its name, and what it holds if that is a table of contents. */
struct dump_file {
	uint64_t size;
	uint32_t name_at, name_len;
	uint32_t data_at, data_len;
};

/* A folder that is to be judged when all has been told. */
struct dump {
	struct buf prefix;
	struct buf bytes;
	struct dump_file *files; /* in order of name */
	size_t count, cap;
	bool too_large;
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
	struct move *moves;
	size_t move_count;
	bool moves_lost, moves_below; /* some are not in the list: too many, or below the top */
	struct dump *dumps;           /* folders to be judged when all has been told */
	size_t dump_count;
};

/* ---- feed.c ---- */
/* The walker's thread of a told backup: runs what tells, up to queue_end(). Returns NULL. */
void *feed_main(void *backup);
/* The tree stands: figures and checks of the statement. */
int feed_finish(struct backup *b, const struct snapshot *s, struct error *err);
/* Tree and root folder of s are those of what there was before (`last`, else the base). */
bool feed_is_base(const struct backup *b, const struct snapshot *s);
/* A copy of the name that lives as long as the run; NULL without memory. */
const char *feed_owner(struct feed *f, const char *name);

/* ---- feed_entry.c ---- */
/* Closes its reader and frees it. NULL is a no-op. */
void told_free(struct backup *b, struct told *told);
/* The reader is not needed any more. */
void told_close(struct backup *b, struct told *told);
/* Bytes of memory that it counts for in the queue. */
size_t told_weight(const struct told *told);

/* ---- feed_read.c ---- */
/* Reads the told file into chunks of the item. By a reader's thread; errors of its source go to *err. */
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

/* ---- feed_judge.c ---- */
/* That rank of the base is taken over under the key that it has. */
bool feed_span_has(const struct feed *f, uint64_t rank);
/* The base's verdicts on what stays hold. When all has been told. */
int feed_keep_checks(struct feed *f, struct error *err);
/* A file whose content is of another entry: at the top it is judged, or has its verdict from the base. */
int judge_plan_taken(struct backup *b, struct item *item, const struct entry *from, struct error *err);
/* Reads it for that. By a reader. */
int judge_taken(struct backup *b, struct item *item, struct error *err);
/* Reads the told file as far as its judge wants. */
int judge_whole(struct backup *b, struct item *item, struct error *err);
/* The same of any bytes, whose judge remains the caller's. */
int judge_feed(struct backup *b, const struct told *told, const char *name, uint64_t size, struct complete *judge,
	struct error *err);
/* Bytes of an entry of the archive; the caller closes. */
int feed_archived(struct backup *b, const struct entry *entry, struct feed_reader *ret_reader, struct error *err);

/* ---- feed_dump.c ---- */
/* What is told goes by, by the walker, before it is handed on. */
/* The root was told: the dataset itself may be a dump, as the base has it. ERR_NO_MEMORY, or what the reader says. */
int dump_meet_root(struct feed *f, struct error *err);
/* An entry was: notes its name, and what a table of contents holds. ERR_NO_MEMORY, or as its reader. */
int dump_meet_entry(struct feed *f, const struct item *item, const struct feed_content *content, struct error *err);
/* A stretch was, under another prefix: its folder may be a dump there. ERR_NO_MEMORY, or what the reader says. */
int dump_meet_move(struct feed *f, uint64_t first, uint64_t end, const struct feed_rename *rename, struct error *err);
#define DUMP_TOC "toc.dat"
/* A prefix of one component. */
bool dump_at_top(const uint8_t *prefix, size_t len);
/* The name of a list of large objects. */
bool dump_is_list(const uint8_t *name, size_t len);
/* The base's entry of that key; the caller puts *ret_leaf back. ERR_NOT_FOUND. */
int dump_find_in_base(const struct feed *f, const struct buf *key, const struct node **ret_leaf,
	const struct entry **ret_entry, uint64_t *ret_rank, struct error *err);
/* Appends the bytes of a table of contents to the dump's, or says that it is too large. */
int dump_slurp(
	const struct feed_reader *reader, uint64_t size, struct dump *dump, struct dump_file *file, struct error *err);
/* Frees what was gathered. */
void dumps_release(struct feed *f);

/* ---- feed_verdict.c ---- */
/* All has been told. */
int dumps_judge(struct feed *f, struct error *err);
/* A folder of that path was judged, or was no dump any more. */
bool dump_is_judged(const struct feed *f, const char *path);

/* ---- feed_member.c ---- */
/* A dump's file `key`, of that name, stands there through a stretch of the base, where it is `entry`. */
int member_stays(struct feed *f, const struct buf *key, const char *name, size_t len, const struct entry *entry,
	struct error *err);

/* ---- feed_allow.c ---- */
/* May all that this entry refers to be referred to? Never asks inside pieces: false for an entry that has them. */
bool feed_allowed(const struct backup *b, const struct entry *entry);
/* Stores anew what the item refers to and may not. */
int feed_allow(struct backup *b, struct item *item, struct error *err);
/* One chunk likewise. Holds no other buffer of the writer. */
int feed_allow_chunk(struct backup *b, struct chunk_ref *ref, struct error *err);

#endif
