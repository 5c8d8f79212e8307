/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_PRUNELIST_CODEC_H
#define ARCHIVE_PRUNELIST_CODEC_H

/*
 * The bytes of prune/<n>.condemned and prune/<n>.verdict. Their names are
 * numbers, so the id that commits to the key, and the wrapped key itself,
 * stand in clear before the sealed object:
 *
 *   32      header (KIND_CONDEMNED or KIND_VERDICT, cipher 0)
 *   +32     id
 *   +4      generation of the wrapping key
 *   +80     wrapped key
 *   …       the sealed object, as every small object has it
 *   end-32  trailing hash
 *
 * Pure functions over caller's memory; any thread.
 */

#include "archive/id_list.h"
#include "archive/object.h"
#include "archive/object_part.h"

struct prunelist {
	struct id_list packs; /* sorted */
	struct id_list marks; /* forget marks that a condemned list counted; sorted */
	bool proven;          /* signed by a slot with RIGHT_PRUNE */
};

/* Makes the whole object in *ret, signed by this slot, under a fresh key. */
int prunelist_seal(
	struct repo *repo, uint64_t n, bool verdict, const struct prunelist *list, struct buf *ret, struct error *err);
/* Opens an object. ERR_CORRUPT, ERR_UNSUPPORTED. That it is not signed by who may prune is no error: see `proven`. */
int prunelist_open(struct repo *repo, uint64_t n, bool verdict, const void *data, size_t len, struct prunelist *ret,
	struct error *err);
/* The parser of the opened content alone: statement and signature. */
int prunelist_decode(const struct repo *repo, uint64_t n, bool verdict, const void *data, size_t len,
	struct prunelist *ret, struct error *err);
void prunelist_release(struct prunelist *list);

#endif
