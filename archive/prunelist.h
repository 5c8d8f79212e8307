/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_PRUNELIST_H
#define ARCHIVE_PRUNELIST_H

/*
 * What a writer must know of prunes: prune/<n>.condemned and prune/<n>.verdict. Each is a sealed object whose id and
 * wrapped key stand in clear at its start (its name is a number, not an id).
 */

#include "archive/repo.h"

/*
 * Reads prune/. *ret_packs: packs that must not be referred to (in a verdict, or condemned without a verdict yet),
 * sorted; the caller frees. *ret_dead: those in verdicts alone, sorted; may be NULL.
 */
int prunelist_read(struct repo *repo, struct id **ret_packs, size_t *ret_count, struct id **ret_dead,
	size_t *ret_dead_count, struct error *err);

/* Encodes and puts one (tests now, prune later). `marks`: forget marks that a condemned list counted. */
int prunelist_put(struct repo *repo, uint64_t n, bool verdict, const struct id *packs, size_t pack_count,
	const struct id *marks, size_t mark_count, struct error *err);

#endif
