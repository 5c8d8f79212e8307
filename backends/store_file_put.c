/* SPDX-License-Identifier: MIT */

/*
 * Put of the file store. The bytes go to a file without a name, are fsynced,
 * and only then get the object's name by link(2), which refuses a name that is
 * taken: so nothing is ever half there, killed or powered off at any moment,
 * and of many that create one name one wins. The folder is fsynced last.
 *
 * Where the file system knows no unnamed files, a temporary name stands in;
 * where it knows no links either, a rename that does not replace.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backends/driver.h"
#include "backends/store_file.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/fileio.h"

enum {
	OBJECT_MODE = 0400,
	/*
	 * The mode of what tmpfile() gives out: the sticky bit, without meaning on
	 * a file, tells it from an unnamed file that a caller made for himself and
	 * may go on writing to after the put.
	 */
	OFFERED_MODE = 01600,
	/* The flag and the deadline are looked at after so many bytes. */
	COPY_STEP = 8 << 20,
	TEMP_NAME_MAX = 40,
};

/* One put under way. */
struct put {
	struct store_file *f;
	const struct store_call *call;
	const char *name;
	const char *last; /* the name's last component */
	const struct store_body *body;
	int dir;                  /* the folder it goes to */
	int fd;                   /* the file that becomes the object, -1: none yet */
	bool borrowed;            /* fd is the caller's own, from tmpfile() */
	char temp[TEMP_NAME_MAX]; /* fd's temporary name in dir, "": none */
};

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

/*
 * What the name holds already: ERR_NOT_FOUND for nothing, 0 for the same object
 * (made durable, for whoever put it may still be before his fsync), ERR_EXISTS.
 */
static int meet(const struct put *p, struct store_reply *ret_reply, struct error *err)
{
	uint8_t ours[STORE_HASH_LEN];
	uint8_t theirs[STORE_HASH_LEN];
	size_t tail = store_tail_len(p->body->len);
	struct stat st;
	size_t n = 0;
	int rc;

	int fd = store_file_openat(p->dir, p->last, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 && errno == ENOENT)
		return ERR_NOT_FOUND;
	if (fd < 0)
		return store_file_errno(p->f, errno, "look at", p->name, err);
	if (fstat(fd, &st) < 0)
		rc = store_file_errno(p->f, errno, "look at", p->name, err);
	else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != p->body->len)
		rc = store_taken(&p->f->base, p->name, err);
	else
		rc = fileio_pread(fd, p->name, theirs, tail, p->body->len - tail, &n, err);
	if (rc == 0)
		rc = store_body_tail(p->body, p->name, ours, err);
	if (rc == 0 && (n != tail || memcmp(ours, theirs, tail) != 0))
		rc = store_taken(&p->f->base, p->name, err);
	if (rc == 0 && fsync(fd) < 0 && errno != EROFS && errno != EINVAL)
		rc = store_file_errno(p->f, errno, "make durable", p->name, err);
	if (rc == 0)
		rc = store_file_sync(p->f, p->dir, p->name, err);
	close(fd);
	if (rc == 0 && ret_reply)
		ret_reply->date = nanoseconds(st.st_mtim);
	return rc;
}

/* Takes the caller's file over where it is one that tmpfile() made on this file system. */
static bool take_over(struct put *p)
{
	struct stat file;
	struct stat dir;

	if (p->body->data || atomic_load(&p->f->named) || fstat(p->body->fd, &file) < 0 || fstat(p->dir, &dir) < 0)
		return false;
	if (!S_ISREG(file.st_mode) || (file.st_mode & 07777) != OFFERED_MODE || file.st_nlink != 0 ||
		file.st_dev != dir.st_dev || (uint64_t)file.st_size != p->body->len)
		return false;
	p->fd = p->body->fd;
	p->borrowed = true;
	return true;
}

/* Sets p->fd to a fresh file; -1 and errno on failure. */
static int create(struct put *p)
{
	uint64_t number;

	if (!atomic_load(&p->f->named)) {
		p->fd = store_file_openat(p->dir, ".", O_TMPFILE | O_RDWR, 0600);
		if (p->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
			return p->fd;
		atomic_store(&p->f->named, true);
	}
	do {
		if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
			return -1;
		(void)snprintf(p->temp, sizeof(p->temp), STORE_FILE_TEMP_PREFIX "%016llx", (unsigned long long)number);
		p->fd = store_file_openat(p->dir, p->temp, O_CREAT | O_EXCL | O_RDWR, 0600);
	} while (p->fd < 0 && errno == EEXIST);
	if (p->fd < 0)
		p->temp[0] = '\0';
	return p->fd;
}

/* Gives back what create() made, unless it became the object. */
static void discard(struct put *p)
{
	if (p->temp[0])
		(void)unlinkat(p->dir, p->temp, 0);
	if (p->fd >= 0 && !p->borrowed)
		close(p->fd);
	p->temp[0] = '\0';
	p->fd = -1;
	p->borrowed = false;
}

/* Up to `len` bytes from `off` by the kernel, without passing through here. Returns how many, 0 when it cannot. */
static size_t copy_inside(const struct put *p, uint64_t off, size_t len)
{
	off_t from = (off_t)off;
	off_t to = (off_t)off;

	ssize_t n = copy_file_range(p->body->fd, &from, p->fd, &to, len, 0);
	return n > 0 ? (size_t)n : 0;
}

static int copy_through(const struct put *p, uint64_t off, size_t len, struct error *err)
{
	enum { PIECE = 256 * 1024 };
	uint8_t *piece = malloc(PIECE);
	int rc = piece ? 0 : error_no_memory(err, p->name);

	for (size_t done = 0; rc == 0 && done < len;) {
		size_t n = (size_t)min_u64(PIECE, len - done);

		rc = store_body_read(p->body, p->name, off + done, piece, n, err);
		if (rc == 0)
			rc = fileio_pwrite(p->fd, p->name, piece, n, off + done, err);
		done += n;
	}
	free(piece);
	return rc;
}

/* Writes the body to p->fd. */
static int fill(const struct put *p, struct error *err)
{
	const struct store_body *body = p->body;
	int rc = 0;

	for (uint64_t off = 0; rc == 0 && off < body->len;) {
		size_t n = (size_t)min_u64(COPY_STEP, body->len - off);
		size_t copied = body->data ? 0 : copy_inside(p, off, n);

		if (body->data)
			rc = fileio_pwrite(p->fd, p->name, (const uint8_t *)body->data + off, n, off, err);
		else if (copied > 0)
			n = copied;
		else
			rc = copy_through(p, off, n, err);
		off += n;
		if (rc == 0)
			rc = store_go_on(p->call, p->name, err);
	}
	return rc;
}

/* Gives p->fd the object's name. Returns 0 or an errno. */
static int link_in(struct put *p)
{
	char path[40];

	if (!p->temp[0]) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
		if (linkat(AT_FDCWD, path, p->dir, p->last, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		/* Without /proc the other way in is open to root and, in newer kernels, to the file's maker. */
		if (errno == ENOENT && linkat(p->fd, "", p->dir, p->last, AT_EMPTY_PATH) == 0)
			return 0;
		return errno;
	}
	if (linkat(p->dir, p->temp, p->dir, p->last, 0) == 0)
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
		return errno;
	if (renameat2(p->dir, p->temp, p->dir, p->last, RENAME_NOREPLACE) < 0)
		return errno;
	p->temp[0] = '\0';
	return 0;
}

/* From a whole file to a durable object. Returns 0, or an errno and leaves no name behind. */
static int publish(struct put *p, struct store_reply *reply)
{
	struct stat st;
	int e;

	/*
	 * Both may fail: the mode guards against mishaps only, and FAT has none.
	 * The time is the file system's own clock, on a network the server's.
	 */
	(void)fchmod(p->fd, OBJECT_MODE);
	(void)futimens(p->fd, NULL);
	if (fsync(p->fd) < 0 || fstat(p->fd, &st) < 0)
		e = errno;
	else
		e = link_in(p);
	if (e == 0)
		reply->date = nanoseconds(st.st_mtim);
	else if (p->borrowed)
		(void)fchmod(p->fd, OFFERED_MODE);
	return e;
}

/* True for what link_in() fails with where an unnamed file cannot be given a name at all. */
static bool needs_name(const struct put *p, int e)
{
	return !p->temp[0] &&
	       (e == ENOENT || e == EPERM || e == EOPNOTSUPP || e == ENOSYS || e == EINVAL || e == EXDEV);
}

/* One try. *ret_errno is set when the system refused, and the chain is then the caller's to begin. */
static int attempt(struct put *p, struct store_reply *reply, int *ret_errno, struct error *err)
{
	int e = 0;
	int rc = 0;

	if (!take_over(p)) {
		if (create(p) < 0)
			e = errno;
		else
			rc = fill(p, err);
	}
	if (e == 0 && rc == 0)
		e = publish(p, reply);
	bool again = e != 0 && p->fd >= 0 && needs_name(p, e);
	discard(p);
	if (again) {
		atomic_store(&p->f->named, true);
		return attempt(p, reply, ret_errno, err);
	}
	*ret_errno = e;
	return rc;
}

/* Puts what is known about a full disk before the chain. */
static int explain(const struct put *p, int rc, struct error *err)
{
	uint64_t len = p->body->len;
	struct statvfs fs;

	if (rc == ERR_NO_SPACE && fstatvfs(p->dir, &fs) == 0) {
		uint64_t there = (uint64_t)fs.f_bavail * fs.f_frsize;

		if (there < len)
			return error_wrap(err, rc, "cannot store '%s' in '%s': of %llu bytes %llu are missing", p->name,
				p->f->base.url, (unsigned long long)len, (unsigned long long)(len - there));
	}
	return error_wrap(err, rc, "cannot store '%s' in '%s'", p->name, p->f->base.url);
}

static int put_new(struct put *p, struct store_reply *ret_reply, struct error *err)
{
	struct store_reply reply = {0};
	int e = 0;

	int rc = attempt(p, &reply, &e, err);
	if (e == EEXIST) {
		/* Someone was faster. If he is gone again already, that is for the caller to try anew. */
		rc = meet(p, ret_reply, err);
		return rc == ERR_NOT_FOUND
			       ? error_set(err, ERR_UNAVAILABLE, "'%s' in '%s' came and went while it was stored",
					 p->name, p->f->base.url)
			       : rc;
	}
	if (e != 0)
		rc = error_set_errno(err, e, "its file cannot be written");
	if (rc < 0)
		return explain(p, rc, err);
	rc = store_file_sync(p->f, p->dir, p->name, err);
	if (rc == 0 && ret_reply)
		*ret_reply = reply;
	return rc;
}

int store_file_put(struct store *store, const struct store_call *call, const char *name, const struct store_body *body,
	struct store_reply *ret_reply, struct error *err)
{
	struct put p = {.f = store_file_of(store), .call = call, .name = name, .body = body, .fd = -1};

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	if (body->len > INT64_MAX)
		return error_set_errno(err, EFBIG, "cannot store '%s' in '%s'", name, store->url);
	rc = store_file_folder(p.f, name, &p.dir, &p.last, err);
	if (rc < 0)
		return rc;
	/* Looked at first, so that a repeated put writes nothing and works on a full or read-only disk. */
	rc = meet(&p, ret_reply, err);
	if (rc == ERR_NOT_FOUND)
		rc = put_new(&p, ret_reply, err);
	close(p.dir);
	return rc;
}

int store_file_tmpfile(struct store *store, const char *name, int *ret_fd, struct error *err)
{
	struct store_file *f = store_file_of(store);
	const char *last;
	int dir;

	int rc = store_begin(store, NULL, name, err);
	if (rc < 0)
		return rc;
	if (atomic_load(&f->named)) {
		*ret_fd = -1;
		return 0;
	}
	rc = store_file_folder(f, name, &dir, &last, err);
	if (rc < 0)
		return rc;
	int fd = store_file_openat(dir, ".", O_TMPFILE | O_RDWR, 0600);
	int e = errno;
	close(dir);
	if (fd >= 0 && fchmod(fd, OFFERED_MODE) < 0) {
		close(fd);
		fd = -1;
	} else if (fd < 0 && e != EOPNOTSUPP && e != EISDIR && e != EINVAL) {
		return store_file_errno(f, e, "make room for", name, err);
	}
	*ret_fd = fd;
	return 0;
}
