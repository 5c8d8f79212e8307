/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SEGMENT_INTERNAL_H
#define ARCHIVE_SEGMENT_INTERNAL_H

/*
 * What segment_sync.c and segment_merge.c share: which segments went into a
 * merged one. The catalog keeps it beside the rows, so that the inputs may
 * vanish later without being taken for a sign that the catalog is stale.
 */

#include "archive/id_list.h"
#include "archive/segment.h"

/* Remembers inputs and ancestors of a merged segment. Losing it costs a refill at worst. */
void segment_inputs_keep(struct repo *repo, struct catalog *catalog, const struct segment *s);
/* Appends what is remembered of `id`. False without memory. */
bool segment_inputs_recall(struct repo *repo, struct catalog *catalog, const struct id *id, struct id_list *ret);

#endif
