/* SPDX-License-Identifier: MIT */
#ifndef FS_EPOCH_H
#define FS_EPOCH_H

/*
 * What the mount shows at one moment: a snapset, the datasets in it with their
 * tags, and the ghosts: snapshots that were forgotten while this process ran.
 * A ghost has no name any more, but who is inside or has a file open is not
 * thrown out.
 *
 * Immutable after epoch_new(), reference counted; a request takes one
 * reference for its whole length, so that all its answers fit together.
 */

#include "archive/snapset.h"

struct epoch_dataset {
	const char *name;    /* of one of its snapshots */
	uint32_t tag;        /* for node ids: by the name alone unless two names clash */
	size_t first, count; /* its run in set->list */
};

struct epoch {
	const struct snapset *set;      /* owned reference */
	struct epoch_dataset *datasets; /* by name */
	struct epoch_dataset **by_tag;
	size_t dataset_count;
	struct snapshot **ghosts; /* copies; the latest last */
	size_t ghost_count;
	unsigned refs; /* atomic */
};

enum { EPOCH_GHOSTS_MAX = 256 };

/* Takes over the reference to `set` on success. `old` (may be NULL) gives tags and ghosts. ERR_NO_MEMORY. */
int epoch_new(const struct snapset *set, const struct epoch *old, const struct epoch **ret_epoch, struct error *err);
const struct epoch *epoch_ref(const struct epoch *e);
void epoch_unref(const struct epoch *e); /* NULL is a no-op */

/* Borrowed from the epoch; NULL: none. */
const struct epoch_dataset *epoch_dataset(const struct epoch *e, const char *name);
const struct epoch_dataset *epoch_dataset_by_tag(const struct epoch *e, uint32_t tag);
/* One that is there, else a ghost. */
const struct snapshot *epoch_snapshot(const struct epoch *e, uint32_t number);
/* Newest snapshot of the dataset, good or not. */
const struct snapshot *epoch_newest(const struct epoch *e, const struct epoch_dataset *d);

#endif
