/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_WORK_IMPL_H
#define FS_SPOOL_WORK_IMPL_H

/*
 * What the work_* files share.
 *
 * Locks, in the order they are taken: gate (read by every call that is not
 * through an open file; work_rebase() only tries to write it), a file's
 * `record`, record_gate (read while a file is recorded, written by
 * work_freeze()), a file's `swap`, `lock`, `links_lock`. `lock` guards the index, the tables and all that stands behind
 * it here. What of the base is needed for a change is fetched before by work_warm(), so that under `lock` it is found
 * in the reader's cache, as a rule.
 */

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "fs/spool/stage.h"
#include "fs/spool/work.h"
#include "fs/spool/work_map.h"

enum {
	ACTIVE_SLOTS = 1024,
	STAGED_NAME = 33,      /* with NUL, as content.h tells them */
	TICK_CHANGES = 1000,   /* a transaction is ended after so many changes, or a second */
	SWEEP_MOST = 64 << 10, /* bytes of names of staged files that may wait to be removed; or 5 s */
};
#define TICK_NS (CLOCK_SECOND)
#define SWEEP_NS (5 * CLOCK_SECOND)
#define LIST_HIGH (UINT64_C(1) << 62)

/* A file that is open, whatever its number of handles. */
struct active {
	struct active *next;
	uint64_t ino;
	unsigned refs, writers;      /* handles */
	bool opening;                /* its content is being opened by another call */
	int failed;                  /* that did not work */
	bool unlinked;               /* it has no name any more */
	atomic_bool up;              /* it has a row */
	atomic_uint arms;            /* enum work_arm, as its row has them; once it is up */
	bool fresh;                  /* INDEX_OPEN_NEW */
	bool unsynced;               /* INDEX_UNSYNCED */
	bool shared;                 /* it took over a content that is not in its row yet */
	bool layered;                /* its row has layers */
	bool again;                  /* what was recorded did not reach the row */
	atomic_bool cut;             /* changed by setattr, through no handle */
	atomic_int_fast64_t written; /* time of the last write that is not in the row; 0: none */
	uint64_t staged;             /* bytes, as counted in work.staged */
	pthread_rwlock_t
		swap; /* of `content`: written where it is replaced (with work.lock), read by all that use it */
	pthread_mutex_t record; /* one record at a time, up to the row */
	struct content *content;
	struct id under; /* where the bytes under the layers lie; zeros: nowhere */
	struct buf under_key;
	struct buf later; /* names of staged files that the row may still need: garbage after the next record */
	uint64_t settled; /* was committed as of this change while it was open; 0: no */
	struct id settled_at;
	struct buf settled_key;
};

struct work_file {
	struct work *w;
	struct active *a;
	bool write;
	atomic_bool wrote; /* since it was recorded last */
	uint64_t change;   /* under the lock */
};

/* A file of several links in the base. */
struct link_rank {
	uint64_t group;
	uint32_t rank;
};

struct work {
	char *dir, *dataset, *index_path;
	struct view *view;
	const struct snapshot *(*find)(void *arg, const struct id *id);
	void *find_arg;
	void (*changed)(void *arg, bool closed);
	void *changed_arg;
	uid_t uid;
	gid_t gid;
	bool power;
	int data;            /* the folder of staged layers */
	struct stage *stage; /* where its new files come from */
	char **lost;
	size_t lost_count;

	pthread_rwlock_t gate;
	struct snapshot *base; /* under the gate; NULL: none */

	pthread_mutex_t links_lock;
	bool links_known;
	struct link_rank *links; /* of the base, by group */
	size_t link_count;

	pthread_rwlock_t record_gate;
	pthread_mutex_t lock;
	pthread_cond_t opened;
	struct index *index;
	struct active *active[ACTIVE_SLOTS];
	struct map groups;  /* link group of the base: the rank that its file is known by */
	struct map folders; /* folders in a folder, where they were counted */
	struct map fresh;   /* files that were made and not opened yet: when, in ns */
	struct map shared;  /* files that took over a content since the last commit */
	struct buf garbage; /* names of staged files that no row needs any more */
	int64_t swept;
	struct work_frozen *frozen;
	uint64_t changes, committed;
	struct id committed_at;
	int64_t tx_began; /* 0: no change since the last end */
	unsigned tx_changes;
	int64_t last_change, first_change;
	bool told;                                  /* of the first change since the last commit */
	atomic_bool tell_changed, sweep_due, ended; /* what work_leave() is to see to */
	atomic_bool hurry;                          /* the mount is ending */
	unsigned open_files;
	uint64_t staged;
	atomic_uint open_dirty;
};

/* error_set() with one of enum work_error. */
#define work_fail(err, code, ...) error_set((err), (enum error_code)(code), __VA_ARGS__)

/* ---- work.c ---- */

void work_enter(struct work *w);
/* Leaves, and makes the calls to the outside that became due. */
void work_leave(struct work *w);
void work_lock(struct work *w);
void work_unlock(struct work *w);
/* The number of a change that is being made. */
uint64_t work_change(struct work *w);
/* Ends the transaction. */
int work_end(struct work *w, struct error *err);
struct entry_time work_now(void);
/* The staged files of these layers are garbage: the caller takes them out of their row. */
void work_drop_layers(struct work *w, const struct buf *layers);
/* Removes some of the garbage, unless a commit may read it; true: there is more. Without the lock; waits for the disk.
 */
bool work_sweep(struct work *w);
struct active *work_active(struct work *w, uint64_t ino);
/* What was lost, told at work_open(). */
void work_lose(struct work *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int work_snapshot_of(struct work *w, const struct id *id, const struct snapshot **ret, struct error *err);
/* Pins the entry with this key; *ret_leaf goes back by put(). */
int work_entry_of(struct work *w, const struct id *id, const struct buf *key, const struct node **ret_leaf,
	const struct entry **ret_entry, struct error *err);

/* ---- work_start.c ---- */

int work_base_put(struct work *w, struct error *err);

/* ---- work_recover.c: while nobody else has it ---- */

/* Files that were never closed: their writers ended with the last run, which closed them. */
int work_close_new(struct work *w, struct error *err);
/* peace: the last run was closed in peace. Ends the transaction, too. */
int work_recover(struct work *w, bool rebooted, bool peace, struct error *err);

/* ---- work_up.c: under the lock, but for work_warm() and work_links() ---- */

void work_warm(struct work *w, uint64_t dir, const char *name);
/* Likewise for what bringing this inode up will want. */
void work_warm_inode(struct work *w, uint64_t ino);
int work_links(struct work *w, struct error *err);
/* The number by which a file of the base is known: the same for all its links. */
uint64_t work_known_by(struct work *w, uint64_t rank, uint64_t group);
/* The row of an inode, or what it would be (with all but its xattrs and the number of links that the base knows). */
int work_peek(struct work *w, uint64_t ino, struct index_inode *ret, bool *ret_up, struct error *err);
/* The row, brought up where need be. ERR_NOT_FOUND: it is gone. */
int work_up(struct work *w, uint64_t ino, struct index_inode *ret, struct error *err);

/* ---- work_look.c ---- */

void work_row_stat(struct work *w, const struct index_inode *row, struct stat *ret); /* under the lock */
int work_stat(struct work *w, uint64_t ino, struct stat *ret, struct error *err);    /* under the lock */
/* With a folder's links, counted; without the lock. */
int work_stat_counted(struct work *w, uint64_t ino, struct stat *ret, struct error *err);
/* A name in a folder as it is now; under the lock. */
struct work_name {
	bool there;   /* shown */
	bool in_base; /* the folder's lower has it: what hides it must be a row */
	bool listed;  /* there is a row of the name */
	uint64_t ino; /* where it is shown */
	mode_t mode;
};
int work_name_at(
	struct work *w, const struct index_inode *dir, const char *name, struct work_name *ret, struct error *err);
int work_name_ok(const char *name, struct error *err);
/* The folder, peeked at. WORK_ENOTDIR; ERR_NOT_FOUND: it was removed. */
int work_dir_at(struct work *w, uint64_t ino, struct index_inode *ret, struct error *err);
/* A folder's links: one, where what is in it was not counted. */
nlink_t work_folder_links(struct work *w, uint64_t ino);
/* Counts the folders of one that is shown; without the lock. */
void work_count_folders(struct work *w, uint64_t ino);
void work_folders_add(struct work *w, uint64_t dir, int delta);

/* ---- work_remove.c: under the lock ---- */

/* Takes a name out of a folder, leaving a whiteout where the base shows it. */
int work_name_gone(struct work *w, uint64_t dir, const char *name, const struct work_name *n, struct error *err);
/* The folder's times and number of change. */
int work_dir_touch(struct work *w, struct index_inode *dir, uint64_t change, struct error *err);
int work_dir_empty(struct work *w, const struct index_inode *dir, bool *ret_empty, struct error *err);
/* What stood under a name loses it: files a link, folders (that are empty) everything. */
int work_inode_less(struct work *w, uint64_t ino, uint64_t change, struct error *err);

/* ---- work_xattr.c, work_acl.c ---- */

extern const char work_acl_access[], work_acl_default[];
bool xattrs_find(const struct buf *xattrs, const char *name, const uint8_t **ret_value, size_t *ret_len);
/* Into an empty buffer; value NULL: without it. */
void xattrs_set(const struct buf *xattrs, const char *name, const void *value, size_t len, struct buf *ret);
bool acl_ok(const void *value, size_t len);
bool acl_is_mode(const void *value, size_t len); /* says no more than permission bits do */
mode_t acl_mode(const void *value, size_t len);  /* 0777 */
void acl_set_mode(uint8_t *value, size_t len, mode_t mode);
/* A new entry's ACL by its folder's default one: masks the ACL with *mode and *mode with it. */
void acl_inherit(uint8_t *value, size_t len, mode_t *mode);

/* ---- work_disarm.c ---- */

/* What lets a file run with rights of its own. */
enum work_arm { WORK_ARM_SET_ID = 1, WORK_ARM_CAPABILITY = 2 };
unsigned work_arms(const struct index_inode *row); /* of a whole row */
int work_disarm_row(struct index_inode *row, unsigned which, struct error *err);
/* As work_disarm(); without the lock. */
int work_disarm_active(struct work *w, struct active *a, bool set_id, bool *ret_dropped, struct error *err);

/* ---- work_active.c ---- */

/* Finds or opens; holds a reference. Without the lock. */
int work_active_get(struct work *w, uint64_t ino, struct active **ret, struct error *err);
void work_active_put(struct work *w, struct active *a);
/* Brings it up before its first change. Without the lock. */
int work_active_ready(struct work *w, struct active *a, struct error *err);
enum work_record { RECORD_CLOSE = 1, RECORD_SYNC = 2 };
/* What was written counts from now on. *ret_change: the number, where anything changed. Without the lock. */
int work_active_record(struct work *w, struct active *a, unsigned how, uint64_t *ret_change, struct error *err);
int work_under_open(
	struct work *w, const struct id *id, const struct buf *key, struct reader_file **ret, struct error *err);
/* The file's content is this one from now on, with nothing staged: `under` of a snapshot. ERR_BUSY: the file is not
 * empty any more. Taken over, also on failure. */
int work_active_share(struct work *w, struct active *a, struct content *content, const struct id *under,
	const struct buf *key, struct error *err);

/* ---- work_file.c ---- */

/* This handle changed the file: it has unsaved writes, and a time. */
void work_file_wrote(struct work_file *f);

/* ---- work_freeze.c ---- */

/* Points a file's row at the snapshot that holds it, and lets its layers go; under the lock. */
int work_settle(
	struct work *w, uint64_t ino, uint64_t change, const struct id *at, const struct buf *key, struct error *err);
/* What was noted of a commit of this file while it was open says nothing any more. */
int work_unsettle(struct work *w, uint64_t ino, struct error *err);
void work_settle_name(uint64_t ino, char dst[static 32]);
/* "a/b" of an inode by its first name. NULL: it has none. Caller frees. */
char *work_path(struct index *ix, uint64_t ino);

#endif
