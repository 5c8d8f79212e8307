/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_OBJECT_PART_H
#define ARCHIVE_OBJECT_PART_H

/*
 * An object being read: its two parts, the sealed bytes and the wrapped key,
 * are fetched apart, each by any thread, and opened when both are there. For
 * object.c and object_many.c.
 */

#include "archive/object.h"

enum { OBJECT_STORED_MAX = OBJECT_MAX + OBJECT_MAX / 8 + 4096 }; /* with the most that padding adds */
enum object_part { OBJECT_PART_BODY = 0, OBJECT_PART_KEY = 1, OBJECT_PARTS = 2 };

/* Set repo, kind and id; the rest zero. */
struct object_parts {
	struct repo *repo; /* borrowed */
	enum object_kind kind;
	struct id id;
	struct buf object;
	uint8_t key[FORMAT_KEY_LEN];
	int status[OBJECT_PARTS];
	struct error err[OBJECT_PARTS];
};

/* Fetches one part; the outcome is kept in p. Two parts may be fetched at once. */
void object_parts_fetch(struct object_parts *p, size_t part);
/* Both were fetched: the content in *ret (cleared first), or why not. */
int object_parts_open(struct object_parts *p, struct buf *ret, struct error *err);
/* Gives the bytes back and wipes the key. */
void object_parts_reset(struct object_parts *p);

#endif
