/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_INDEX_H
#define FS_SPOOL_INDEX_H

/*
 * What a working copy changed over its base snapshot: inodes and names, in an
 * SQLite file beside the staged bytes. SQLite's write-ahead log is the
 * journal: a transaction that was ended survives kill -9, and after
 * index_sync() a power cut, with everything that came before it; what a cut
 * leaves is always a state that once was.
 *
 * Numbers of inodes: below INDEX_NEW it is the base's entry of that rank (0:
 * the root folder; the tree's entry of rank r is r + 1), brought up here
 * because something about it changed; from there on it was made here. A
 * folder that was brought up has all its ancestors here too, up to the root,
 * so that from the root every change is reached by names alone.
 *
 * A transaction opens by itself with the first change and stays open until
 * index_end(), index_sync() or index_freeze(): many changes cost one.
 *
 * Threads: an index belongs to who holds its owner's lock; a frozen one to one
 * thread, and is read while the other goes on. index_sync() may be called by any
 * thread at once. Errors: ERR_NOT_FOUND where said; ERR_NO_SPACE; ERR_IO; ERR_CORRUPT.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive/entry.h"
#include "base/buf.h"
#include "base/error.h"

enum { INDEX_NAME_MAX = 255 };
#define INDEX_ROOT UINT64_C(0)
#define INDEX_NEW (UINT64_C(1) << 32)
#define INDEX_NONE UINT64_MAX /* no inode; as the inode of a name: the base's name is gone (a whiteout) */

enum index_flags {
	INDEX_OPEN_NEW = 1u << 0, /* made here and never closed: no commit takes it yet */
	INDEX_UNSYNCED = 1u << 1, /* its staged bytes were not made safe against power cuts */
};

/* An inode. Zero it with INDEX_INODE_INIT; index_inode_release() frees what its buffers hold. */
struct index_inode {
	uint64_t ino;
	uint64_t parent; /* of a folder: the folder it stands in; INDEX_NONE for the root and for what is no folder */
	uint32_t mode, uid, gid;
	uint32_t nlink; /* files: names; folders: 2. 0: unlinked, but open */
	uint32_t rdev_major, rdev_minor;
	uint64_t size; /* as last recorded */
	struct entry_time mtime, ctime;
	uint64_t link_group; /* of the base, or 0 */
	uint64_t lower; /* folders: rank + 1 form as above of the base's folder whose names show through; INDEX_NONE */
	uint64_t changed;           /* number of the change that touched it last: index_next_change() */
	unsigned flags;             /* enum index_flags */
	struct id content_snapshot; /* files: where the bytes under the layers lie; zeros: nowhere */
	struct buf content_key;     /* and the entry's key there */
	struct buf layers;          /* files: staged layers, as content.h encodes them; empty: none */
	struct buf target;          /* of a symlink */
	struct buf xattrs;          /* all of them, as entry.h encodes them */
};
#define INDEX_INODE_INIT                                  \
	{                                                 \
		.parent = INDEX_NONE, .lower = INDEX_NONE \
	}
void index_inode_release(struct index_inode *inode);

struct index;
/* Opens or makes the file. ERR_CORRUPT: it is damaged (the caller sets it aside). Orphans (nlink 0) of a run that ended
 * are dropped. */
int index_open(const char *path, struct index **ret_index, struct error *err);
void index_close(struct index *ix); /* ends an open transaction; NULL is a no-op */

/* ERR_NOT_FOUND: it was not brought up. *ret's buffers are emptied first. */
int index_get(struct index *ix, uint64_t ino, struct index_inode *ret, struct error *err);
/* Makes or replaces. */
int index_put(struct index *ix, const struct index_inode *inode, struct error *err);
int index_drop(struct index *ix, uint64_t ino, struct error *err);
/* A number for a new inode, never given out before. */
int index_new_ino(struct index *ix, uint64_t *ret_ino, struct error *err);
/* Numbers changes: 1, 2, … ; what index_changes() told last plus one. */
uint64_t index_next_change(struct index *ix);
uint64_t index_changes(const struct index *ix);

/* A name here. ERR_NOT_FOUND: none (the base's shows through). *ret_ino INDEX_NONE: a whiteout. */
int index_name(struct index *ix, uint64_t parent, const char *name, uint64_t *ret_ino, struct error *err);
/* Makes or replaces; ino INDEX_NONE: a whiteout. */
int index_name_put(struct index *ix, uint64_t parent, const char *name, uint64_t ino, struct error *err);
int index_name_drop(struct index *ix, uint64_t parent, const char *name, struct error *err);
/* All names (and whiteouts) of a folder that was removed. */
int index_names_drop(struct index *ix, uint64_t parent, struct error *err);

/* A name, with a number that stays its own while it exists and grows with each new one: for listings that go on. */
struct index_name {
	uint64_t cookie, parent, ino;
	const char *name;
};
/* What fn returns other than 0 ends the walk and is returned; the index must not be changed in it. */
typedef int index_name_fn(void *arg, const struct index_name *name, struct error *err);
/* Names of a folder behind a cookie (0: all), in order of cookie, whiteouts too. */
int index_list(struct index *ix, uint64_t parent, uint64_t after, index_name_fn *fn, void *arg, struct error *err);
/* Names of a folder in order of their bytes, whiteouts too: for commits. Any number of walks may be nested. */
int index_list_sorted(struct index *ix, uint64_t parent, index_name_fn *fn, void *arg, struct error *err);
/* All names of an inode. */
int index_names_of(struct index *ix, uint64_t ino, index_name_fn *fn, void *arg, struct error *err);
/* Does the folder have any name or whiteout here? */
int index_has_names(struct index *ix, uint64_t parent, bool *ret_any, struct error *err);

/* Other links of a file of the base that was brought up: this rank's file is now `ino`. */
int index_alias_put(struct index *ix, uint64_t rank, uint64_t ino, struct error *err);
int index_alias(struct index *ix, uint64_t rank, uint64_t *ret_ino, struct error *err); /* ERR_NOT_FOUND */

/* Small facts by name ("base", "committed" …; names with a leading dot are the index's own). ERR_NOT_FOUND: not set. */
int index_fact(struct index *ix, const char *name, struct buf *ret, struct error *err);
int index_fact_put(struct index *ix, const char *name, const void *data, size_t len, struct error *err);

/* All inodes with layers, in order of number: for recovery and for what follows a commit. Inodes are gathered in pages,
 * so fn may change the index. */
typedef int index_inode_fn(void *arg, const struct index_inode *inode, struct error *err);
int index_staged(struct index *ix, index_inode_fn *fn, void *arg, struct error *err);
int index_count(struct index *ix, uint64_t *ret_inodes, struct error *err);
/* Was anything changed after that change? After a run that was cut short index_changes() may be larger than what was
 * given out; this tells the truth, as every change leaves its number in an inode. */
int index_changed_after(struct index *ix, uint64_t change, bool *ret_any, struct error *err);
/* Forgets everything but facts and the counter of new inodes: the working copy is its base again. */
int index_clear(struct index *ix, struct error *err);

/*
 * Ends the open transaction, if there is one: from here on it survives kill -9. Room for it was allocated when it
 * began, so that a full disk refuses the change before it (ERR_NO_SPACE, nothing undone) and not this call, where the
 * file system can allocate. Where this, or a change, fails otherwise, the whole open transaction may be undone.
 */
int index_end(struct index *ix, struct error *err);
/* Changes while this is set may use the room that is kept for finishing commits on a full disk. */
void index_urgent(struct index *ix, bool urgent);
/* Writes a large log back into the file, which waits for the disk; otherwise costs nothing. By any thread, without the
 * owner's lock; to be called now and then where index_sync(), which does it too, is not. */
void index_tidy(struct index *ix);
/*
 * Makes all transactions that were ended before the call survive a power cut. Callers at one time share one
 * fdatasync(). Takes no part in the owner's lock: call it without, after index_end().
 */
int index_sync(struct index *ix, struct error *err);
/* Ends the open transaction and opens a view that stays as it is now while this goes on. Read-only: all calls that do
 * not change it may be made. */
int index_freeze(struct index *ix, struct index **ret_frozen, struct error *err);

#endif
