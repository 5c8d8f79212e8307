/* SPDX-License-Identifier: MIT */
#include "tools/skips.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fileio.h"

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

/* mountinfo writes space, tab, newline and backslash as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *p = text; *p != '\0'; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] != '\0' && p[3] != '\0') {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
}

/* Mount points of type fuse.drfs. */
static int add_mounts(struct skips *s)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	int r = 0;

	while (f != NULL && r == 0 && getline(&line, &cap, f) > 0) {
		char *type = strstr(line, " - ");
		char *save = NULL, *word = strtok_r(line, " ", &save);
		if (type == NULL || strncmp(type + 3, "fuse.drfs ", 10) != 0)
			continue;
		for (int i = 0; word != NULL && i < 4; i++)
			word = strtok_r(NULL, " ", &save);
		if (word == NULL)
			continue;
		unescape(word);
		r = add(s, word);
	}
	free(line);
	if (f != NULL)
		fclose(f);
	return r;
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
		r = add_mounts(ret);
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
