/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_RESTORE_IMPL_H
#define ARCHIVE_RESTORE_IMPL_H

/*
 * The inside of a restore, shared by its files alone:
 *   restore.c          one run: what, where to, the passes in their order
 *   restore_tell.c     warnings, losses, the first failure, paths for people
 *   restore_walk.c     steps through the part of the tree that is restored
 *   restore_dir.c      folders beneath DEST: opening, making, clearing the way
 *   restore_plan.c     what differs, and whether there is room for it
 *   restore_delete.c   what DEST has beyond the snapshot
 *   restore_job.c      batches of entries for the workers
 *   restore_write.c    what a worker does with a batch; the pass that makes batches
 *   restore_content.c  a file's bytes: out of the archive, into a file, compared with one
 *   restore_meta.c     modes, owners, times
 *   restore_xattr.c    extended attributes and ACLs
 *   restore_owner.c    whose the files become
 *   restore_finish.c   hard links, and the attributes of folders, last of all
 *   restore_verify.c   reading back
 *
 * Threads: the caller's thread walks the tree and looks after folders; a pool
 * writes files. A job belongs to one thread at a time. r->lock guards the
 * first failure and lost; r->tell_lock makes the caller's function be called
 * by one thread at a time and guards nothing else. Counters are atomic.
 *
 * No path is ever followed through a symlink: a folder is opened from DEST's
 * descriptor with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, everything else is
 * named relative to its folder and not followed.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "archive/restore.h"
#include "base/host.h"
#include "base/pool.h"

enum {
	RESTORE_JOB_ITEMS = 64,
	RESTORE_JOB_BYTES = 1 << 20, /* content of the small files in one job */
	RESTORE_SMALL_EXTENTS = 16,  /* a file of more, or larger, is read through a reader_file */
	RESTORE_SMALL_BYTES = 1 << 20,
	RESTORE_TEMP_MAX = 32,
};

/* A folder beneath DEST that is open. Shared by the walker and by jobs. */
struct restore_dir {
	atomic_uint refs;
	int fd;
	bool fresh;        /* made by this run: nothing is in it that the snapshot has not */
	bool inherits_acl; /* it has a default ACL, which new entries get without being asked */
	size_t prefix_len;
	uint8_t prefix[]; /* of the keys of its entries */
};

/* An entry to be written or compared. */
struct restore_item {
	struct entry entry; /* what it points to lies in the job's memory */
	char *name;         /* in its folder */
	uid_t uid;
	gid_t gid;
	struct reader_file *file; /* of a large file; NULL: by entry.extents */
};

struct restore;

struct restore_job {
	struct restore *r;
	struct restore_dir *dir;
	void (*run)(struct restore_job *job);
	unsigned count;
	uint64_t bytes;
	struct restore_item items[RESTORE_JOB_ITEMS];
	struct restore_block *blocks; /* memory of the items */
};

/* Ranks of entries that are looked at once more at the end. */
struct rank_list {
	uint64_t *list;
	size_t count, cap;
};

/* Link groups whose first link was met, and its rank. Open addressing; rank + 1, so that 0 is an empty place. */
struct link_map {
	struct link_place {
		uint64_t group, rank1;
	} * places;
	size_t count, slots;
};

struct owner_map;

struct restore {
	struct repo *repo;
	struct reader *reader;
	struct node_source *nodes;
	const struct snapshot *snapshot;
	const struct restore_options *options;

	struct buf base;     /* prefix of the folder that is restored; of a single file: of its folder */
	struct buf base_key; /* key of the folder itself; empty: the snapshot's root */
	bool single;         /* one entry that is no folder */
	char *single_name;   /* its name at DEST */
	char *dest;          /* the folder that dest_fd is, for messages */
	int dest_fd;         /* -1: not there (dry run) */
	bool dest_made;      /* by this run */
	size_t dest_kept;    /* so much of the path `dest` was there before, if dest_new */
	bool dest_new;       /* it was not there, with folders above it perhaps */
	dev_t dest_dev;
	bool as_root;
	uid_t euid;
	struct owner_map *owners;
	struct pool *pool;
	struct pool_group jobs;

	/* the walker's */
	struct restore_dir *dir;
	struct restore_job *job;
	struct buf skip; /* everything below this prefix is new, or missing, or could not be opened */
	bool skip_set;
	struct id told; /* chunk that was fetched ahead last */
	struct rank_list folders;
	struct rank_list links; /* pairs: rank of the link, rank of the first link */
	struct link_map seen;
	uint64_t planned_bytes, planned_items;
	uint64_t replaced_max; /* room of the largest file at DEST that is replaced */

	atomic_uint_fast64_t files, dirs, others, bytes, unchanged, deleted, warnings, verified, needed;
	atomic_bool owner_told, xattr_told;
	atomic_int status; /* why everything stops; 0 */
	pthread_mutex_t lock;
	struct error failure; /* of status */
	uint64_t lost;        /* files whose content could not be had */
	struct error first_lost;
	struct link_map lost_keys; /* entries that were lost, by hash: verifying meets them once more */
	pthread_mutex_t tell_lock;
};

/* ---- restore_tell.c ---- */
/* The first failure that ends the run. Returns the code. */
int restore_stop(struct restore *r, int status, const struct error *why);
/* ERR_CANCELLED or the status of a run that has failed; 0: go on. */
int restore_stopped(struct restore *r);
/* Something was not done as it should be: told, counted, the run goes on. `key` NULL: DEST itself. */
void restore_warn(struct restore *r, const struct entry *entry, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same about something that has no entry; `path` is shown as it is. */
void restore_warn_path(struct restore *r, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/*
 * A file's content could not be had from the archive. 0: told, the run goes on and fails at its end; else it must stop
 * now, and the code.
 */
int restore_lose(struct restore *r, const struct entry *entry, int status, const struct error *why);
/* A run of entries could not be read from the tree: told, and the run fails at its end. */
void restore_lose_stretch(struct restore *r, uint64_t count, const struct error *why);
/* Does this error speak of one object of the archive? */
bool restore_is_damage(int status);
/* Something at DEST failed with `sys_errno`. A full disk stops the run (the code is returned); all else is a warning.
 */
int restore_dest_failed(struct restore *r, const struct entry *entry, int sys_errno, const char *doing);
/* Calls the caller's function, if there is one. */
void restore_event(struct restore *r, const char *what, const struct entry *entry, uint64_t bytes);
void restore_event_path(struct restore *r, const char *what, const char *path, uint64_t bytes);
/* The entry's path beneath DEST, printable. Caller frees; never NULL but without memory. */
char *restore_path(const struct restore *r, const uint8_t *key, size_t key_len);

/* ---- restore_walk.c ---- */
struct restore_pass {
	/* The entries that follow are those of this folder. *ret_skip: pass over it and everything below. */
	int (*enter)(struct restore *r, const uint8_t *prefix, size_t len, bool *ret_skip, struct error *err);
	int (*entry)(struct restore *r, const struct entry *entry, uint64_t rank, struct error *err);
	bool quiet; /* what cannot be read of the tree is told by another pass */
};
/*
 * Every entry beneath r->base, in the order of keys. Entries that cannot be read, the first one excepted, are passed
 * over and counted as lost. Ends early with the status of a run that was stopped.
 */
int restore_walk(struct restore *r, const struct restore_pass *pass, struct error *err);
/* The name in an entry's key. Well-formed keys only: the decoder has checked them. */
const uint8_t *restore_name(const struct entry *entry, size_t *ret_len);
bool restore_begins(const uint8_t *key, size_t key_len, const struct buf *prefix);
int rank_list_add(struct rank_list *l, uint64_t rank, struct error *err);
/* The rank of the group's first link; false: this is it, and it is remembered. */
int link_map_meet(
	struct link_map *m, uint64_t group, uint64_t rank, bool *ret_known, uint64_t *ret_first, struct error *err);
void link_map_release(struct link_map *m);

/* ---- restore_dir.c ---- */
enum restore_dir_flags {
	RESTORE_DIR_MAKE = 1u << 0,  /* make it where it is missing, clearing away what is no folder */
	RESTORE_DIR_FRESH = 1u << 1, /* the folder it lies in was made by this run: try to make it first */
};
/*
 * Opens the folder with this prefix. ERR_NOT_FOUND: it is not there (or is something else) and must not be made. Other
 * errors name it. The caller unrefs.
 */
int restore_dir_open(struct restore *r, const uint8_t *prefix, size_t len, unsigned flags, struct restore_dir **ret_dir,
	struct error *err);
struct restore_dir *restore_dir_ref(struct restore_dir *d);
void restore_dir_unref(struct restore_dir *d); /* NULL is a no-op */
/* Opens a folder that is named in another one, never through a link. -1 and errno. */
int restore_dir_at(int dirfd, const char *name);
/*
 * A folder stands where `name` is to become something else: takes it away when it is empty or when deleting is asked
 * for. False: it stays, and that was told.
 */
bool restore_clear_way(struct restore *r, int dirfd, const char *name, const struct entry *entry);
void restore_temp_name(char dst[static RESTORE_TEMP_MAX]);

/* ---- restore_plan.c ---- */
/* Goes through what is to be done: counts, room. In a dry run also tells it. */
int restore_plan(struct restore *r, struct error *err);
/* Counts an entry that is to be written. */
void restore_plan_entry(struct restore *r, const struct entry *entry);
/* ERR_NO_SPACE, saying how much is missing, when DEST has no room for it. */
int restore_check_room(struct restore *r, struct error *err);
/* Is what stands there the entry, as far as size and mtime (or target, or device numbers) tell? */
bool restore_same(
	const struct restore *r, int dirfd, const char *name, const struct entry *entry, const struct stat *st);

/* ---- restore_delete.c ---- */
/* Removes what DEST's folders have beyond the snapshot. `measure`: removes nothing, only counts the room it would give.
 */
int restore_delete_extra(struct restore *r, bool measure, uint64_t *ret_bytes, struct error *err);
/* Removes what `name` is, with everything below. What cannot be removed is told. The bytes that it gave back. */
uint64_t restore_remove(struct restore *r, int dirfd, const char *name, const char *path, bool measure);

/* ---- restore_job.c ---- */
struct restore_job *restore_job_new(struct restore *r, struct restore_dir *dir, void (*run)(struct restore_job *job));
void restore_job_free(struct restore_job *job);
/* Copies the entry into the job. `name`: instead of the one in its key, or NULL. */
int restore_job_add(struct restore_job *job, const struct entry *entry, const char *name, struct error *err);
bool restore_job_full(const struct restore_job *job);
/* Hands it to the workers (NULL is a no-op); it is freed when it has run. */
void restore_job_submit(struct restore_job *job);

/* ---- restore_write.c ---- */
int restore_write_all(struct restore *r, struct error *err);
/* Writes one entry that is not under the walked tree. */
int restore_write_single(struct restore *r, struct error *err);

/* ---- restore_content.c ---- */
/* A worker's own things: the chunk that it used last stays pinned, since neighbours lie in one. */
struct restore_worker {
	struct restore *r;
	const struct chunk *chunk;
	struct id chunk_id;
	uint8_t *buffer; /* for comparing; made at need */
};
void restore_worker_release(struct restore_worker *w);
/*
 * Writes all of a file's bytes to fd (empty before). *ret_errno is not 0 when the writing failed; else a returned error
 * is the archive's.
 */
int restore_content_write(
	struct restore_worker *w, const struct restore_item *item, int fd, int *ret_errno, struct error *err);
/* Are the bytes of fd those of the archive? *ret_at: where they first differ. Errors as above. */
int restore_content_compare(struct restore_worker *w, const struct restore_item *item, int fd, bool *ret_same,
	uint64_t *ret_at, int *ret_errno, struct error *err);

/* ---- restore_meta.c, restore_xattr.c ---- */
/* What attributes are set on: an open file, or a name in a folder. */
struct restore_target {
	int fd; /* -1: by name */
	int dirfd;
	const char *name;
	bool is_link;
};
enum restore_meta_flags {
	RESTORE_META_NEW = 1u << 0,   /* just made: it has no attributes of its own */
	RESTORE_META_CLEAN = 1u << 1, /* ... but may have got an ACL from its folder */
	RESTORE_META_TIMES = 1u << 2, /* set its mtime though it looks right */
};
/*
 * Gives `target` the attributes of the entry, where they differ from st. A full disk stops the run (the code); other
 * failures are warnings.
 */
int restore_meta_set(struct restore *r, const struct restore_target *target, const struct entry *entry, uid_t uid,
	gid_t gid, const struct stat *st, unsigned flags);
int restore_xattrs_set(
	struct restore *r, const struct restore_target *target, const struct entry *entry, unsigned flags);

/* ---- restore_owner.c ---- */
int owner_map_new(struct restore *r, struct owner_map **ret_map, struct error *err);
void owner_map_free(struct owner_map *m);
/* Whose the entry becomes here. One thread. */
void owner_map_apply(struct owner_map *m, const struct entry *entry, uid_t *ret_uid, gid_t *ret_gid);

/* ---- restore_finish.c ---- */
int restore_make_links(struct restore *r, struct error *err);
int restore_finish_folders(struct restore *r, struct error *err);

/* ---- restore_verify.c ---- */
int restore_verify_all(struct restore *r, struct error *err);

#endif
