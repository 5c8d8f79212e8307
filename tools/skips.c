/* SPDX-License-Identifier: MIT */
#include "tools/skips.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fileio.h"
#include "fs/mountpoint.h"

static int add(struct skips *s, const char *path)
{
	char **bigger = reallocarray(s->list, s->count + 1, sizeof(char *));

	if (bigger == NULL)
		return -1;
	s->list = bigger;
	s->list[s->count] = strdup(path);
	return s->list[s->count] == NULL ? -1 : (s->count++, 0);
}

/* A folder that may not exist, taken over. */
static int add_folder(struct skips *s, char *path)
{
	char real[PATH_MAX];
	int r = path != NULL && realpath(path, real) != NULL ? add(s, real) : 0;

	free(path);
	return r;
}

static int add_mount(void *arg, const char *mountpoint)
{
	return add(arg, mountpoint);
}

int skips_collect(struct cli *cli, struct skips *ret, struct error *err)
{
	const char *spool = cli->conf == NULL ? NULL : cli->conf->spool_dir;
	int r = add_folder(ret, fileio_cache_dir());

	if (r == 0)
		r = add_folder(ret, spool != NULL ? strdup(spool) : fileio_state_dir());
	if (r == 0 && cli->repo->store->local_path != NULL)
		r = add(ret, cli->repo->store->local_path);
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
	*s = (struct skips){0};
}
