/* SPDX-License-Identifier: MIT */

/*
 * Folders of the file store. An object survives a power cut only when the
 * names of its folders do, and a folder found there may have been made a
 * moment ago by another thread or process that has not yet come to its fsync.
 * So the first time this process stores below a folder, it fsyncs the one
 * above it, and remembers all that this made durable.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/store_file.h"
#include "base/fileio.h"

enum {
	FOLDER_FLAGS = O_RDONLY | O_DIRECTORY,
	/* Folders remembered: names of at most 200 bytes. When it is full, it is begun anew, at the cost of fsyncs. */
	DURABLE_MAX = 4096,
};

int store_file_openat(int at, const char *path, int flags, mode_t mode)
{
	/* openat2() refuses a mode where none is asked for; O_TMPFILE contains O_DIRECTORY's bit. */
	bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = makes ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	do
		fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	/* Old kernels and the filters of some containers do not know it; then only the last component is watched. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
		do
			fd = openat(at, path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
		while (fd < 0 && errno == EINTR);
	}
	return fd;
}

int store_file_errno(const struct store_file *f, int e, const char *verb, const char *name, struct error *err)
{
	if (e == ENOENT || e == ENOTDIR)
		return error_set(
			err, ERR_NOT_FOUND, "cannot %s '%s': there is no such object in '%s'", verb, name, f->base.url);
	if (e == ELOOP)
		return error_set(err, ERR_IO,
			"cannot %s '%s': it is or lies behind a symbolic link in '%s', where none may be", verb, name,
			f->base.url);
	return error_set_errno(err, e, "cannot %s '%s' in '%s'", verb, name, f->base.url);
}

int store_file_sync(const struct store_file *f, int fd, const char *name, struct error *err)
{
	if (fsync(fd) == 0 || errno == EINVAL || errno == EROFS)
		return 0;
	return error_set_errno(err, errno, "cannot make the folder of '%s' in '%s' durable", name, f->base.url);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool is_durable(struct store_file *f, const char *folder)
{
	pthread_mutex_lock(&f->lock);
	bool found = tfind(folder, &f->durable, compare_names) != NULL;
	pthread_mutex_unlock(&f->lock);
	return found;
}

/* The lock is held. */
static void forget_all(struct store_file *f)
{
	tdestroy(f->durable, free);
	f->durable = NULL;
	f->durable_count = 0;
}

/* Notes a folder as durable. Without memory it is not noted, which costs an fsync later and nothing else. */
static void note_durable(struct store_file *f, const char *folder)
{
	char *key = strdup(folder);

	if (!key)
		return;
	pthread_mutex_lock(&f->lock);
	if (f->durable_count >= DURABLE_MAX)
		forget_all(f);
	char **there = tsearch(key, &f->durable, compare_names);
	if (there && *there == key) {
		f->durable_count++;
		key = NULL;
	}
	pthread_mutex_unlock(&f->lock);
	free(key);
}

void store_file_folders_release(struct store_file *f)
{
	pthread_mutex_lock(&f->lock);
	forget_all(f);
	pthread_mutex_unlock(&f->lock);
}

/* The folders in `fd`, which is `at` below the root ("" the root itself), as full names joined by NULs, to *ret. */
static int folders_in(
	const struct store_file *f, int fd, const char *at, const char *name, struct buf *ret, struct error *err)
{
	int copy = store_file_openat(fd, ".", FOLDER_FLAGS, 0);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!dir) {
		int rc = store_file_errno(f, errno, "read the folders above", name, err);

		if (copy >= 0)
			close(copy);
		return rc;
	}
	while ((entry = readdir(dir))) {
		if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) || !store_name_ok(entry->d_name))
			continue;
		if (at[0]) {
			buf_put(ret, at, strlen(at));
			buf_put_u8(ret, '/');
		}
		buf_put(ret, entry->d_name, strlen(entry->d_name) + 1);
	}
	closedir(dir);
	return buf_failed(ret) ? error_no_memory(err, "a list of folders") : 0;
}

/* Makes the names of all folders in `fd`, which is `at` below the root, durable. */
static int vouch(struct store_file *f, int fd, const char *at, const char *name, struct error *err)
{
	struct buf names = {0};

	/* Read first, then fsync: what was read is then covered. */
	int rc = folders_in(f, fd, at, name, &names, err);
	if (rc == 0)
		rc = store_file_sync(f, fd, name, err);
	for (size_t i = 0; rc == 0 && i < names.len; i += strlen((char *)names.data + i) + 1)
		note_durable(f, (char *)names.data + i);
	buf_release(&names);
	return rc;
}

/* Opens `last` in `at`, making it where it is missing. */
static int open_or_make(
	const struct store_file *f, int at, const char *last, const char *name, int *ret_fd, struct error *err)
{
	int fd = store_file_openat(at, last, FOLDER_FLAGS, 0);

	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(at, last, 0700) < 0 && errno != EEXIST)
			return error_set_errno(err, errno, "cannot make the folder of '%s' in '%s'", name, f->base.url);
		fd = store_file_openat(at, last, FOLDER_FLAGS, 0);
	}
	if (fd < 0 && errno == ENOTDIR)
		return error_set(err, ERR_EXISTS, "cannot store '%s' in '%s': an object has the name of its folder",
			name, f->base.url);
	if (fd < 0)
		return store_file_errno(f, errno, "open the folder of", name, err);
	*ret_fd = fd;
	return 0;
}

/* Goes down `folder` component by component from the open root; closes `fd` or hands it back in *ret_fd. */
static int walk(struct store_file *f, int fd, char *folder, const char *name, int *ret_fd, struct error *err)
{
	char *slash = NULL;

	for (char *last = folder;; last = slash + 1) {
		int next = -1;

		slash = strchr(last, '/');
		if (slash)
			*slash = '\0';
		int rc = open_or_make(f, fd, last, name, &next, err);
		if (rc == 0 && !is_durable(f, folder)) {
			char above[STORE_NAME_MAX + 1];

			/* The part before `last`, without its slash. */
			size_t len = last == folder ? 0 : (size_t)(last - folder) - 1;
			memcpy(above, folder, len);
			above[len] = '\0';
			rc = vouch(f, fd, above, name, err);
			if (rc < 0)
				close(next);
		}
		close(fd);
		if (rc < 0)
			return rc;
		fd = next;
		if (!slash)
			break;
		*slash = '/';
	}
	*ret_fd = fd;
	return 0;
}

int store_file_folder(struct store_file *f, const char *name, int *ret_fd, const char **ret_base, struct error *err)
{
	const char *slash = strrchr(name, '/');
	char folder[STORE_NAME_MAX + 1];
	int fd;
	int rc = 0;

	size_t len = slash ? (size_t)(slash - name) : 0;
	memcpy(folder, name, len);
	folder[len] = '\0';
	if (len > 0 && is_durable(f, folder)) {
		fd = store_file_openat(f->root, folder, FOLDER_FLAGS, 0);
		if (fd >= 0)
			goto out;
		/* Someone removed it; then nothing that is remembered can be relied on. */
		store_file_folders_release(f);
	}
	fd = store_file_openat(f->root, ".", FOLDER_FLAGS, 0);
	if (fd < 0)
		return store_file_errno(f, errno, "open the folder of", name, err);
	if (len > 0)
		rc = walk(f, fd, folder, name, &fd, err);
out:
	if (rc < 0)
		return rc;
	*ret_fd = fd;
	*ret_base = slash ? slash + 1 : name;
	return 0;
}
