/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SOURCE_H
#define TOOLS_SOURCE_H

/*
 * SRC on the command line: a mounted path (it has a ref), or
 * DATASET[/SNAPSHOT[/PATH]], where SNAPSHOT is a name, latest, latest~N, an
 * ISO time or an id, and latest where none is given.
 */

#include "archive/reader.h"
#include "tools/cli.h"

struct source {
	char *dataset;
	const struct snapshot *snapshot; /* borrowed from cli->set */
	char *path;                      /* in the snapshot, no slash at either end; "" for all. Bytes. */
};

/*
 * Opens the repository and its snapshots for these words. Without -r a mounted path among them says which: its mount
 * knows. CLI_OK or an exit code (told).
 */
int source_open(struct cli *cli, const char *const *words, size_t count);
/* Needs source_open() before. CLI_OK or an exit code (told). */
int source_parse(struct cli *cli, const char *word, struct source *ret);
void source_release(struct source *s);

/* mountpoint_ref() failed because the process of a mount is gone. */
bool source_is_dead(const struct error *why);
/*
 * What to say of a path of this machine for which mountpoint_ref() failed with `why`: it is not there, its mount is
 * dead, it is a whole restore point, or in no mount at all. Sets `err` and returns its code.
 */
int source_why(const char *word, const struct error *why, struct error *err);

/* A reader for a command's run, with a cache of `mib` MiB. */
int source_reader(struct cli *cli, unsigned mib, struct reader **ret_reader);

/*
 * The entry at the source's path. *ret_leaf pins it (NULL for the snapshot's root, whose entry is snapshot->top); give
 * it back with reader_nodes(r)->put(). ERR_NOT_FOUND names the path.
 */
int source_find(struct reader *r, const struct source *s, const struct node **ret_leaf, const struct entry **ret_entry,
	struct error *err);

#endif
