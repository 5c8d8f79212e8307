/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_NODE_REFS_H
#define ARCHIVE_NODE_REFS_H

/*
 * The references of a node that is being encoded: each id once, in order of
 * first use, and what the locator part says of them. Private to the encoder.
 * A zeroed struct is empty.
 */

#include "archive/node_table.h"
#include "archive/node_wire.h"

struct node_refs {
	struct chunk_ref *list;
	uint32_t count, cap;
	struct node_table table; /* by id */
};

/* Index of this reference, which is added when its id is new. */
int node_refs_add(struct node_refs *r, const struct chunk_ref *ref, uint32_t *ret_index, struct error *err);
/* Appends the ids, as content has them. */
void node_refs_put_ids(const struct node_refs *r, struct buf *b);
/* Appends the locator part. */
int node_refs_put_locators(const struct node_refs *r, struct buf *b, struct error *err);
void node_refs_clear(struct node_refs *r);
void node_refs_release(struct node_refs *r);

#endif
