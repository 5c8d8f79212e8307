/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_WORK_H
#define FS_SPOOL_WORK_H

/*
 * A dataset's working copy: spool/<dataset>/ as a writable, copy-on-write view
 * over its base snapshot. POSIX in, index rows and staged bytes out. Knows
 * nothing of FUSE; commit.h turns what it holds into a snapshot.
 *
 * Inodes are numbered as in index.h. What was never touched is answered from
 * the base alone and costs nothing; touching an entry brings it up, with its
 * ancestors, and for a file with several links the whole group, whose numbers
 * are then aliases of one. A folder keeps its `lower` when it is renamed, so
 * that this costs the same whatever it holds.
 *
 * Folder of a working copy: index.sqlite (and its log), data/ (staged layers),
 * 0700. It survives the process; work_open() takes up what is there.
 *
 * Threads: all calls by any thread. One lock guards the index and the table of active files; it is not held
 * while bytes are read from the archive, or written, nor over fdatasync. Permissions are the kernel's to check.
 * Errors: those in enum error_code have their usual errno; POSIX tells more apart: enum work_error;
 * errmap_errno() knows both (ERR_NOT_FOUND: ENOENT). Every call that returns names is bounded by what the caller asks
 * for.
 */

#include <sys/stat.h>

#include "fs/spool/content.h"
#include "fs/spool/index.h"
#include "fs/view.h"

/* Errors that POSIX tells apart and base/error.h does not: returned as they are, outside the range of error codes. */
enum work_error {
	WORK_EEXIST = -10001,
	WORK_ENOTEMPTY = -10002,
	WORK_ENOTDIR = -10003,
	WORK_EISDIR = -10004,
	WORK_EINVAL = -10005,
	WORK_ENODATA = -10006,
	WORK_EPERM = -10007,
	WORK_EMLINK = -10008,
	WORK_EXDEV = -10009,
	WORK_ENXIO = -10010,
	WORK_EOPNOTSUPP = -10011,
	WORK_ERANGE = -10012,
	WORK_E2BIG = -10013,
	WORK_ENAMETOOLONG = -10014,
};

struct work;

struct work_options {
	const char *dir;     /* of this working copy; made when missing. Copied. */
	const char *dataset; /* copied */
	struct view *view;   /* borrowed */
	/* The snapshot to stand on when nothing is kept in `dir`: the dataset's newest (NULL: none yet). When `dir`
	 * holds changes over an older one, `find` gives that. Snapshots are copied. */
	const struct snapshot *newest;
	const struct snapshot *(*find)(void *arg, const struct id *id); /* NULL: it is gone */
	void *find_arg;
	uid_t uid; /* of a new dataset's root folder */
	gid_t gid;
	/* Called (by any thread, no lock held) after the first change since the last commit, and when a handle that
	 * wrote is closed: policies live outside. May be NULL. */
	void (*changed)(void *arg, bool closed);
	void *changed_arg;
	bool power; /* durability = power: recording and renaming also wait for the disk */
};
int work_open(const struct work_options *options, struct work **ret_work, struct error *err);
void work_close(struct work *w); /* records what is open, ends the transaction; NULL is a no-op */
const char *work_dataset(const struct work *w);
/* What work_open() could not take up again, a line each, for the log; NULL-terminated. Borrowed until work_close(). */
const char *const *work_lost(const struct work *w);
/* The snapshot it stands on, NULL for none. Borrowed until the next work_rebase(). */
const struct snapshot *work_base(struct work *w);

/* ---- looking ---- */

/* What stat shows, but for st_dev and st_ino (the caller's numbering; here *st.st_ino is the inode's number). A file
 * that is open shows its size of now. */
int work_getattr(struct work *w, uint64_t ino, struct stat *ret, struct error *err);
int work_lookup(struct work *w, uint64_t parent, const char *name, struct stat *ret, struct error *err);
/* Of a folder; the root's is the root. */
int work_parent(struct work *w, uint64_t dir, uint64_t *ret_parent, struct error *err);
int work_readlink(struct work *w, uint64_t ino, struct buf *ret, struct error *err);
/*
 * Entries behind offset `off` (0: all; without "." and ".."), until fn says false. Offsets stay valid while the folder
 * changes: what is there throughout is listed exactly once.
 */
typedef bool work_dir_fn(void *arg, const char *name, const struct stat *st, uint64_t next);
int work_list(struct work *w, uint64_t dir, uint64_t off, work_dir_fn *fn, void *arg, struct error *err);
/* WORK_ENODATA; names: each with NUL. */
int work_getxattr(struct work *w, uint64_t ino, const char *name, struct buf *ret, struct error *err);
int work_listxattr(struct work *w, uint64_t ino, struct buf *ret, struct error *err);

/* ---- changing ---- */

struct work_owner {
	uid_t uid;
	gid_t gid;
	mode_t umask; /* taken off the mode where the folder has no default ACL; 0 where the kernel did so */
};
/* What is made by S_IFREG is left out of commits until it was opened and closed once, or was left alone for a second.
 * mode has the type: S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFDIR. A folder with the set-group-ID bit hands
 * its group (and, to folders, the bit) down. A default ACL is inherited. */
int work_make(struct work *w, uint64_t parent, const char *name, mode_t mode, dev_t rdev, struct work_owner owner,
	struct stat *ret, struct error *err);
int work_symlink(struct work *w, uint64_t parent, const char *name, const char *target, struct work_owner owner,
	struct stat *ret, struct error *err);
int work_link(struct work *w, uint64_t ino, uint64_t parent, const char *name, struct stat *ret, struct error *err);
int work_unlink(struct work *w, uint64_t parent, const char *name, struct error *err);
int work_rmdir(struct work *w, uint64_t parent, const char *name, struct error *err);
/* flags: 0, RENAME_NOREPLACE, RENAME_EXCHANGE; else WORK_EINVAL. A folder below itself: WORK_EINVAL. Survives kill -9
 * when it returns. */
int work_rename(struct work *w, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
	unsigned flags, struct error *err);

enum work_set {
	WORK_SET_MODE = 1 << 0,
	WORK_SET_UID = 1 << 1,
	WORK_SET_GID = 1 << 2,
	WORK_SET_SIZE = 1 << 3,
	WORK_SET_MTIME = 1 << 4,
	WORK_SET_CTIME = 1 << 5,   /* else it is now */
	WORK_KILL_SET_ID = 1 << 6, /* with SIZE: the set-ID bits go, whatever the size was, as by work_disarm() */
};
/* Values in *st (mode's type is ignored). chown clears the set-ID bits as the kernel would, and chown and a size take
 * security.capability away. *ret: what it is then. */
int work_setattr(
	struct work *w, uint64_t ino, unsigned set, const struct stat *st, struct stat *ret, struct error *err);
/* flags: 0, XATTR_CREATE, XATTR_REPLACE. posix_acl_access also sets the mode. "user.drfs." cannot be set: WORK_EPERM.
 */
int work_setxattr(
	struct work *w, uint64_t ino, const char *name, const void *value, size_t len, int flags, struct error *err);
int work_removexattr(struct work *w, uint64_t ino, const char *name, struct error *err);

/* ---- files ---- */

/* An open file. Inodes with an open file live on when they lose their last name. */
struct work_file;
/* write: it may be written. truncate: O_TRUNC. */
int work_file_open(
	struct work *w, uint64_t ino, bool write, bool truncate, struct work_file **ret_file, struct error *err);
/* Records what was written, as work_flush(), and gives the handle back. */
int work_file_close(struct work_file *f, struct error *err);
int work_read(struct work_file *f, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err);
/*
 * To be called before a file's bytes are changed: takes away security.capability and, where `set_id` (anyone but root
 * changes it), the set-ID bits. Costs nothing where there are none. *ret_dropped, if there were: what stat shows
 * changed; else it is left alone.
 */
int work_disarm(struct work_file *f, bool set_id, bool *ret_dropped, struct error *err);
/* append: at the end as it is then. */
int work_write(struct work_file *f, uint64_t off, const void *src, size_t len, bool append, struct error *err);
int work_allocate(struct work_file *f, int mode, uint64_t off, uint64_t len, struct error *err);
int work_seek(struct work_file *f, uint64_t off, bool data, uint64_t *ret_off, struct error *err);
/* Copies up to len bytes; *ret_len: how many. A whole file of a snapshot or of a working copy that has nothing staged
 * shares its content when all of it goes to the start of an empty file. from_entry: of a snapshot, else `from`. */
struct work_copy {
	struct work_file *from; /* or NULL, and: */
	const struct snapshot *snapshot;
	const struct entry *entry;
	uint64_t off;
};
int work_copy_range(struct work_file *to, const struct work_copy *from, uint64_t to_off, uint64_t len,
	uint64_t *ret_len, struct error *err);
/* At close(2): what the handle wrote counts from now on and survives kill -9. Nothing for one that wrote nothing. */
int work_flush(struct work_file *f, struct error *err);
/* At fsync(2): and survives a power cut, with every name change before it. */
int work_fsync(struct work_file *f, struct error *err);
int work_fsync_dir(struct work *w, struct error *err);
/* The number of the last change that this handle made (for durability = remote); 0: none. */
uint64_t work_file_change(struct work_file *f);

/* ---- committing ---- */

/* Facts for policies. */
struct work_state {
	uint64_t changes;     /* number of the last change */
	uint64_t committed;   /* up to here it is in a snapshot */
	int64_t last_change;  /* clock_monotonic() of it, ns; 0: none in this run */
	int64_t first_change; /* of the first one that is not committed */
	unsigned open_dirty;  /* handles with unsaved writes */
	unsigned open_files;
	uint64_t staged_bytes; /* best knowledge */
};
void work_get_state(struct work *w, struct work_state *ret);

/* A state that stays while writers go on: what every file's last close or fsync held. One at a time. */
struct work_frozen {
	struct index *index;         /* read-only */
	int data;                    /* folder of staged layers */
	uint64_t change;             /* up to and with this one */
	const struct snapshot *base; /* NULL: none */
	char **never_closed;         /* paths of new files that are left out; NULL-terminated */
};
int work_freeze(struct work *w, struct work_frozen **ret_frozen, struct error *err);
/* Staged files that nothing needs any more go now. NULL is a no-op. */
void work_thaw(struct work *w, struct work_frozen *frozen);
/* Removes staged files that nothing needs, as those that an end in a hurry left: work_open() waits for few of them. May
 * take minutes; without any lock of the caller's. */
void work_sweep_all(struct work *w);
/* The mount is ending: what can wait for the next start waits. By any thread. */
void work_hurry(struct work *w);
/*
 * What was frozen is durable in `snapshot` (NULL: it was equal to the base): unchanged files point there now, their
 * staged bytes go once no handle is open. To be followed by work_thaw().
 */
int work_committed(struct work *w, struct work_frozen *frozen, const struct snapshot *snapshot, struct error *err);
/*
 * Moves to another base when nothing is changed and no file is open; false in *ret_moved: not now. Every inode number
 * is new then.
 */
int work_rebase(struct work *w, const struct snapshot *newest, bool *ret_moved, struct error *err);

#endif
