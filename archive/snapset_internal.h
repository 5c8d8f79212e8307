/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SNAPSET_INTERNAL_H
#define ARCHIVE_SNAPSET_INTERNAL_H

/*
 * What the files of snapset share. Loading goes in steps, one file each:
 *
 *   snapset_fetch.c    brings objects, from the catalog or the store
 *   snapset_load.c     decides which, round by round
 *   snapset_take.c     decodes them
 *   snapset_marks.c    applies what marks say; sorts out the forgotten
 *   snapset_names.c    gives names and numbers, builds what lookups search
 *   snapset_prove.c    reads the newest ones' own objects
 *   snapset.c          lookups; snapset_resolve.c what users type;
 *   snapset_summarise.c puts summaries
 */

#include "archive/id_list.h"
#include "archive/mark.h"
#include "archive/object.h"
#include "archive/signed.h"
#include "archive/snapset.h"

/* A summary that was read, and whose statements it holds as they stand here. */
struct summary_info {
	struct id id;
	struct id_list covers; /* sorted */
};

struct snapset_private {
	struct repo_listing names; /* as listed when it was loaded */
	struct summary_info *infos;
	size_t info_count;
	struct snapshot **hidden; /* forgotten: their names, numbers and sequences stay taken; sorted like the list */
	size_t hidden_count;
	struct mark **marks;
	size_t mark_count;
	const struct snapshot **by_name, **by_number, **by_id; /* of the list, `count` each */
	unsigned slot_count;                                   /* key slots that were known */
	bool unknown_signer; /* while loading: a signer was not known, who may be a slot added meanwhile */
	bool retry;          /* something could not be read that may be readable later: loading again is worth it */
};

/* ---- snapset_fetch.c ---- */

/* An object that was asked for: its content, or why not. */
struct fetched {
	struct id id;
	int status; /* 0, or an error that speaks of this object alone */
	struct buf content;
	char *why;
};

/* Some objects of one kind. Set what stands before `items`; the rest is the outcome. */
struct fetch {
	struct repo *repo;
	struct catalog *catalog;
	const struct signers *signers; /* whose voids open; for snapshots only */
	enum object_kind kind;
	struct id_list want; /* released by fetch_release() */
	struct fetched *items;
	size_t count;
	size_t bytes; /* of all contents */
	int status;   /* the store failed as a whole */
	struct error err;
};

/* Brings all of f->want. The outcome is in f. */
void fetch_run(struct fetch *f);
void fetch_release(struct fetch *f);

/* ---- snapset_marks.c ---- */

/* Takes from the marks who is revoked, in place of what was known. */
int snapset_signers(struct signers *signers, struct mark *const *marks, size_t count, struct error *err);
/*
 * From all statements (owned by the caller until this succeeds) makes set->list, hidden and forgotten, with what the
 * marks in set->priv say. Sorts both lists.
 */
int snapset_apply_marks(struct snapset *set, struct snapshot **all, size_t count, struct error *err);

/* ---- snapset_names.c ---- */

/* By dataset, time, id: the order of the list. For qsort over pointers. */
int snapset_order(const void *a, const void *b);
/* Gives names and numbers, where two drew the same, and builds the search arrays. `old` (may be NULL) keeps its
 * numbers. */
int snapset_name_all(struct snapset *set, const struct snapset *old, struct log *log, struct error *err);
/* The length of a shown name without ".partial". */
size_t snapset_base_len(const char *name);

#endif
