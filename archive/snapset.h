/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SNAPSET_H
#define ARCHIVE_SNAPSET_H

/*
 * All snapshots of a repository as they stand now: read from summaries, from
 * snapshots that no summary covers yet, and from marks; named, numbered and
 * in order. And every way in which users say which one they mean.
 *
 * A struct snapset is immutable after loading and reference counted, so that
 * a mount can swap in a newer one while requests still use the old. Names and
 * numbers do not change from one loading to the next for the same snapshot,
 * with one exception: when another host's snapshot appears that drew the same
 * name and was put earlier, the later one gets a piece of its id, on every
 * host alike. Forgotten snapshots keep their names and numbers taken.
 */

#include "archive/snapshot.h"

struct catalog;
struct snapset_private;

/* A snapshot, summary or mark that is there and does not open: shown in status, never hidden. */
struct snapset_fault {
	struct id id;
	char *reason; /* names the object */
};

struct snapset {
	struct snapshot **list; /* existing, unforgotten ones; by dataset, then time, then id */
	size_t count;
	struct id *forgotten; /* ids with a forget mark */
	size_t forgotten_count;
	struct id *voids;
	size_t void_count;
	struct snapset_fault *faults;
	size_t fault_count;
	size_t uncovered;             /* snapshots (and voids) that no summary covers */
	uint64_t archive_bytes;       /* newest figure that any statement holds */
	unsigned refs;                /* atomic */
	struct snapset_private *priv; /* of the snapset_* files alone */
};

/*
 * Loads. Round trips: LIST summaries, snapshots, marks (already made by repo_open() the first time), then all
 * objects at once. `catalog` (may be NULL) saves fetching small objects again. `old` (may be NULL): what was loaded
 * before by the same repo; only what is new is fetched, and when nothing is new it is returned with one more reference.
 * The text of a damaged or foreign object goes to faults; ERR_… only where the store fails.
 */
int snapset_load(struct repo *repo, struct catalog *catalog, const struct snapset *old, const struct snapset **ret_set,
	struct error *err);
const struct snapset *snapset_ref(const struct snapset *set);
void snapset_unref(const struct snapset *set); /* NULL is a no-op */

/* The newest statement of a slot, forgotten ones among them: where its sequence stands. NULL: none. Borrowed. */
const struct snapshot *snapset_newest_of(const struct snapset *set, const struct id *slot);
/* Every slot that signed a snapshot here, and the highest sequence number of each. The caller frees. */
int snapset_seen(const struct snapset *set, struct snapshot_seen **ret_seen, unsigned *ret_count, struct error *err);

/* Names of datasets that have a snapshot, in order. Calls fn for each; non-zero stops and is returned. */
int snapset_datasets(const struct snapset *set, int (*fn)(void *arg, const char *dataset), void *arg);
/* The run of a dataset's snapshots in set->list. False when there is none. */
bool snapset_dataset(const struct snapset *set, const char *dataset, size_t *ret_first, size_t *ret_count);
/*
 * By shown name, or by its colon-free 20240115T143041Z form: who has these digits as a name, else the first of that
 * second that is not partial; with ".partial" behind it the first that is. NULL: none. Borrowed from the set.
 */
const struct snapshot *snapset_named(const struct snapset *set, const char *dataset, const char *name);
/* The newest that is neither partial nor damaged; `back` steps before it (latest~1). NULL: none. */
const struct snapshot *snapset_latest(const struct snapset *set, const char *dataset, unsigned back);
/* The newest not later than `moment`, never partial (nor damaged). */
const struct snapshot *snapset_at(const struct snapset *set, const char *dataset, int64_t moment);
const struct snapshot *snapset_by_number(const struct snapset *set, uint32_t number);
const struct snapshot *snapset_by_id(const struct snapset *set, const struct id *id);
/*
 * What a user may type: a name, "latest", "latest~N", an ISO time or date (space for T allowed, offsets), a snapshot id
 * or a unique piece of its beginning (8 digits or more). ERR_NOT_FOUND with a text that names the nearest choices.
 */
int snapset_resolve(const struct snapset *set, const char *dataset, const char *what,
	const struct snapshot **ret_snapshot, struct error *err);
/* A number unused in the set, drawn at random, for a new snapshot; and its name for `time`. */
uint32_t snapset_draw_number(const struct snapset *set);
void snapset_draw_name(const struct snapset *set, const char *dataset, int64_t time, const struct id *id, bool partial,
	char dst[static SNAPSHOT_NAME_MAX]);

/*
 * What is loaded comes from summaries and from the catalog, which hide damage of the objects themselves. This reads the
 * objects of the newest snapshot and of the newest good one, of one dataset or (NULL) of each, all at once, and calls
 * `bad` for those that are missing, do not open, or say something else. ERR_… only where the store fails.
 */
typedef void snapset_bad_fn(void *arg, const struct id *id, const char *reason);
int snapset_prove(struct repo *repo, const struct snapset *set, const char *dataset, snapset_bad_fn *bad, void *arg,
	struct error *err);

/*
 * Summaries: puts one over what is uncovered when that is more than 16 (root locators, root nodes of the newest two of
 * each dataset), and merges small ones (the merged names its inputs, which are then deleted).
 */
int snapset_summarise(struct repo *repo, const struct snapset *set, struct error *err);

#endif
