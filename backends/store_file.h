/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_STORE_FILE_H
#define BACKENDS_STORE_FILE_H

/*
 * The file store's own parts, shared by its files and its test only.
 *
 * An object is a file of mode 0400 under its own name below the repository's
 * folder; nothing else is put there. Invariants:
 *  - a file carries an object's name only when all its bytes are on disk, and
 *    put returns only when the name is, and the names of the folders above it;
 *  - what is still being written has no name, or (file systems without
 *    unnamed files) one that no object can have and no listing shows;
 *  - no symbolic link is ever followed below the folder;
 *  - no lock is held while the disk is waited for.
 *
 *   store_file.c         opening and closing, get, stat, delete, free space
 *   store_file_put.c     put and the unnamed files before it
 *   store_file_folder.c  folders: opening, making, and when they are durable
 *   store_file_list.c    listing
 *   store_file_fds.c     objects kept open, since packs are read many times
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backends/store.h"

struct file_fds;

struct store_file {
	struct store base;
	int root; /* the repository's folder */
	struct file_fds *fds;
	atomic_bool named;    /* the file system has no unnamed files: write under a temporary name */
	pthread_mutex_t lock; /* guards durable */
	void *durable;        /* tsearch tree of owned folder names known to survive a power cut */
	size_t durable_count;
};

/* What a file that is being written is called where it must have a name. '_' is in no object's name. */
#define STORE_FILE_TEMP_PREFIX ".tmp_"

static inline struct store_file *store_file_of(struct store *store)
{
	return (struct store_file *)store;
}

/*
 * openat() below the folder `at` that follows no symbolic link anywhere and
 * does not leave it. Close-on-exec. Returns the fd, or -1 and errno.
 */
int store_file_openat(int at, const char *path, int flags, mode_t mode);

/* The error for errno `e` of an operation `verb` ("read", "store") on object `name`; ENOENT and ENOTDIR: ERR_NOT_FOUND.
 */
int store_file_errno(const struct store_file *f, int e, const char *verb, const char *name, struct error *err);

/*
 * Opens the folder that object `name` lies in, making it (0700) where it is
 * missing; when it returns 0, the folder's own name survives a power cut.
 * *ret_base points to the last component inside `name`. The caller closes *ret_fd.
 */
int store_file_folder(struct store_file *f, const char *name, int *ret_fd, const char **ret_base, struct error *err);

/* fsync of a folder; what a file system cannot do at all for folders, or need not (read-only), is no error. */
int store_file_sync(const struct store_file *f, int fd, const char *name, struct error *err);

/* Forgets which folders are durable. */
void store_file_folders_release(struct store_file *f);

/* store_ops: put, tmpfile, list. */
int store_file_put(struct store *store, const struct store_call *call, const char *name, const struct store_body *body,
	struct store_reply *ret_reply, struct error *err);
int store_file_tmpfile(struct store *store, const char *name, int *ret_fd, struct error *err);
int store_file_list(struct store *store, const struct store_call *call, const char *prefix, const char *after,
	store_list_fn *fn, void *arg, struct error *err);

/*
 * The cache of open objects: at most FILE_FDS_MAX, least recently used leave
 * first. Thread-safe; its lock is held for memory accesses only, fds are
 * opened and closed outside.
 */
enum { FILE_FDS_MAX = 64 };

struct file_fd {
	int fd;
	unsigned refs; /* users, and one for the cache itself */
	uint64_t used; /* when it was last taken, by the cache's count */
	char name[STORE_NAME_MAX + 1];
};

/* NULL without memory. */
struct file_fds *file_fds_new(void);
/* No entry may be in use. NULL is a no-op. */
void file_fds_free(struct file_fds *fds);
/* The open object, to be given back by file_fds_put(), or NULL. */
struct file_fd *file_fds_take(struct file_fds *fds, const char *name);
/* The number of deletions so far: read before opening, told to file_fds_add() after. */
uint64_t file_fds_epoch(struct file_fds *fds);
/*
 * Takes `fd` over and returns an entry in use. It enters the cache only when
 * nothing was dropped since `epoch`: otherwise it may be of a deleted object.
 * NULL without memory (fd stays the caller's).
 */
struct file_fd *file_fds_add(struct file_fds *fds, uint64_t epoch, const char *name, int fd);
/* Gives an entry back; the last user of one that left the cache closes it. */
void file_fds_put(struct file_fds *fds, struct file_fd *entry);
/* Makes sure that no later file_fds_take() gives what was open under `name` until now. */
void file_fds_drop(struct file_fds *fds, const char *name);

#endif
