/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_OBJECT_CACHE_H
#define ARCHIVE_OBJECT_CACHE_H

/*
 * Small objects that were fetched and opened once, kept in the catalog so
 * that they are not fetched again. They lie there sealed under a key that is
 * derived from the repository's secrets and a salt of their own: who has the
 * disk but no key slot reads nothing, and needs no wrap to be opened. Losing
 * one is no loss. Threads: any. `catalog` may be NULL: nothing is kept.
 */

#include "archive/object.h"
#include "catalog/catalog.h"

/* False when it is not there or does not open; then it is fetched. */
bool object_cache_get(
	const struct repo *repo, struct catalog *catalog, enum object_kind kind, const struct id *id, struct buf *ret);
/* Keeps it, or quietly does not. */
void object_cache_put(const struct repo *repo, struct catalog *catalog, enum object_kind kind, const struct id *id,
	const void *content, size_t len);

#endif
