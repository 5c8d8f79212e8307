/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SNAPSET_LOADER_H
#define ARCHIVE_SNAPSET_LOADER_H

/*
 * A set being loaded: what snapset_load.c (which objects, round by round) and
 * snapset_take.c (what is in them) share. It belongs to the one thread that
 * loads; decoding borrows more.
 */

#include "archive/snapset_internal.h"

struct loader {
	struct repo *repo;
	struct catalog *catalog;
	const struct snapset *old;
	struct repo_listing *names;
	struct signers signers;
	bool slots_read;       /* signers_refresh() was called */
	struct snapshot **all; /* statements that stand; owned */
	size_t all_count, all_cap;
	struct id_list voids;
	struct id_list known; /* ids of both, sorted */
	struct snapset *set;  /* what is being made */
};

/* ERR_NO_MEMORY for the whole of it. */
int loader_no_memory(struct error *err);
/* Takes a statement over: a snapshot or a void. The caller sorts `known` afterwards. */
int loader_add_statement(struct loader *l, struct snapshot *s, struct error *err);
/* Takes a mark over. */
int loader_add_mark(struct loader *l, struct mark *m, struct error *err);
/* Decodes marks, revocations first, since all others are judged with them. */
int loader_take_marks(struct loader *l, const struct fetch *f, struct error *err);
/*
 * Decodes what summaries hold and is not known. A statement in one that fails is passed over: its own object is asked,
 * and may be told as a fault.
 */
int loader_take_summaries(struct loader *l, const struct fetch *f, struct error *err);
/* Decodes snapshots and voids. */
int loader_take_snapshots(struct loader *l, const struct fetch *f, struct error *err);

#endif
