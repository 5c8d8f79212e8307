/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SKIPS_H
#define TOOLS_SKIPS_H

/* What a backup never enters: its own repository, drfs's cache and state folders, and every drfs mount of this host. */

#include "tools/cli.h"

struct skips {
	char **list; /* canonical paths, owned */
	size_t count;
};

int skips_collect(struct cli *cli, struct skips *ret, struct error *err);
void skips_release(struct skips *s);

#endif
