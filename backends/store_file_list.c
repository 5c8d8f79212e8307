/* SPDX-License-Identifier: MIT */

/*
 * Listing of the file store, in the order of whole names. In one folder the
 * file 'x' sorts as "x" and the folder 'x' as "x/", since that is how all
 * names in it begin: so "a-b" comes before "a/b", and "a/b" before "a0".
 * Each folder is read, sorted, and walked before the next one: what is held
 * in memory is the names of the folders on the way down.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/driver.h"
#include "backends/store_file.h"

/* One listing under way. */
struct listing {
	struct store_file *f;
	const struct store_call *call;
	const char *prefix;
	const char *after;
	store_list_fn *fn;
	void *arg;
	char path[STORE_NAME_MAX + 2]; /* full name of what is looked at; a folder's ends in '/' */
};

/* The names of one folder, sorted; folders' end in '/'. */
struct level {
	struct buf text;    /* the names, each with its NUL */
	const char **names; /* owned; each points into text */
	size_t count;
};

static void level_release(struct level *level)
{
	buf_release(&level->text);
	free(level->names);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Whether the object or folder (ending in '/') at l->path is, or may hold, what was asked for. */
static bool wanted(const struct listing *l)
{
	size_t len = strlen(l->path);
	size_t prefix_len = strlen(l->prefix);
	bool folder = len > 0 && l->path[len - 1] == '/';

	if (strncmp(l->path, l->prefix, len < prefix_len && folder ? len : prefix_len) != 0)
		return false;
	/* All names in a folder begin with its own: they are past `after` when it is, or when `after` lies in it. */
	return folder ? strncmp(l->path, l->after, len) >= 0 : strcmp(l->path, l->after) > 0;
}

enum kind { KIND_OTHER, KIND_OBJECT, KIND_FOLDER, KIND_LINK };

static enum kind kind_of(int dir, const struct dirent *entry)
{
	unsigned type = entry->d_type;
	struct stat st;

	if (type == DT_UNKNOWN && fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		type = IFTODT(st.st_mode);
	switch (type) {
	case DT_REG:
		return KIND_OBJECT;
	case DT_DIR:
		return KIND_FOLDER;
	case DT_LNK:
		return KIND_LINK;
	default:
		return KIND_OTHER;
	}
}

/* Adds one entry of the folder l->path[0, len) to the level, where it is one of ours and wanted. */
static int add_entry(
	struct listing *l, size_t len, int dir, const struct dirent *entry, struct level *level, struct error *err)
{
	size_t n = strlen(entry->d_name);

	/* Temporary files, lost+found and the like are no objects. */
	if (len + n > STORE_NAME_MAX || !store_name_ok(entry->d_name))
		return 0;
	enum kind kind = kind_of(dir, entry);
	if (kind == KIND_OTHER)
		return 0;
	memcpy(l->path + len, entry->d_name, n);
	if (kind == KIND_FOLDER)
		l->path[len + n++] = '/';
	l->path[len + n] = '\0';
	if (!wanted(l))
		return 0;
	if (kind == KIND_LINK)
		return store_file_errno(l->f, ELOOP, "list", l->path, err);
	buf_put(&level->text, l->path + len, n + 1);
	level->count++;
	return 0;
}

static int sort_level(struct level *level, struct error *err)
{
	const char *at = (const char *)level->text.data;

	level->names = calloc(level->count ? level->count : 1, sizeof(*level->names));
	if (!level->names || buf_failed(&level->text))
		return error_no_memory(err, "the names of a folder");
	for (size_t i = 0; i < level->count; i++) {
		level->names[i] = at;
		at += strlen(at) + 1;
	}
	qsort(level->names, level->count, sizeof(*level->names), compare);
	return 0;
}

/* Reads the folder that l->path[0, len) names. */
static int read_level(struct listing *l, size_t len, DIR *dir, struct level *level, struct error *err)
{
	int rc = 0;

	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		rc = add_entry(l, len, dirfd(dir), entry, level, err);
		if (rc < 0)
			return rc;
	}
	l->path[len] = '\0';
	if (errno != 0)
		return store_file_errno(l->f, errno, "list", l->path, err);
	return sort_level(level, err);
}

static int list_folder(struct listing *l, size_t len, struct error *err);

/* Hands on, or goes down into, each entry of a sorted level. */
static int walk_level(struct listing *l, size_t len, int dir, const struct level *level, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < level->count; i++) {
		size_t n = strlen(level->names[i]);
		struct stat st;

		memcpy(l->path + len, level->names[i], n + 1);
		rc = store_go_on(l->call, l->path, err);
		if (rc < 0)
			break;
		if (level->names[i][n - 1] == '/')
			rc = list_folder(l, len + n, err);
		else if (fstatat(dir, level->names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			rc = l->fn(l->arg, l->path, (uint64_t)st.st_size, err);
		else if (errno != ENOENT) /* deleted meanwhile: it is simply not there */
			rc = store_file_errno(l->f, errno, "list", l->path, err);
	}
	return rc;
}

/* Lists below the folder l->path[0, len), which is "" or ends in '/'. One that is not there holds nothing. */
static int list_folder(struct listing *l, size_t len, struct error *err)
{
	struct level level = {0};

	int fd = store_file_openat(l->f->root, len ? l->path : ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = store_file_errno(l->f, errno, "list", l->path, err);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	int rc = read_level(l, len, dir, &level, err);
	if (rc == 0)
		rc = walk_level(l, len, fd, &level, err);
	closedir(dir);
	level_release(&level);
	return rc;
}

int store_file_list(struct store *store, const struct store_call *call, const char *prefix, const char *after,
	store_list_fn *fn, void *arg, struct error *err)
{
	struct listing l = {
		.f = store_file_of(store), .call = call, .prefix = prefix, .after = after, .fn = fn, .arg = arg};
	const char *slash = strrchr(prefix, '/');
	size_t len = slash ? (size_t)(slash - prefix) + 1 : 0;

	int rc = store_begin(store, call, NULL, err);
	if (rc < 0)
		return rc;
	/* Everything that begins so lies in the folder that the prefix names. */
	if (len > STORE_NAME_MAX)
		return 0;
	if (len > 0) {
		memcpy(l.path, prefix, len - 1);
		if (!store_name_ok(l.path)) /* no name can begin so */
			return 0;
		l.path[len - 1] = '/';
	}
	return list_folder(&l, len, err);
}
