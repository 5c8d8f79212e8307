/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backends/driver.h"
#include "backends/store_file.h"
#include "base/checked.h"
#include "base/fileio.h"

/* Opens the object afresh and offers it to the cache. */
static int open_object(struct store_file *f, const char *name, struct file_fd **ret_entry, struct error *err)
{
	uint64_t epoch = file_fds_epoch(f->fds);
	struct stat st;

	/* O_NONBLOCK: a fifo laid there by someone is refused, not waited for. */
	int fd = store_file_openat(f->root, name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return store_file_errno(f, errno, "read", name, err);
	int rc = 0;
	if (fstat(fd, &st) < 0)
		rc = store_file_errno(f, errno, "read", name, err);
	else if (!S_ISREG(st.st_mode))
		rc = store_missing(&f->base, name, err);
	if (rc == 0) {
		*ret_entry = file_fds_add(f->fds, epoch, name, fd);
		if (*ret_entry)
			return 0;
		rc = error_no_memory(err, name);
	}
	close(fd);
	return rc;
}

/*
 * The object, open, and its size. One in the cache that has lost its name was
 * deleted, by whichever process, and may have been created again with the
 * bytes it should have had.
 */
static int use_object(
	struct store_file *f, const char *name, struct file_fd **ret_entry, uint64_t *ret_size, struct error *err)
{
	struct file_fd *entry = file_fds_take(f->fds, name);
	struct stat st;
	int rc;

	if (entry && (fstat(entry->fd, &st) < 0 || st.st_nlink == 0)) {
		file_fds_drop(f->fds, name);
		file_fds_put(f->fds, entry);
		entry = NULL;
	}
	if (!entry) {
		rc = open_object(f, name, &entry, err);
		if (rc < 0)
			return rc;
		if (fstat(entry->fd, &st) < 0) {
			rc = store_file_errno(f, errno, "read", name, err);
			file_fds_put(f->fds, entry);
			return rc;
		}
	}
	*ret_entry = entry;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int file_get(struct store *store, const struct store_call *call, const char *name, uint64_t off, size_t len,
	void *dst, size_t *ret_len, struct error *err)
{
	struct store_file *f = store_file_of(store);
	struct file_fd *entry = NULL;
	uint64_t size = 0;
	size_t n = 0;

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	rc = use_object(f, name, &entry, &size, err);
	if (rc < 0)
		return rc;
	if (off < size)
		rc = fileio_pread(entry->fd, name, dst, (size_t)min_u64(len, size - off), off, &n, err);
	file_fds_put(f->fds, entry);
	if (rc < 0)
		return error_wrap(err, rc, "in '%s'", store->url);
	*ret_len = n;
	return 0;
}

static int file_stat(
	struct store *store, const struct store_call *call, const char *name, uint64_t *ret_size, struct error *err)
{
	struct store_file *f = store_file_of(store);
	struct stat st;

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	int fd = store_file_openat(f->root, name, O_PATH | O_NOFOLLOW, 0);
	if (fd < 0)
		return store_file_errno(f, errno, "look at", name, err);
	if (fstat(fd, &st) < 0)
		rc = store_file_errno(f, errno, "look at", name, err);
	else if (!S_ISREG(st.st_mode))
		rc = store_missing(store, name, err);
	close(fd);
	if (rc == 0)
		*ret_size = (uint64_t)st.st_size;
	return rc;
}

/* Opens the folder above `name` as it is. -1 and errno when it is not there. */
static int open_above(const struct store_file *f, const char *name, const char **ret_last)
{
	const char *slash = strrchr(name, '/');
	char folder[STORE_NAME_MAX + 1] = ".";

	if (slash) {
		memcpy(folder, name, (size_t)(slash - name));
		folder[slash - name] = '\0';
	}
	*ret_last = slash ? slash + 1 : name;
	return store_file_openat(f->root, folder, O_RDONLY | O_DIRECTORY, 0);
}

static int file_del(struct store *store, const struct store_call *call, const char *name, struct error *err)
{
	struct store_file *f = store_file_of(store);
	const char *last;

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	int dir = open_above(f, name, &last);
	if (dir < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (dir < 0)
		return store_file_errno(f, errno, "delete", name, err);
	if (unlinkat(dir, last, 0) == 0)
		rc = store_file_sync(f, dir, name, err);
	else if (errno != ENOENT && errno != EISDIR) /* a folder is no object, so the object is not there */
		rc = store_file_errno(f, errno, "delete", name, err);
	close(dir);
	file_fds_drop(f->fds, name);
	return rc;
}

static int file_free_space(struct store *store, uint64_t *ret_bytes, struct error *err)
{
	struct statvfs fs;

	if (fstatvfs(store_file_of(store)->root, &fs) < 0)
		return error_set_errno(err, errno, "cannot tell the free space of '%s'", store->url);
	*ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

static void file_close(struct store *store)
{
	struct store_file *f = store_file_of(store);

	file_fds_free(f->fds);
	store_file_folders_release(f);
	pthread_mutex_destroy(&f->lock);
	if (f->root >= 0)
		close(f->root);
	store_release(store);
	free(f);
}

static const struct store_ops file_ops = {
	.get = file_get,
	.put = store_file_put,
	.del = file_del,
	.list = store_file_list,
	.stat = file_stat,
	.tmpfile = store_file_tmpfile,
	.free_space = file_free_space,
	.close = file_close,
};

/* Makes the folder `path` has no slash at the end of, and its name durable. One that is there is left as it is. */
static int make_folder(const char *path, struct error *err)
{
	if (mkdir(path, 0700) < 0) {
		if (errno == EEXIST)
			return 0;
		if (errno == ENOENT || errno == ENOTDIR) {
			const char *slash = strrchr(path, '/');

			return error_set(err, ERR_NO_REPO,
				"cannot make the folder '%s': '%.*s' is not there or no folder, make it first", path,
				slash ? (int)(slash - path) : 1, slash ? path : ".");
		}
		return error_set_errno(err, errno, "cannot make the folder '%s'", path);
	}
	char *above = fileio_format("%s/..", path);
	if (!above)
		return error_no_memory(err, path);
	int rc = fileio_fsync_dir(above, err);
	free(above);
	/* A folder that may be searched but not read cannot be fsynced; that is no reason to refuse. */
	if (rc == ERR_DENIED) {
		if (err)
			error_clear(err);
		rc = 0;
	}
	return rc;
}

/* Sets root, url and local_path. */
static int open_folder(struct store_file *f, const char *path, struct error *err)
{
	struct stat st;

	f->base.local_path = realpath(path, NULL);
	if (!f->base.local_path || stat(f->base.local_path, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return error_set(err, ERR_NO_REPO, "there is no folder '%s'", path);
		return error_set_errno(err, errno, "cannot open the folder '%s'", path);
	}
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_NO_REPO, "'%s' is no folder", path);
	f->root = open(f->base.local_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->root < 0)
		return error_set_errno(err, errno, "cannot open the folder '%s'", path);
	f->base.url = strdup(f->base.local_path);
	return f->base.url ? 0 : error_no_memory(err, path);
}

/* A copy of `path` without slashes at its end, which is how mkdir(2) and messages want it. */
static char *trimmed(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

int store_file_open(const char *path, const struct store_options *options, struct store **ret_store, struct error *err)
{
	struct store_file *f = calloc(1, sizeof(*f));
	char *folder = trimmed(path);
	int rc = 0;

	if (!f || !folder) {
		free(f);
		free(folder);
		return error_no_memory(err, path);
	}
	f->base.ops = &file_ops;
	f->base.features = STORE_CREATE_ONLY | STORE_LIST_AFTER_PUT | STORE_LOCAL;
	f->base.parallel = 4;
	f->root = -1;
	pthread_mutex_init(&f->lock, NULL);
	f->fds = file_fds_new();
	if (!f->fds)
		rc = error_no_memory(err, path);
	if (rc == 0 && options && options->create)
		rc = make_folder(folder, err);
	if (rc == 0)
		rc = open_folder(f, folder, err);
	free(folder);
	if (rc < 0) {
		file_close(&f->base);
		return rc;
	}
	*ret_store = &f->base;
	return 0;
}
