/* SPDX-License-Identifier: MIT */
#include "tools/skips.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fileio.h"
#include "fs/mountpoint.h"

static int add(struct skips *s, const char *path, const char *what)
{
	char **bigger = reallocarray(s->list, s->count + 1, sizeof(char *));

	if (bigger == NULL)
		return -1;
	s->list = bigger;
	const char **names = reallocarray(s->what, s->count + 1, sizeof(char *));
	if (names == NULL)
		return -1;
	s->what = names;
	s->what[s->count] = what;
	s->list[s->count] = strdup(path);
	return s->list[s->count] == NULL ? -1 : (s->count++, 0);
}

/* A folder that may not exist, taken over. */
static int add_folder(struct skips *s, char *path, const char *what)
{
	char real[PATH_MAX];
	int r = path != NULL && realpath(path, real) != NULL ? add(s, real, what) : 0;

	free(path);
	return r;
}

static const char mounted[] = "a mount of drfs";

static int add_mount(void *arg, const char *mountpoint)
{
	return add(arg, mountpoint, mounted);
}

int skips_collect(struct cli *cli, struct skips *ret, struct error *err)
{
	const char *spool = cli->conf == NULL ? NULL : cli->conf->spool_dir;
	int r = add_folder(ret, fileio_cache_dir(), "the cache of drfs");

	if (r == 0)
		r = add_folder(ret, spool != NULL ? strdup(spool) : fileio_state_dir(), "the state folder of drfs");
	if (r == 0 && cli->repo->store->local_path != NULL)
		r = add(ret, cli->repo->store->local_path, "the repository itself");
	if (r == 0)
		r = mountpoint_each(add_mount, ret, NULL);
	if (r < 0) {
		skips_release(ret);
		return error_no_memory(err, "folders to skip");
	}
	return 0;
}

void skips_release(struct skips *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->list[i]);
	free(s->list);
	free(s->what);
	*s = (struct skips){0};
}

/* What a source stands for, as the kernel names it. A symlink without a slash behind it is saved as what it is. */
static char *whole_path(const char *path)
{
	const char *slash = strrchr(path, '/'), *last = slash == NULL ? path : slash + 1;
	struct stat st;

	if (*last == '\0' || lstat(path, &st) != 0 || !S_ISLNK(st.st_mode))
		return mountpoint_canonical(path);
	char *above = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
	char *folder = above == NULL ? NULL : realpath(above, NULL);
	char *whole = folder == NULL ? NULL : fileio_format("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, last);
	free(above);
	free(folder);
	return whole;
}

/* The same folder by another path, as a bind mount makes. The kernel's cache is enough: no dead mount is waited for. */
static bool same_place(const char *a, const char *b)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
	struct statx x, y;

	return statx(AT_FDCWD, a, flags, STATX_INO, &x) == 0 && statx(AT_FDCWD, b, flags, STATX_INO, &y) == 0 &&
	       x.stx_ino == y.stx_ino && x.stx_dev_major == y.stx_dev_major && x.stx_dev_minor == y.stx_dev_minor;
}

/* The folder to skip that `path` is or lies in; -1: in none. */
static ssize_t skip_above(const struct skips *s, const char *path)
{
	for (size_t i = 0; i < s->count; i++) {
		size_t n = strlen(s->list[i]);
		if (strncmp(path, s->list[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
			return (ssize_t)i;
	}
	for (size_t i = 0; i < s->count; i++)
		if (same_place(path, s->list[i]))
			return (ssize_t)i;
	return -1;
}

/* Another repository's snapshots may be saved on purpose, by a path inside their mount. */
static bool is_foreign_snapshot(const struct cli *cli, const char *path)
{
	struct mountpoint_ref ref = {0};
	bool foreign = mountpoint_ref(path, &ref, NULL) == 0 && ref.dataset[0] != '\0' &&
		       memcmp(ref.repository, cli->repo->config.repository, FORMAT_REPO_LEN) != 0;

	mountpoint_ref_release(&ref);
	return foreign;
}

int skips_judge_source(struct cli *cli, const struct skips *s, const char *path, struct error *err)
{
	char *whole = whole_path(path); /* one that is not there is told by who opens it */
	ssize_t at = whole == NULL ? -1 : skip_above(s, whole);
	int r = 0;

	if (at >= 0 && !(s->what[at] == mounted && is_foreign_snapshot(cli, path)))
		r = error_set(err, ERR_USAGE,
			"'%s' is not saved: it is or lies in '%s', which is %s; name another source", path, s->list[at],
			s->what[at]);
	free(whole);
	return r;
}
