/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/dirlist.h"
#include "archive/restore_impl.h"
#include "base/fileio.h"
#include "base/hex.h"

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* All that is in a folder. It may be read again and again: what is taken away while it is read may hide other names. */
static uint64_t remove_inside(struct restore *r, int dirfd, const char *path, bool measure)
{
	uint64_t bytes = 0;
	int fd = restore_dir_at(dirfd, ".");
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		restore_warn_path(r, path, "cannot read the folder: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return 0;
	}
	for (struct dirent *d; (d = readdir(dir)) != NULL && restore_stopped(r) == 0;) {
		if (is_dots(d->d_name))
			continue;
		char *shown = hex_printable(d->d_name, strlen(d->d_name));
		char *below = fileio_format("%s/%s", path, shown ? shown : "?");
		bytes += restore_remove(r, dirfd, d->d_name, below ? below : path, measure);
		free(below);
		free(shown);
	}
	closedir(dir);
	return bytes;
}

static uint64_t remove_folder(struct restore *r, int dirfd, const char *name, const char *path, bool measure)
{
	struct stat st;
	uint64_t bytes = 0;
	int fd = restore_dir_at(dirfd, name);
	if (fd < 0 || fstat(fd, &st) != 0) {
		restore_warn_path(r, path, "cannot open the folder: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return 0;
	}
	if (st.st_dev != r->dest_dev)
		restore_warn_path(r, path, "left alone: another file system is mounted there");
	else
		bytes = remove_inside(r, fd, path, measure);
	close(fd);
	return bytes;
}

uint64_t restore_remove(struct restore *r, int dirfd, const char *name, const char *path, bool measure)
{
	struct stat st;
	uint64_t bytes = 0;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	bool is_dir = S_ISDIR(st.st_mode);
	if (is_dir)
		bytes = remove_folder(r, dirfd, name, path, measure);
	else if (st.st_nlink == 1)
		bytes = (uint64_t)st.st_blocks * 512;
	if (measure)
		return bytes;
	if (r->options->dry_run || unlinkat(dirfd, name, is_dir ? AT_REMOVEDIR : 0) == 0) {
		atomic_fetch_add(&r->deleted, 1);
		/* As when it is written: what it holds, not the blocks that it gives back. */
		restore_event_path(r, "delete", path, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
		return bytes;
	}
	if (errno != ENOTEMPTY && errno != EEXIST)
		restore_warn_path(r, path, "cannot be deleted: %s", strerror(errno));
	return is_dir ? bytes : 0;
}

/* Where the cursor stands in comparison to the name, within the folder whose prefix (with its 00) is given. */
static int compare_name(const struct tree_cursor *c, const struct buf *inside, const char *name)
{
	const struct entry *e = tree_cursor_entry(c);
	if (!e || !restore_begins(e->key, e->key_len, inside))
		return 1;
	size_t own = e->key_len - inside->len, len = strlen(name), n = own < len ? own : len;
	int order = memcmp(e->key + inside->len, name, n);
	return order != 0 ? order : own < len ? -1 : own > len;
}

static char *path_in(const struct restore *r, const struct buf *inside, const char *name)
{
	struct buf key = {0};
	buf_put(&key, inside->data, inside->len);
	buf_put(&key, name, strlen(name));
	char *path = buf_failed(&key) ? NULL : restore_path(r, key.data, key.len);
	buf_release(&key);
	return path;
}

/* Both sides are in bytewise order of names. */
static int merge_folder(struct restore *r, struct restore_dir *dir, struct tree_cursor *c, const struct buf *inside,
	bool measure, uint64_t *bytes, struct error *err)
{
	struct dirlist *list = NULL;
	const struct dirlist_entry *e = NULL;
	int status = dirlist_read(dir->fd, r->dest, &list, err);
	while (status == 0) {
		status = dirlist_next(list, &e, err);
		if (status != 0 || !e || (status = restore_stopped(r)) != 0)
			break;
		int order;
		while ((order = compare_name(c, inside, e->name)) < 0) {
			status = tree_cursor_next(c, err);
			if (status != 0 && tree_cursor_entry(c))
				break;
			if (status != 0 && status != ERR_NOT_FOUND)
				break;
			status = 0;
		}
		if (status != 0 || order == 0)
			continue;
		char *path = path_in(r, inside, e->name);
		*bytes += restore_remove(r, dir->fd, e->name, path ? path : e->name, measure);
		free(path);
	}
	dirlist_free(list);
	return status;
}

/* One folder of the snapshot, if it is there at DEST. */
static int delete_in(struct restore *r, const uint8_t *prefix, size_t len, bool measure, uint64_t *bytes,
	bool *ret_there, struct error *err)
{
	struct error why = ERROR_INIT;
	struct restore_dir *dir = NULL;
	struct tree_cursor *c = NULL;
	struct buf inside = {0};
	int status = restore_dir_open(r, prefix, len, 0, &dir, &why);
	*ret_there = status == 0;
	if (status == ERR_NO_MEMORY) {
		if (err)
			*err = why;
		return status;
	}
	if (status != 0)
		return 0; /* not there; or not to be opened, which writing will tell */
	buf_put(&inside, prefix, len);
	buf_put_u8(&inside, 0);
	status = buf_failed(&inside) ? error_no_memory(err, "a path") : 0;
	if (status == 0)
		status = tree_cursor_new_at(r->nodes, &r->snapshot->root, inside.data, inside.len, &c, err);
	if (status == 0)
		status = merge_folder(r, dir, c, &inside, measure, bytes, err);
	tree_cursor_free(c);
	buf_release(&inside);
	restore_dir_unref(dir);
	return status;
}

struct deleting {
	struct buf missing; /* everything below this prefix is not there */
	bool missing_set;
	struct buf prefix;
};

/* A folder's entry: looks into it. */
static int delete_entry(
	struct restore *r, struct deleting *d, const struct entry *e, bool measure, uint64_t *bytes, struct error *err)
{
	bool there = false;
	if (!S_ISDIR(e->mode) || (d->missing_set && restore_begins(e->key, e->key_len, &d->missing)))
		return 0;
	d->missing_set = false;
	buf_clear(&d->prefix);
	if (!entry_key_to_prefix(&d->prefix, e->key, e->key_len) || buf_failed(&d->prefix))
		return error_no_memory(err, "a path");
	int status = delete_in(r, d->prefix.data, d->prefix.len, measure, bytes, &there, err);
	if (status == 0 && !there) {
		buf_clear(&d->missing);
		buf_put(&d->missing, d->prefix.data, d->prefix.len);
		d->missing_set = !buf_failed(&d->missing);
	}
	return status;
}

int restore_delete_extra(struct restore *r, bool measure, uint64_t *ret_bytes, struct error *err)
{
	struct deleting d = {0};
	struct tree_cursor *c = NULL;
	struct error end = ERROR_INIT;
	uint64_t bytes = 0;
	bool there = false;
	if (r->dest_fd < 0 || r->dest_made)
		return 0;
	int status = delete_in(r, r->base.data, r->base.len, measure, &bytes, &there, err);
	if (status == 0)
		status = tree_cursor_new_at(r->nodes, &r->snapshot->root, r->base.data, r->base.len, &c, err);
	while (status == 0) {
		const struct entry *e = tree_cursor_entry(c);
		if (!e || !restore_begins(e->key, e->key_len, &r->base))
			break;
		status = restore_stopped(r);
		if (status == 0)
			status = delete_entry(r, &d, e, measure, &bytes, err);
		if (status != 0)
			break;
		status = tree_cursor_next(c, &end);
		if (status != 0 && status != ERR_NOT_FOUND && err)
			*err = end;
	}
	if (status == ERR_NOT_FOUND)
		status = 0;
	tree_cursor_free(c);
	buf_release(&d.missing);
	buf_release(&d.prefix);
	if (status == 0 && ret_bytes)
		*ret_bytes = bytes;
	return status;
}
