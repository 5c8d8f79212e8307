/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/restore_impl.h"
#include "base/hex.h"

enum { FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

int restore_dir_at(int dirfd, const char *name)
{
	return openat(dirfd, name, FOLDER_FLAGS);
}

/* One folder after another, none of them through a link: for kernels without openat2 and for the longest paths. */
static int open_stepwise(int dirfd, char *path)
{
	int fd = dirfd;
	for (char *at = path; fd >= 0 && *at;) {
		char *slash = strchrnul(at, '/');
		bool more = *slash == '/';
		*slash = '\0';
		int next = openat(fd, at, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int kept = errno;
		if (more)
			*slash = '/';
		if (fd != dirfd)
			close(fd);
		errno = kept;
		fd = next;
		at = more ? slash + 1 : slash;
	}
	return fd;
}

/* The folder at `path` beneath dirfd, to name entries in; "" is dirfd's own. */
static int open_beneath(int dirfd, char *path)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	if (!*path)
		return fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (strlen(path) < PATH_MAX) {
		int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		/* A filter of system calls that does not know it says EPERM, or ENOSYS as an old kernel does. */
		if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EAGAIN))
			return fd;
	}
	return open_stepwise(dirfd, path);
}

/* A prefix, relative to what is restored, as a path without its last name; *ret_name: that name. */
static char *split_path(const struct restore *r, const uint8_t *prefix, size_t len, const char **ret_name)
{
	size_t n = len - r->base.len;
	char *path = malloc(n + 1);
	if (!path)
		return NULL;
	memcpy(path, prefix + r->base.len, n);
	for (size_t i = 0; i < n; i++)
		if (path[i] == '\0')
			path[i] = '/';
	path[n - 1] = '\0';
	path[n] = '\0';
	char *slash = strrchr(path, '/');
	/* The name is moved one byte on, so that both parts are strings. */
	char *name = slash ? slash + 1 : path;
	memmove(name + 1, name, strlen(name) + 1);
	*name = '\0';
	if (slash)
		*slash = '\0';
	*ret_name = name + 1;
	return path;
}

static struct restore_dir *dir_new(int fd, const uint8_t *prefix, size_t len, bool fresh)
{
	struct restore_dir *d = malloc(sizeof(*d) + len);
	if (!d)
		return NULL;
	*d = (struct restore_dir){.fd = fd, .fresh = fresh, .prefix_len = len};
	atomic_init(&d->refs, 1);
	if (len > 0)
		memcpy(d->prefix, prefix, len);
	d->inherits_acl = fgetxattr(fd, "system.posix_acl_default", NULL, 0) > 0;
	return d;
}

struct restore_dir *restore_dir_ref(struct restore_dir *d)
{
	atomic_fetch_add(&d->refs, 1);
	return d;
}

void restore_dir_unref(struct restore_dir *d)
{
	if (!d || atomic_fetch_sub(&d->refs, 1) != 1)
		return;
	close(d->fd);
	free(d);
}

/* Without root a folder that forbids its owner to write would stay empty; its mode is set at the end. */
static int open_existing(const struct restore *r, int parent, const char *name, bool make)
{
	struct stat st;
	int fd = restore_dir_at(parent, name);
	if (!make || r->as_root)
		return fd;
	if (fd < 0 && errno == EACCES && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
		st.st_uid == r->euid && fchmodat(parent, name, 0700, 0) == 0)
		return restore_dir_at(parent, name);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == r->euid && (st.st_mode & 0700) != 0700)
		(void)fchmod(fd, (st.st_mode & 07777) | 0700); /* if it fails, so will writing, and that is told */
	return fd;
}

/* Opens or makes `name` in parent. *ret_fresh: it was made. -1 and errno. */
static int open_or_make(const struct restore *r, int parent, const char *name, unsigned flags, bool *ret_fresh)
{
	bool make = (flags & RESTORE_DIR_MAKE) != 0;
	int fd = -1;
	*ret_fresh = false;
	errno = ENOENT;
	if (!make || !(flags & RESTORE_DIR_FRESH))
		fd = open_existing(r, parent, name, make);
	if (fd >= 0 || !make)
		return fd;
	/* Whatever is no folder, a link to one included, makes way. */
	if ((errno == ENOTDIR || errno == ELOOP) && unlinkat(parent, name, 0) != 0)
		return -1;
	if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return -1;
	if (mkdirat(parent, name, 0700) == 0)
		*ret_fresh = true;
	else if (errno != EEXIST)
		return -1;
	return restore_dir_at(parent, name);
}

static int open_failed(
	const struct restore *r, const uint8_t *prefix, size_t len, int sys_errno, bool make, struct error *err)
{
	if (!make && (sys_errno == ENOENT || sys_errno == ENOTDIR || sys_errno == ELOOP || sys_errno == EXDEV))
		return error_set(err, ERR_NOT_FOUND, "no such folder");
	char *path = hex_printable(prefix + r->base.len, len - r->base.len);
	for (char *p = path; p && (p = strstr(p, "\\x00")) != NULL;) {
		*p = '/';
		memmove(p + 1, p + 4, strlen(p + 4) + 1);
	}
	int status = error_set_errno(
		err, sys_errno, "cannot %s the folder '%s/%s'", make ? "make" : "open", r->dest, path ? path : "?");
	free(path);
	return status == ERR_NOT_FOUND ? ERR_IO : status;
}

int restore_dir_open(struct restore *r, const uint8_t *prefix, size_t len, unsigned flags, struct restore_dir **ret_dir,
	struct error *err)
{
	const char *name = NULL;
	bool fresh = r->dest_made && len == r->base.len, make = (flags & RESTORE_DIR_MAKE) != 0;
	int fd = -1;
	if (r->dest_fd < 0)
		return error_set(err, ERR_NOT_FOUND, "no such folder");
	if (len <= r->base.len) {
		fd = openat(r->dest_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else {
		char *path = split_path(r, prefix, len, &name);
		if (!path)
			return error_no_memory(err, "a path");
		int parent = open_beneath(r->dest_fd, path);
		if (parent >= 0) {
			fd = open_or_make(r, parent, name, flags, &fresh);
			int kept = errno;
			close(parent);
			errno = kept;
		}
		free(path);
	}
	if (fd < 0)
		return open_failed(r, prefix, len, errno, make, err);
	struct restore_dir *d = dir_new(fd, prefix, len, fresh);
	if (!d) {
		close(fd);
		return error_no_memory(err, "a folder");
	}
	*ret_dir = d;
	return 0;
}

bool restore_clear_way(struct restore *r, int dirfd, const char *name, const struct entry *entry)
{
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	if ((errno == ENOTEMPTY || errno == EEXIST) && !r->options->delete_extra) {
		restore_warn(
			r, entry, "left as it is: a folder that is not empty stands there; use --delete to replace it");
		return false;
	}
	if (errno == ENOTEMPTY || errno == EEXIST) {
		char *path = restore_path(r, entry->key, entry->key_len);
		restore_remove(r, dirfd, name, path ? path : name, false);
		free(path);
		struct stat st;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
			return true;
	}
	restore_warn(r, entry, "cannot replace the folder that stands there: %s", strerror(errno));
	return false;
}

void restore_temp_name(char dst[static RESTORE_TEMP_MAX])
{
	uint8_t random[9];
	char digits[2 * sizeof(random) + 1];
	host_random(random, sizeof(random));
	hex_encode(random, sizeof(random), digits);
	snprintf(dst, RESTORE_TEMP_MAX, ".drfs-%s", digits);
}
