/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SKIPS_H
#define TOOLS_SKIPS_H

/* What a backup never enters: its own repository, drfs's cache and state folders, and every drfs mount of this host. */

#include "tools/cli.h"

struct skips {
	char **list;       /* canonical paths, owned */
	const char **what; /* for messages: "the repository itself" */
	size_t count;
};

int skips_collect(struct cli *cli, struct skips *ret, struct error *err);
/*
 * A source that a backup never enters would be an empty snapshot: ERR_USAGE. One inside a mount of another repository
 * is let through.
 */
int skips_judge_source(struct cli *cli, const struct skips *s, const char *path, struct error *err);
void skips_release(struct skips *s);

#endif
