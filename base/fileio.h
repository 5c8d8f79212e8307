/* SPDX-License-Identifier: MIT */
#ifndef BASE_FILEIO_H
#define BASE_FILEIO_H

/*
 * Files of this host: whole reads and writes, retried on EINTR and short
 * counts, with errors that name the path. `path` in these calls is only for
 * messages where an fd is given. All may block on disk.
 */

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"

/* Reads up to `len` bytes at the position; *ret_len < len only at the end of file. */
int fileio_read(int fd, const char *path, void *dst, size_t len, size_t *ret_len, struct error *err);
/* Likewise at `off`, leaving the position alone. */
int fileio_pread(int fd, const char *path, void *dst, size_t len, uint64_t off, size_t *ret_len, struct error *err);
/* All `len` bytes at the position; after an error some of them may be written. */
int fileio_write(int fd, const char *path, const void *src, size_t len, struct error *err);
/* Likewise at `off`, leaving the position alone. */
int fileio_pwrite(int fd, const char *path, const void *src, size_t len, uint64_t off, struct error *err);
/* The whole file, at most `max` bytes (more is ERR_USAGE), into an empty buffer that the caller releases. */
int fileio_slurp(const char *path, size_t max, struct buf *ret, struct error *err);
/*
 * Creates `path` anew with `mode` (less the umask), writes, fsyncs, and fsyncs its folder. ERR_EXISTS when it is
 * there. The name appears with all of the content or not at all.
 */
int fileio_create(const char *path, mode_t mode, const void *data, size_t len, struct error *err);
/*
 * As fileio_create(), taking the place of what is there: who opens the name sees all of the old content or all of the
 * new. What was there stays when it fails.
 */
int fileio_replace(const char *path, mode_t mode, const void *data, size_t len, struct error *err);
/* mkdir -p with `mode` for each folder made. */
int fileio_mkdirs(const char *path, mode_t mode, struct error *err);
/* Makes names created, renamed or removed in the folder survive power loss. */
int fileio_fsync_dir(const char *path, struct error *err);
/* An unnamed file in `dir` (O_TMPFILE, else create and unlink), close-on-exec. */
int fileio_tmpfile(const char *dir, int *ret_fd, struct error *err);
/* $TMPDIR, else /var/tmp where writable, else /tmp. */
const char *fileio_tmpdir(void);

/* $XDG_CACHE_HOME/drfs; without that variable ~/.cache/drfs, for root /var/cache/drfs. Caller frees; NULL: no memory.
 */
char *fileio_cache_dir(void);
/* Likewise XDG_STATE_HOME, ~/.local/state/drfs, /var/lib/drfs. */
char *fileio_state_dir(void);
/*
 * Likewise $XDG_RUNTIME_DIR/drfs, for root /run/drfs, else a 0700 folder under /tmp named for the user, which is made
 * here; NULL also where that name is someone else's.
 */
char *fileio_runtime_dir(void);
/*
 * Where processes of this user have theirs, whatever XDG_RUNTIME_DIR they were started with: a path for `at` from 0 on,
 * the first that of fileio_runtime_dir(). Nothing is made: a folder may be missing, be named twice or, under /tmp, be
 * someone else's. Caller frees; NULL: no more, or no memory.
 */
char *fileio_runtime_place(unsigned at);
/* asprintf that returns NULL without memory. Caller frees. */
char *fileio_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
