/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SUMMARY_H
#define ARCHIVE_SUMMARY_H

/*
 * The content of summaries/<id>: many snapshots' objects in one, each as it
 * stands in snapshots/<id>: statement, signature, and for some the root node.
 * A summary is not signed, since all that counts in it is. One that merges
 * others names them. Pure functions over caller's memory.
 */

#include "archive/id_list.h"

enum { SUMMARY_ENTRIES_MAX = 4096, SUMMARY_INPUTS_MAX = 4096 };

/* One snapshot or void; the bytes are borrowed from the content. */
struct summary_entry {
	struct id id;
	const uint8_t *data; /* what snapshot_decode() takes */
	size_t len;
};

struct summary {
	struct id_list inputs; /* summaries that went into it */
	struct summary_entry *entries;
	size_t count;
};

/* Appends one snapshot's content; without what stands behind its signature where `with_root` is false. False when it is
 * none. */
bool summary_put_entry(struct buf *b, const struct summary_entry *entry, bool with_root);
/* Appends the names of what was merged. */
void summary_put_inputs(struct buf *b, const struct id_list *inputs);
/* Takes a content apart. ERR_CORRUPT, ERR_UNSUPPORTED. Entries borrow from `data`; nothing in them is proven. */
int summary_decode(const void *data, size_t len, struct summary *ret, struct error *err);
void summary_release(struct summary *s); /* of a zeroed struct: a no-op */

#endif
