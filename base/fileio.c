/* SPDX-License-Identifier: MIT */
#include "base/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most this much a call; asking for more is cut anyway, and the count stays within ssize_t. */
enum { IO_MAX = 0x7ffff000 };

static size_t io_step(size_t left)
{
	return left < IO_MAX ? left : IO_MAX;
}

int fileio_read(int fd, const char *path, void *dst, size_t len, size_t *ret_len, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = read(fd, (uint8_t *)dst + done, io_step(len - done));
		if (n == 0)
			break;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return error_set_errno(err, errno, "cannot read '%s'", path);
	}
	*ret_len = done;
	return 0;
}

int fileio_pread(int fd, const char *path, void *dst, size_t len, uint64_t off, size_t *ret_len, struct error *err)
{
	size_t done = 0;
	if (len > INT64_MAX || off > INT64_MAX - (uint64_t)len)
		return error_set_errno(err, EINVAL, "cannot read '%s' past the largest offset", path);
	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)dst + done, io_step(len - done), (off_t)(off + done));
		if (n == 0)
			break;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return error_set_errno(
				err, errno, "cannot read '%s' at %llu", path, (unsigned long long)(off + done));
	}
	*ret_len = done;
	return 0;
}

int fileio_write(int fd, const char *path, const void *src, size_t len, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = write(fd, (const uint8_t *)src + done, io_step(len - done));
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return error_set_errno(err, n == 0 ? EIO : errno, "cannot write '%s'", path);
	}
	return 0;
}

int fileio_pwrite(int fd, const char *path, const void *src, size_t len, uint64_t off, struct error *err)
{
	size_t done = 0;
	if (len > INT64_MAX || off > INT64_MAX - (uint64_t)len)
		return error_set_errno(err, EFBIG, "cannot write '%s' past the largest offset", path);
	while (done < len) {
		ssize_t n = pwrite(fd, (const uint8_t *)src + done, io_step(len - done), (off_t)(off + done));
		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return error_set_errno(err, n == 0 ? EIO : errno, "cannot write '%s' at %llu", path,
				(unsigned long long)(off + done));
	}
	return 0;
}

/* Reads to the end of file into `b`, one byte past `max` at most, so that the caller sees when there was more. */
static int slurp_fd(int fd, const char *path, size_t max, struct buf *b, struct error *err)
{
	enum { SLURP_STEP = 64 * 1024 };
	struct stat st;
	size_t want = SLURP_STEP;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot read '%s'", path);
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < max)
		want = (size_t)st.st_size + 1;
	while (b->len <= max) {
		size_t n;
		if (want > max + 1 - b->len)
			want = max + 1 - b->len;
		if (!buf_reserve(b, want))
			return error_no_memory(err, path);
		int rc = fileio_read(fd, path, b->data + b->len, want, &n, err);
		if (rc < 0)
			return rc;
		b->len += n;
		if (n < want)
			return 0;
		want = b->len < SLURP_STEP ? SLURP_STEP : b->len;
	}
	return error_set(err, ERR_USAGE, "'%s' is larger than the %zu bytes expected at most", path, max);
}

int fileio_slurp(const char *path, size_t max, struct buf *ret, struct error *err)
{
	struct buf b = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open '%s'", path);
	int rc = slurp_fd(fd, path, max < SIZE_MAX ? max : max - 1, &b, err);
	(void)close(fd);
	if (rc < 0) {
		buf_wipe(&b); /* it may have been a key */
		return rc;
	}
	*ret = b;
	return 0;
}

/* The folder that `path` lies in, as a fresh string. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

int fileio_fsync_dir(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open folder '%s'", path);
	int rc = fsync(fd);
	int why = errno;
	(void)close(fd);
	if (rc < 0 && why != EINVAL) /* file systems that know no fsync of folders say EINVAL */
		return error_set_errno(err, why, "cannot sync folder '%s'", path);
	return 0;
}

/* Gives the finished file its name; unless it `replaces`, that must be free. Links where the file system cannot rename
 * like that. */
static int publish(const char *from, const char *to, bool replaces, struct error *err)
{
	if (replaces)
		return rename(from, to) == 0 ? 0 : error_set_errno(err, errno, "cannot write '%s'", to);
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return error_set_errno(err, errno, "cannot create '%s'", to);
	if (link(from, to) < 0)
		return error_set_errno(err, errno, "cannot create '%s'", to);
	(void)unlink(from);
	return 0;
}

static int write_synced(int fd, const char *path, const void *data, size_t len, struct error *err)
{
	int rc = fileio_write(fd, path, data, len, err);
	if (rc == 0 && fsync(fd) < 0)
		rc = error_set_errno(err, errno, "cannot sync '%s'", path);
	if (close(fd) < 0 && rc == 0)
		rc = error_set_errno(err, errno, "cannot close '%s'", path);
	return rc;
}

static int write_whole(const char *path, mode_t mode, bool replaces, const void *data, size_t len, struct error *err)
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set_errno(err, errno, "cannot create '%s'", path);
	/* Under another name until it is whole: after a crash the name is there with all of it, or not at all. */
	char *tmp = fileio_format("%s.%016llx.tmp", path, (unsigned long long)random);
	char *dir = parent_of(path);
	int rc;
	int fd = -1;
	if (!tmp || !dir) {
		rc = error_no_memory(err, path);
		goto out;
	}
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0) {
		rc = error_set_errno(err, errno, "cannot create '%s'", path);
		goto out;
	}
	rc = write_synced(fd, path, data, len, err);
	if (rc == 0)
		rc = publish(tmp, path, replaces, err);
	if (rc < 0)
		(void)unlink(tmp);
	else
		rc = fileio_fsync_dir(dir, err);
out:
	free(tmp);
	free(dir);
	return rc;
}

int fileio_create(const char *path, mode_t mode, const void *data, size_t len, struct error *err)
{
	return write_whole(path, mode, false, data, len, err);
}

int fileio_replace(const char *path, mode_t mode, const void *data, size_t len, struct error *err)
{
	return write_whole(path, mode, true, data, len, err);
}

static int make_folder(const char *path, mode_t mode, struct error *err)
{
	struct stat st;
	if (mkdir(path, mode) == 0)
		return 0;
	int why = errno; /* EEXIST as a rule; EROFS or EACCES may come first for a folder that is there */
	if (stat(path, &st) < 0)
		return error_set_errno(err, why, "cannot create folder '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return error_set_errno(err, ENOTDIR, "cannot create folder '%s'", path);
	return 0;
}

int fileio_mkdirs(const char *path, mode_t mode, struct error *err)
{
	char *copy = strdup(path);
	if (!copy)
		return error_no_memory(err, path);
	int rc = 0;
	for (char *p = copy + (*copy != 0); *p && rc == 0; p++) {
		if (*p != '/' || p[-1] == '/')
			continue;
		*p = 0;
		rc = make_folder(copy, mode, err);
		*p = '/';
	}
	if (rc == 0)
		rc = make_folder(copy, mode, err);
	free(copy);
	return rc;
}

int fileio_tmpfile(const char *dir, int *ret_fd, struct error *err)
{
	int fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		char *name = fileio_format("%s/.drfs-XXXXXX", dir);
		if (!name)
			return error_no_memory(err, dir);
		fd = mkostemp(name, O_CLOEXEC);
		int why = errno;
		if (fd >= 0)
			(void)unlink(name);
		free(name);
		errno = why;
	}
	if (fd < 0)
		return error_set_errno(err, errno, "cannot create a temporary file in '%s'", dir);
	*ret_fd = fd;
	return 0;
}

char *fileio_format(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}
