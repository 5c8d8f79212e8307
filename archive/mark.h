/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_MARK_H
#define ARCHIVE_MARK_H

/*
 * Signed statements made later about snapshots and slots: held, forgotten,
 * verified, damaged (or found whole again), revoked slot, replica set, key generation. Marks are only ever added.
 * A mark counts when its signer had the right: hold marks RIGHT_HOLD, forget RIGHT_FORGET, damaged and verified
 * RIGHT_READ, revocations and generations the root key.
 */

#include "archive/repo.h"

enum mark_kind {
	MARK_HOLD = 1,
	MARK_FORGET = 2,
	MARK_VERIFIED = 3,
	MARK_DAMAGED = 4,
	MARK_UNDAMAGED = 5,
	MARK_REVOKED = 6,    /* a slot; signed by root */
	MARK_REPLICAS = 7,   /* data: the replica set */
	MARK_GENERATION = 8, /* data: a wrapping generation ended; signed by root */
	MARK_UNHOLD = 9,
	MARK_DRILL = 10, /* data: a drill's record */
};

struct mark {
	struct id id;
	enum mark_kind kind;
	struct id subject; /* snapshot or slot */
	int64_t time;
	struct id slot; /* who signed; zeros: root */
	char *reason;   /* for people */
	uint8_t *data;
	size_t data_len;
};

void mark_free(struct mark *m); /* NULL is a no-op */
/* Seals, signs and puts one. Fills m->id, slot, time. ERR_DENIED without the right. */
int mark_put(struct repo *repo, struct mark *m, struct error *err);
/* Decodes and judges: ERR_CORRUPT, ERR_DENIED (signer unknown, revoked or without the right), ERR_UNSUPPORTED. */
int mark_decode(const struct repo *repo, const struct id *id, const void *data, size_t len, struct mark **ret_mark,
	struct error *err);
/* As mark_decode(), with slots that were revoked later among the signers. */
struct signers;
int mark_decode_by(const struct signers *signers, const struct id *id, const void *data, size_t len,
	struct mark **ret_mark, struct error *err);
/* Does this content say that it is a revocation? Nothing is proven by that; it saves checking others twice. */
bool mark_claims_revocation(const void *data, size_t len);
/* A copy that shares nothing; NULL without memory. */
struct mark *mark_copy(const struct mark *m);
/*
 * A revocation of a slot, signed by root. It carries the slot's card and names all snapshots, summaries, marks and
 * segments that stand now: what the slot signed of these counts on (removing a key loses no backup), nothing that
 * comes later does. ERR_DENIED without RIGHT_KEYS.
 */
int mark_put_revocation(struct repo *repo, const struct id *slot, struct error *err);

#endif
