/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_BACKUP_IMPL_H
#define ARCHIVE_BACKUP_IMPL_H

/*
 * The inside of a backup run, shared by its files alone:
 *   backup.c          one run: session, parent, pipeline, commit
 *   backup_snapshot.c the statement of what was saved
 *   backup_source.c   the walker: sources, or a pipe
 *   backup_roots.c    the walker: what several sources put at the top
 *   backup_walk.c     the walker: folders in key order
 *   backup_plan.c     the walker: one entry, compared with the parent's tree
 *   backup_queue.c    the queue between the stages
 *   backup_read.c     the readers: small files, and how a source file is opened
 *   backup_stream.c   a large file or a pipe on its way into chunks
 *   backup_fold.c     its list of extents, its hash
 *   backup_sparse.c   where a file holds data
 *   backup_bundle.c   small files laid side by side
 *   backup_build.c    finished entries into the tree
 *   backup_item.c     one entry on its way
 *   backup_xattrs.c   extended attributes of the source
 *   backup_links.c    the links of a file
 *   backup_judge.c    completeness checks and notes
 *   inspect.c         the dataset's own check, by a command
 *   backup_dump.c     dumps that are folders
 *   backup_member.c   and what their files hold
 *   backup_command.c  the command whose output is saved
 * feed.h's entries go the same way; feed_impl.h says what their walker adds.
 *
 * Stages and threads: one walker appends items in key order, in batches;
 * readers take those that need reading; the caller's thread lays small files
 * side by side (in order), and hands finished items to the tree (in order).
 *
 * Memory is bounded by what is in the queue: entries, their bytes, and the
 * bytes of small files that were admitted. It moves on always: an empty queue
 * takes whatever comes; the item that the caller's thread waits for may be
 * read whatever the others weigh; a walker that waits has the open bundle closed.
 * Nobody waits for a writer's buffer while holding another, except the
 * caller's thread, which holds the open bundle's, and there are more than one.
 *
 * Lock: b->lock guards the queue, items' `read`, `chunks`, `extents`, `refs`
 * while chunks are outstanding, bundles' `settled`, and the lists of checks,
 * dumps and notes. It is never held over I/O. `batch` and the table of links are
 * the walker's, `kept` and the open bundle the caller's thread's.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "archive/backup.h"
#include "archive/chunker.h"
#include "archive/complete.h"
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
	BACKUP_QUEUE_BYTES = 16 << 20, /* what they weigh, without the bytes of small files */
	BACKUP_SMALL_BYTES = 12 << 20, /* bytes of small files read and not laid down yet */
	BACKUP_FOLDERS_MAX = 512,      /* source folders held open by items */
	BACKUP_READERS_MAX = 4,
	QUEUE_READ_MAX = 16,       /* small files that a reader takes at once */
	BUNDLE_MIN = 512 << 10,    /* a bundle may end from here on */
	BUNDLE_SPREAD = 512 << 10, /* and ends after about so much more */
	BUNDLE_MAX = 2 << 20,
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
	uint64_t group;
	nlink_t remaining; /* links that the walker has not met yet */
	atomic_uint refs;  /* items and the table */
	uint32_t kept_len; /* bytes of its content in b->kept; 0: there is none */
	uint64_t kept_at;
};

struct link_table {
	struct link **slots;
	size_t slot_count, count; /* slot_count a power of two */
};

/* What the first links hold, for those that come later: on disk, so that memory does not grow with links outside. */
struct kept {
	int fd; /* -1: none yet */
	uint64_t written;
	struct buf tail; /* what follows */
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
	bool top;    /* at the top of the dataset: its completeness is judged */
	bool member; /* of a dump's folder, by its name at least: judged as such */
	bool read;   /* WORK_NONE: true from the start */
	bool skip;   /* could not be read: told, left out */
	bool is_new, is_changed;
	unsigned chunks; /* handed to the writer, not answered yet */
	size_t weight;   /* bytes of memory that it counts for in the queue */
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
	struct seal_hasher *hasher;   /* of a large file, over the extents that were folded into it */
	struct extent_writer *folded; /* where those extents went when they became too many to hold */
	struct item *prior; /* what the parent snapshot held of a changed small file; only its content is used */
	struct link *link;
	bool link_first;
	struct told *told; /* of a feed (feed_impl.h): where its bytes come from, or what stretch it stands for; NULL */
};

/* What the walker has gathered and not handed over yet: to wake a thread costs more than an entry. */
struct batch {
	struct item *head, *tail;
	size_t count, weight, charged;
	bool reads; /* some need reading */
};

struct backup {
	struct repo *repo;
	struct catalog *catalog;
	const struct backup_options *options;
	struct backup_result *result;
	struct session *session;
	const struct snapshot *parent; /* borrowed from the session's set, or a feed's base; NULL */
	struct reader *reader;
	struct feed *feed;     /* tells the entries instead of the walker; NULL */
	struct writer *writer; /* NULL in a dry run */
	struct tree_keys keys;
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
	size_t item_count, weight, charged;
	atomic_uint folders;
	atomic_uint_fast64_t found; /* bytes of the files that are to be read, as far as the walk came */
	bool walk_done, walker_waits;
	int status;
	struct error failure;

	struct batch batch;
	struct link_table links;
	struct kept kept;

	struct bundle *bundle; /* being filled, by the caller's thread */
	struct writer_buffer *bundle_buffer;

	struct dump_verdict *dumps; /* folders, until judge_dumps_end() */
	struct snapshot_check *checks;
	unsigned check_count;
	size_t check_bytes;
	char **notes;
	unsigned note_count;
	uint64_t notes_dropped;
	size_t note_bytes;
	bool bad;     /* a judged check failed, or the command did */
	bool missing; /* something was left out or changed while it was read */
};

/* ---- backup.c ---- */
/* Runs, and runs again after ERR_VOID. With `feed` its entries instead of the options' paths. */
int backup_tries(struct repo *repo, struct catalog *catalog, const struct backup_options *options, struct feed *feed,
	struct backup_result *ret_result, struct error *err);

/* ---- backup_queue.c ---- */
/* Makes the locks, conditions, an empty queue and an empty table of links. ERR_NO_MEMORY. */
int queue_init(struct backup *b, struct error *err);
/* After all threads of the run have ended: frees what is still queued. */
void queue_release(struct backup *b);
/* The run fails: everyone stops. Returns the code. */
int backup_fail(struct backup *b, int status, const struct error *why);
/* Has the run failed, or been cancelled? Any thread. */
bool backup_stopped(struct backup *b);
/* The caller's flag alone, which a signal handler or another thread sets. */
bool backup_cancelled(const struct backup *b);
/* Appends, now or with the next ones; waits for room. ERR_CANCELLED when the run has stopped; the item is freed then.
 */
int queue_put(struct backup *b, struct item *item);
/* The walker is through. */
void queue_end(struct backup *b);
/* The next items to read, a large one alone; 0 when there will be none. Waits. */
size_t queue_take_read(struct backup *b, struct item *items[static QUEUE_READ_MAX]);
/* The reader is through with them (chunks may be outstanding). */
void queue_read_done(struct backup *b, struct item *const *items, size_t count);
/* `count` items of that weight, which were taken off the front, are built and freed: there is room. */
void queue_leave(struct backup *b, size_t count, size_t weight);
/* The next `count` items, from `first` to `last`, are laid down: their share of the budget is free. */
void queue_bundled(struct backup *b, struct item *last, size_t charged);

/* ---- backup_item.c ---- */
/* An empty item that belongs to the caller until queue_put() takes it. NULL without memory. */
struct item *item_new(void);
/* Frees it and all it holds, its share of folder, bundle and link included. NULL is a no-op. */
void item_free(struct backup *b, struct item *item);
/* Attributes from a stat; names of owners. */
void item_set_stat(struct backup *b, struct item *item, const struct stat *st);
/* Takes content (extents or pieces, refs, xattrs, hash) over from an entry of an earlier tree, by copy. */
int item_copy_content(struct item *item, const struct entry *from, struct error *err);
/* Its extents and pieces alone. */
int item_copy_extents(struct item *item, const struct entry *from, struct error *err);
/* Forgets all that, as if nothing had been taken over. */
void item_drop_content(struct item *item);
/* Appends to its list; under b->lock where chunks may be outstanding. ERR_NO_MEMORY. */
int item_add_extent(struct item *item, uint64_t length, uint32_t ref, uint32_t offset, struct error *err);
/* Appends to its refs and tells the index; locked likewise. ERR_NO_MEMORY. */
int item_add_ref(struct item *item, const struct chunk_ref *ref, uint32_t *ret_index, struct error *err);
/* Points entry's fields at the item's own arrays: before it goes to the tree. */
void item_seal(struct item *item);
/* No ref lies in a pack that a prune has condemned. */
bool item_refs_allowed(const struct backup *b, const struct item *item);
/* Bytes of memory that it takes, without `data`. */
size_t item_weight(const struct item *item);
/* Takes fd over, also where it fails. NULL without memory. */
struct folder *folder_new(struct backup *b, int fd, const char *path);
/* One more user; the same folder. */
struct folder *folder_ref(struct folder *f);
/* One user less; the last one closes it. NULL is a no-op. */
void folder_unref(struct backup *b, struct folder *f);

/* ---- backup_plan.c ---- */
/* Keeps of an earlier entry (NULL: none) what a reader may find to be the same: the content of a small file. */
int item_keep_prior(struct item *item, const struct entry *prior, struct error *err);

/* ---- backup_xattrs.c ---- */
/* Reads all xattrs of what `fd` is; with fd -1 of `path`, not following a link. */
int item_read_xattrs(struct item *item, int fd, const char *path, struct error *err);

/* ---- backup_links.c ---- */
/* An empty table of links. ERR_NO_MEMORY. */
int links_init(struct backup *b, struct error *err);
/* Frees the table, and what was kept of first links. */
void links_release(struct backup *b);
/* The walker met a file with several links. Fills item->link, and link_first for the first of them. */
int links_meet(struct backup *b, struct item *item, const struct stat *st, uint64_t prior_group, struct error *err);
/* The first link is whole (and sealed, see item_seal()): keeps its content for those to come. Does nothing for none. */
int links_keep(struct backup *b, const struct item *item, struct error *err);
/* Gives a later link the content of the first. ERR_NOT_FOUND: there is none. */
int links_share(struct backup *b, struct item *item, struct error *err);
/* One user less; the last one frees it. */
void link_unref(struct link *link);

/* ---- backup_walk.c, backup_roots.c (walk.h) ---- */
/* The walker's thread, from the sources to queue_end(). What fails it tells by backup_fail(). Returns NULL. */
void *walk_main(void *backup);
/* Tells of something that is left out or not as it should be: a note, the caller's warning, state incomplete. */
void walk_warn(struct backup *b, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- backup_read.c, backup_stream.c, backup_sparse.c ---- */
/* A reader's thread: takes what is to be read until there will be none. Returns NULL. */
void *read_main(void *backup);
/* Reads fd to its end (or `size` bytes, UINT64_MAX: to the end) into chunks of the item. */
int stream_read(struct backup *b, struct item *item, int fd, const char *path, uint64_t size, bool sparse,
	struct complete *judge, uint64_t *ret_size, struct error *err);
/* The next island at or behind `at`: [*ret_begin, *ret_end), both `size` when none is left. Where there are no maps all
 * is data. */
void sparse_next(int fd, uint64_t at, uint64_t size, uint64_t *ret_begin, uint64_t *ret_end);
/* The same of an item: what its feed says, else its descriptor. */
int sparse_next_of(const struct item *item, int fd, uint64_t at, uint64_t size, uint64_t *ret_begin, uint64_t *ret_end,
	struct error *err);
/* Notes where a small file, whose bytes are read, holds data. Nothing where that is everywhere, or its holes are none.
 */
int sparse_find(struct item *item, int fd, struct error *err);
/* The bytes of a small file are read: its hash, its verdict, and whether the parent's chunk serves again. */
int small_finish(struct backup *b, struct item *item, struct error *err);

/* ---- backup_fold.c ---- */
/* Waits until every chunk of the item is answered. */
void stream_settle(struct backup *b, struct item *item);
/* Of a file of very many chunks: the extents so far go to pieces of the tree, so that memory does not grow with it. */
int stream_fold(struct backup *b, struct item *item, struct error *err);
/* The pieces that it was folded into become what the item holds. */
int stream_unfold(struct item *item, struct error *err);
/* No chunk is outstanding: completes the content hash of a large file. */
int stream_hash(struct backup *b, struct item *item, struct error *err);

/* ---- backup_bundle.c, backup_build.c ---- */
/* The item is next in line: if it is a small file its bytes join the open bundle. */
int bundle_item(struct backup *b, struct item *item, struct error *err);
/* Ends the open bundle; its items wait for the answer. */
int bundle_close(struct backup *b, struct error *err);
/* One of its items is built or dropped; the last one frees it, unless it is still being filled. By the caller's
 * thread. */
void bundle_unref(struct backup *b, struct bundle *bundle);
/* Runs until the queue is over or the run has failed. */
int build_run(struct backup *b, struct error *err);

/* ---- backup_snapshot.c ---- */
/* Finishes the tree and the writer; the statement, all but what its commit adds. NULL: a feed that changed nothing. */
int make_snapshot(struct backup *b, struct snapshot **ret_snapshot, struct error *err);

/* ---- backup_judge.c ---- */
/* A judge for a file whose bytes are about to go by, to be given to judge_end(). ERR_NO_MEMORY. */
int judge_begin(struct backup *b, const struct item *item, struct complete **ret_judge, struct error *err);
/* Takes the verdict, if all of the file went by, and frees the judge. NULL is a no-op. */
void judge_end(struct backup *b, const struct item *item, struct complete *judge, bool whole);
/* A verdict carried over from the parent for a file that did not change. */
void judge_unchanged(struct backup *b, const struct item *item);
/* Keeps a verdict, unless it is unknown: at the top as a check, of which a bad one makes the snapshot partial; deeper a
 * bad one as a note. Any thread. */
void judge_verdict(struct backup *b, const char *path, bool top, enum complete_verdict verdict, const char *kind,
	const char *reason);
/* The entry's path in the dataset, as text that a note may hold. Caller frees; NULL without memory. */
char *judge_path(const uint8_t *key, size_t len);
/* All is stored: has the dataset's check command, if any, look at the tree. Not what is known to be bad already. */
int judge_tree(struct backup *b, const struct tree_root *root, struct error *err);
/* The notes for the snapshot are through: says how many were left out. */
void backup_notes_end(struct backup *b);
/* A line for the snapshot's notes; over SNAPSHOT_NOTES_MAX it is counted alone. Any thread. */
void backup_note(struct backup *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- backup_dump.c ---- */
struct dirlist;
/* The folder's path in the dataset from the prefix of its keys; "." for the dataset itself. Caller frees. */
char *judge_folder_path(const struct buf *prefix);
/*
 * Judges a folder written by pg_dump -Fd by its tables of contents; rewinds the list. True: it is one.
 * *ret_known: what the parent says of its files may be relied upon.
 */
bool judge_folder(
	struct backup *b, struct folder *folder, const struct buf *prefix, struct dirlist *list, bool *ret_known);

/* ---- backup_member.c ---- */
#define DUMP_KIND "pg_dump directory"
/* A folder is a dump, and so much its tables of contents say; `top`: its verdict counts. */
void judge_dump(struct backup *b, const char *folder, bool top, enum complete_verdict verdict, const char *reason);
/* A file is bad as a part of a dump's folder: that counts if the folder is found to be one. Any thread. */
void judge_member_bad(struct backup *b, const uint8_t *key, size_t key_len, const char *kind, const char *reason);
/*
 * The file `key` has the content of `from` in the snapshot `of` (NULL: none): what that said of it holds. False: it
 * judged no dump there.
 */
bool judge_member_kept(
	struct backup *b, const uint8_t *key, size_t key_len, const struct snapshot *of, const struct entry *from);
/* Whether that snapshot (NULL: none) judged the folder (NULL: none) as a dump, at the top. */
bool judged_as_dump(const struct snapshot *of, const char *folder);
/* The path of the folder that a key lies in, as judge_folder_path(). Caller frees; NULL without memory. */
char *member_folder(const uint8_t *key, size_t key_len);
/* No stage runs any more. Where all was read the verdicts on dumps become checks and notes; what was gathered is freed.
 */
void judge_dumps_end(struct backup *b, bool whole);

/* ---- backup_command.c ---- */
/* A command whose output is saved: in a process group of its own, unless it shares a terminal. */
struct command;
/* Starts it; *ret_fd reads its output and is the caller's to close. Errors are the system's, with the program named. */
int command_start(char *const *argv, struct command **ret_command, int *ret_fd, struct error *err);
/* Waits; the wait status. Kills it first when `kill_it`. */
int command_end(struct command *c, bool kill_it);

#endif
