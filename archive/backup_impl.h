/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_BACKUP_IMPL_H
#define ARCHIVE_BACKUP_IMPL_H

/*
 * The inside of a backup run, shared by its files alone:
 *   backup.c         one run: session, parent, pipeline, snapshot, commit
 *   backup_walk.c    the walker: lists sources in key order, compares with the parent's tree
 *   backup_roots.c   what the sources put at the top
 *   backup_queue.c   the queue between the stages
 *   backup_read.c    the readers: open, read, chunk
 *   backup_stream.c  a large file or a pipe on its way into chunks
 *   backup_build.c   bundles of small files, and finished entries into the tree
 *   backup_item.c    one entry on its way, and the links of a file
 *   backup_judge.c   completeness checks
 *   backup_command.c the command whose output is saved
 *
 * Stages and threads: one walker appends items in key order; readers take
 * those that need reading; the caller's thread lays small files side by side
 * (in order), and hands finished items to the tree (in order). The walker
 * admits a small file only when its bytes fit the budget; since it admits in order, the
 * oldest item always has what it needs and the queue moves.
 *
 * Lock: b->lock guards the queue, items' `read`, `chunks`, `extents`, `refs`
 * while chunks are outstanding, bundles' `settled`, and the lists of checks
 * and notes. It is never held over I/O.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "archive/backup.h"
#include "archive/chunker.h"
#include "archive/exclude.h"
#include "archive/reader.h"
#include "archive/segment.h"
#include "archive/writer.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/host.h"
#include "base/pool.h"

enum {
	BACKUP_ITEMS_MAX = 8192,       /* entries in the queue */
	BACKUP_SMALL_BYTES = 12 << 20, /* bytes of small files read and not laid down yet */
	BACKUP_FOLDERS_MAX = 512,      /* source folders held open by items */
	BACKUP_READERS_MAX = 4,
	BUNDLE_MIN = 512 << 10,    /* a bundle may end from here on */
	BUNDLE_SPREAD = 512 << 10, /* and ends after about so much more */
	BUNDLE_MAX = 2 << 20,
	CHECK_FOLDER_BYTES = 32 << 20, /* largest table of contents of a dump that is a folder */
};

/* A source folder that items still need open. */
struct folder {
	atomic_uint refs;
	int fd;
	char *path; /* for messages and opening; bytes */
};

/* A chunk of small files side by side. Freed with the last item that lies in it. */
struct bundle {
	unsigned items;
	bool settled;
	struct chunk_ref ref;
};

/* A stretch of a file that holds data. */
struct segment_run {
	uint64_t off, len;
};

/* All links of one source file. */
struct link {
	struct link *next;
	dev_t dev;
	ino_t ino;
	unsigned refs;     /* items and the map */
	nlink_t remaining; /* links not met yet */
	uint64_t group;
	struct item *content; /* a copy of the first link's, once it is built; NULL: could not be read */
};

enum work { WORK_NONE, WORK_SMALL, WORK_LARGE };

struct item {
	struct item *next;
	struct entry entry; /* pointers into the fields below */
	struct buf key, target, xattrs;
	struct folder *folder; /* of the source; NULL for what needs no reading */
	char *name;            /* in the folder */
	int stream_fd;         /* a pipe to read instead; -1 */
	enum work work;
	bool top;  /* at the top of the dataset: its completeness is judged */
	bool read; /* WORK_NONE: true from the start */
	bool skip; /* could not be read: told, left out */
	bool is_new, is_changed;
	unsigned chunks; /* handed to the writer, not answered yet */
	size_t charged;  /* bytes of the small files' budget */
	uint8_t *data;   /* WORK_SMALL */
	size_t data_len;
	struct segment_run *runs; /* where data lies in a sparse small file; NULL: everywhere */
	size_t run_count;
	struct extent *extents;
	size_t extent_count, extent_cap;
	struct entry_piece *pieces;
	size_t piece_count;
	struct chunk_ref *refs;
	size_t ref_count, ref_cap;
	struct bundle *bundle;
	struct seal_hasher *hasher; /* of a large file whose first extents are in pieces already */
	struct item *prior; /* what the parent snapshot held of a changed small file; only its content is used */
	struct link *link;
	bool link_first;
};

struct backup {
	struct repo *repo;
	struct catalog *catalog;
	const struct backup_options *options;
	struct backup_result *result;
	struct session *session;
	const struct snapshot *parent; /* borrowed from the session's set; NULL */
	struct reader *reader;
	struct writer *writer; /* NULL in a dry run */
	struct tree_builder *builder;
	struct chunker *chunker;
	struct owners *owners;
	struct exclude *exclude;
	int64_t started;
	struct entry top; /* of the root directory, in the making */
	struct buf top_xattrs;
	uint64_t link_max;

	pthread_mutex_t lock;
	pthread_cond_t space, work, main, settled;
	struct item *head, *tail, *to_bundle, *to_read;
	size_t item_count, charged;
	atomic_uint folders;
	bool walk_done, walker_waits;
	int status;
	struct error failure;
	struct link **links;
	size_t link_slots;

	struct bundle *bundle; /* being filled, by the caller's thread */
	struct writer_buffer *bundle_buffer;

	struct snapshot_check *checks;
	unsigned check_count;
	char **notes;
	unsigned note_count;
	bool bad;     /* a judged check failed, or the command did */
	bool missing; /* something was left out or changed while it was read */
};

/* ---- backup_queue.c ---- */
int queue_init(struct backup *b, struct error *err);
void queue_release(struct backup *b);
/* The run fails: everyone stops. Returns the code. */
int backup_fail(struct backup *b, int status, const struct error *why);
bool backup_stopped(struct backup *b);
/* Appends, waiting for room. ERR_CANCELLED when the run has stopped; the item is freed then. */
int queue_put(struct backup *b, struct item *item);
void queue_end(struct backup *b);
/* The next item to read; NULL when there will be none. */
struct item *queue_take_read(struct backup *b);
/* The reader is through with it (chunks may be outstanding). */
void queue_read_done(struct backup *b, struct item *item);

/* ---- backup_item.c ---- */
struct item *item_new(void);
void item_free(struct backup *b, struct item *item);
/* Attributes from a stat; names of owners. */
void item_set_stat(struct backup *b, struct item *item, const struct stat *st);
/* Takes content (extents or pieces, refs, xattrs, hash) over from an entry of an earlier tree, by copy. */
int item_copy_content(struct item *item, const struct entry *from, struct error *err);
/* The same from another item. */
int item_share_content(struct item *item, const struct item *from, struct error *err);
/* Both under b->lock where chunks may be outstanding. */
int item_add_extent(struct item *item, uint64_t length, uint32_t ref, uint32_t offset, struct error *err);
int item_add_ref(struct item *item, const struct chunk_ref *ref, uint32_t *ret_index, struct error *err);
/* Points entry's fields at the item's own arrays: before it goes to the tree. */
void item_seal(struct item *item);
/* No ref lies in a pack that a prune has condemned. */
bool item_refs_allowed(const struct backup *b, const struct item *item);
/* Reads all xattrs of `path` (follow: of what fd is; fd -1: of the name in the folder, not following). */
int item_read_xattrs(struct item *item, int fd, const char *proc_path, struct error *err);
struct folder *folder_new(struct backup *b, int fd, const char *path);
struct folder *folder_ref(struct folder *f);
void folder_unref(struct backup *b, struct folder *f); /* NULL is a no-op */
int links_init(struct backup *b, struct error *err);
void links_release(struct backup *b);
/* The walker met a file with several links. Fills item->link. */
int links_meet(struct backup *b, struct item *item, const struct stat *st, uint64_t prior_group, struct error *err);
void link_unref(struct backup *b, struct link *link);

/* ---- backup_walk.c, backup_roots.c (walk.h) ---- */
void *walk_main(void *backup);
/* Tells of something that is left out or not as it should be: a note, the caller's warning, state incomplete. */
void walk_warn(struct backup *b, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- backup_read.c, backup_stream.c ---- */
void *read_main(void *backup);
struct complete;
/* Reads fd to its end (or `size` bytes, UINT64_MAX: to the end) into chunks of the item. */
int stream_read(struct backup *b, struct item *item, int fd, const char *path, uint64_t size, bool sparse,
	struct complete *judge, uint64_t *ret_size, struct error *err);

/* Adds what stands in extents to the running hash of a large file: of each extent length, offset and chunk. */
int stream_fold_content(struct backup *b, struct item *item, struct error *err);

/* ---- backup_build.c ---- */
/* Runs until the queue is over or the run has failed. */
int build_run(struct backup *b, struct error *err);

/* ---- backup_judge.c ---- */
int judge_begin(struct backup *b, const struct item *item, struct complete **ret_judge, struct error *err);
/* Takes the verdict and frees the judge. */
void judge_end(struct backup *b, const struct item *item, struct complete *judge);
/* A verdict carried over from the parent for a file that did not change. */
void judge_unchanged(struct backup *b, const struct item *item);
struct dirlist;
/* Judges a folder written by pg_dump -Fd; rewinds the list. */
void judge_folder(struct backup *b, struct folder *folder, const struct buf *prefix, struct dirlist *list);
void backup_note(struct backup *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- backup_command.c ---- */
struct command;
int command_start(char *const *argv, struct command **ret_command, int *ret_fd, struct error *err);
/* Waits; the wait status. Kills it first when `kill_it`. */
int command_end(struct command *c, bool kill_it);

#endif
