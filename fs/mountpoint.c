/* SPDX-License-Identifier: MIT */
#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/fileio.h"
#include "fs/detach.h"
#include "fs/mountinfo.h"

char *mountpoint_canonical(const char *path)
{
	char *whole = realpath(path, NULL);
	/* A dead mount point cannot be asked, nor can another user's. */
	if (whole != NULL || (errno != ENOTCONN && errno != ECONNABORTED && errno != EACCES))
		return whole;
	char *copy = strdup(path);
	if (copy == NULL)
		return NULL;
	for (size_t len = strlen(copy); len > 1 && copy[len - 1] == '/'; len--)
		copy[len - 1] = '\0';
	char *slash = strrchr(copy, '/');
	const char *base = slash != NULL ? slash + 1 : copy;
	char *folder = slash == NULL ? realpath(".", NULL) : NULL;
	if (slash != NULL) {
		*slash = '\0';
		folder = realpath(slash == copy ? "/" : copy, NULL);
	}
	if (folder != NULL)
		whole = fileio_format("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, base);
	free(folder);
	free(copy);
	return whole;
}

/* The last mount at a place is the one that is seen. */
struct kind_search {
	const char *path;
	enum mountpoint_kind kind;
};

static int match_kind(void *arg, const struct mountinfo_row *row)
{
	struct kind_search *s = arg;
	if (strcmp(row->mountpoint, s->path) == 0)
		s->kind = mountinfo_is_drfs(row) ? MOUNTPOINT_DRFS : MOUNTPOINT_OTHER;
	return 0;
}

/* By statfs, which is always sent: stat() is answered from the kernel's cache for a second after the death. */
static bool is_dead(const char *path)
{
	struct statfs st;
	/* ECONNABORTED is what a request meets that was under way when the process ended. */
	return statfs(path, &st) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

static int kind_of(const char *whole, enum mountpoint_kind *ret, struct error *err)
{
	struct kind_search search = {.path = whole, .kind = MOUNTPOINT_NONE};
	int rc = mountinfo_each(match_kind, &search, err);
	if (rc < 0)
		return rc;
	if (search.kind == MOUNTPOINT_DRFS && is_dead(whole))
		search.kind = MOUNTPOINT_DRFS_DEAD;
	*ret = search.kind;
	return 0;
}

int mountpoint_kind(const char *path, enum mountpoint_kind *ret, struct error *err)
{
	char *whole = mountpoint_canonical(path);
	if (whole == NULL)
		return error_set_errno(err, errno, "cannot find '%s'", path);
	int rc = kind_of(whole, ret, err);
	free(whole);
	return rc;
}

struct each_search {
	int (*fn)(void *arg, const char *mountpoint);
	void *arg;
};

static int match_each(void *arg, const struct mountinfo_row *row)
{
	struct each_search *s = arg;
	return mountinfo_is_drfs(row) ? s->fn(s->arg, row->mountpoint) : 0;
}

int mountpoint_each(int (*fn)(void *arg, const char *mountpoint), void *arg, struct error *err)
{
	struct each_search search = {.fn = fn, .arg = arg};
	return mountinfo_each(match_each, &search, err);
}

/* `path` is `folder` or lies in it. Both canonical. */
static bool lies_in(const char *path, const char *folder)
{
	size_t len = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
	return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static int check_apart(const char *whole, const char *repo_path, struct error *err)
{
	char *repo = repo_path != NULL ? realpath(repo_path, NULL) : NULL;
	int rc = 0;
	if (repo != NULL && (lies_in(whole, repo) || lies_in(repo, whole)))
		rc = error_set(err, ERR_USAGE,
			"cannot mount at '%s': the repository itself is in '%s'; choose a folder apart from it", whole,
			repo);
	free(repo);
	return rc;
}

static int check_empty(const char *whole, struct error *err)
{
	DIR *dir = opendir(whole);
	bool empty = true;
	if (dir == NULL && errno == ENOTDIR)
		return error_set(err, ERR_USAGE, "cannot mount at '%s': it is not a folder", whole);
	if (dir == NULL)
		return error_set_errno(err, errno, "cannot open the mount point '%s'", whole);
	for (struct dirent *d = readdir(dir); d != NULL && empty; d = readdir(dir))
		empty = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0;
	closedir(dir);
	return empty ? 0
		     : error_set(
			       err, ERR_USAGE, "cannot mount at '%s': it is not empty; choose an empty folder", whole);
}

/* Whatever is mounted there already. A dead mount of ours is taken away. */
static int check_mounted(const char *whole, struct error *err)
{
	enum mountpoint_kind kind = MOUNTPOINT_NONE;
	int rc = kind_of(whole, &kind, err);
	if (rc < 0)
		return rc;
	if (kind == MOUNTPOINT_DRFS)
		return error_set(
			err, ERR_BUSY, "'%s' is mounted already; unmount it first: drfs umount '%s'", whole, whole);
	if (kind == MOUNTPOINT_DRFS_DEAD)
		return detach_mount(whole, true, err);
	if (is_dead(whole))
		return error_set(err, ERR_BUSY,
			"at '%s' there is a dead mount of another program; take it away first: umount -l '%s'", whole,
			whole);
	return 0;
}

int mountpoint_check(const char *path, const char *repo_path, char **ret_canonical, struct error *err)
{
	char *whole = mountpoint_canonical(path);
	if (whole == NULL && (errno == ENOENT || errno == ENOTDIR))
		return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_USAGE,
			errno == ENOENT ? "there is no folder '%s' to mount at; make it first: mkdir -p '%s'"
					: "cannot mount at '%s': a part of that path is not a folder%.0s",
			path, path);
	if (whole == NULL)
		return error_set_errno(err, errno, "cannot find the mount point '%s'", path);
	int rc = check_mounted(whole, err);
	if (rc == 0)
		rc = check_apart(whole, repo_path, err);
	if (rc == 0)
		rc = check_empty(whole, err);
	if (rc == 0)
		*ret_canonical = whole;
	else
		free(whole);
	return rc;
}
