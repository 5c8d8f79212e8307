/* SPDX-License-Identifier: MIT */
/* Why a path of this machine names nothing in the archive, in words that help on. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mountpoint.h"
#include "tools/source.h"

enum { TEXT_MAX = 600 };

bool source_is_dead(const struct error *why)
{
	return why->sys_errno == ENOTCONN || why->sys_errno == ECONNABORTED;
}

/* The beginning of the path where a process is missing: what is above it answers, what is below does not. */
static int tell_dead(const char *word, struct error *err)
{
	char *mnt = strdup(word);
	enum mountpoint_kind kind = MOUNTPOINT_NONE;

	for (char *slash = mnt; slash != NULL && kind != MOUNTPOINT_DRFS_DEAD; slash = strchr(slash + 1, '/')) {
		size_t len = (size_t)(slash - mnt);
		mnt[len] = '\0';
		if (len > 0 && mountpoint_kind(mnt, &kind, NULL) == 0 && kind == MOUNTPOINT_DRFS_DEAD)
			break;
		mnt[len] = word[len];
	}
	int r = mnt == NULL
			? error_no_memory(err, "a path")
			: error_set(err, ERR_IO,
				  "the mount at '%s' has lost its process: mount it again, by 'drfs mount %s', or name "
				  "DATASET/SNAPSHOT/PATH",
				  mnt, mnt);
	free(mnt);
	return r;
}

struct mount_search {
	char *path;
	char *found;
};

static int keep_longest(void *arg, const char *mountpoint)
{
	struct mount_search *s = arg;
	size_t len = strlen(mountpoint);

	if (strncmp(s->path, mountpoint, len) == 0 && (s->path[len] == '/' || s->path[len] == '\0') &&
		(s->found == NULL || len > strlen(s->found))) {
		free(s->found);
		s->found = strdup(mountpoint);
	}
	return 0;
}

static int is_name(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* MNT/at/TIME shows many datasets, each in a snapshot of its own. */
static int tell_restore_point(const char *point, struct error *err)
{
	char text[TEXT_MAX] = "";
	struct dirent **list = NULL;
	int count = scandir(point, &list, is_name, alphasort);

	for (int i = 0; i < count; i++) {
		size_t used = strlen(text);
		if (used + strlen(point) + strlen(list[i]->d_name) + 8 < sizeof(text))
			snprintf(text + used, sizeof(text) - used, "%s'%s/%s'", used > 0 ? ", " : "", point,
				list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return error_set(err, ERR_USAGE, "'%s' is a restore point, which comes back dataset by dataset: name %s", point,
		text[0] == '\0' ? "one in it" : text);
}

static int tell_in_mount(const char *word, const char *real, const char *mnt, struct error *err)
{
	const char *inside = real + strlen(mnt) + (real[strlen(mnt)] == '/');

	if (strncmp(inside, "at/", 3) == 0 && strchr(inside + 3, '/') == NULL)
		return tell_restore_point(real, err);
	return error_set(err, ERR_USAGE, "'%s' is in no snapshot; name a path inside '%s/DATASET/SNAPSHOT'", word, mnt);
}

int source_why(const char *word, const struct error *why, struct error *err)
{
	if (source_is_dead(why))
		return tell_dead(word, err);
	if (why->code != ERR_NOT_FOUND)
		return error_set(err, why->code, "%s", error_text(why));
	if (why->sys_errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "there is no '%s' on this machine", word);
	struct mount_search search = {.path = realpath(word, NULL)};
	if (search.path != NULL)
		mountpoint_each(keep_longest, &search, NULL);
	int r = search.found != NULL ? tell_in_mount(word, search.path, search.found, err)
				     : error_set(err, ERR_USAGE,
					       "'%s' lies in no drfs mount; name a path inside one, or "
					       "DATASET/SNAPSHOT/PATH",
					       word);
	free(search.found);
	free(search.path);
	return r;
}
