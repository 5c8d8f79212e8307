/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_FIELDS_H
#define ARCHIVE_FIELDS_H

/*
 * Plain members of a struct as TLV, told by a table that encoder and decoder
 * share, so that the two cannot drift apart. A member that is zero or empty
 * is left out and comes back as zero; a tag that comes twice is damage.
 * Stateless; any thread.
 */

#include "archive/format.h"

enum field_type {
	FIELD_ID,   /* struct id: 32 bytes */
	FIELD_U32,  /* uint32_t or an enum: varint of at most `max` */
	FIELD_U64,  /* uint64_t: varint of at most `max` */
	FIELD_S64,  /* int64_t: zigzag varint */
	FIELD_STR,  /* char *, owned: bytes without NUL, at most `max` */
	FIELD_TIME, /* struct entry_time: zigzag varint of seconds, varint of nanoseconds */
};

struct field {
	uint16_t tag; /* with its critical bit */
	enum field_type type;
	size_t offset; /* of the member */
	uint64_t max;
};

/* Appends all members of `base` that are not zero or empty. At most 64 fields in a table. */
void fields_put(struct buf *b, const struct field *fields, size_t count, const void *base);
/*
 * Takes one TLV in. *seen has a bit for each field met (zero at the start). 1: it was one of the table's; 0: it is
 * none of them; ERR_CORRUPT (doubled, too long, malformed) or ERR_NO_MEMORY. `where` is for messages. A FIELD_STR's
 * former value is freed.
 */
int fields_get(const struct field *fields, size_t count, uint64_t *seen, void *base, uint16_t tag, struct cursor *value,
	const char *where, struct error *err);
/* Was this tag met? */
bool fields_met(const struct field *fields, size_t count, uint64_t seen, uint16_t tag);

#endif
