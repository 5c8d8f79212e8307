/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SIGNED_H
#define ARCHIVE_SIGNED_H

/*
 * Signed statements as they stand in snapshots, marks, segments and prune
 * lists: varint length, the statement's bytes, 64 bytes of signature over
 * them. And who may have signed: the slots that are there, and slots that
 * were revoked, which count for what stood in the archive when they were.
 */

#include "archive/id_list.h"
#include "archive/repo.h"

struct proofs;

struct signed_view {
	const uint8_t *data; /* the statement; borrowed */
	size_t len;
	const uint8_t *signature;
	size_t whole; /* bytes of all three parts */
};

/* Appends `statement`, signed by this slot, or by the root key (ERR_DENIED without RIGHT_KEYS). */
int signed_put(const struct repo *repo, enum object_kind kind, bool by_root, const struct buf *statement,
	struct buf *ret, struct error *err);
/* Reads the three parts from c, the statement of at most `max` bytes. False: c has failed. */
bool signed_split(struct cursor *c, size_t max, struct signed_view *ret);
/* Is the signature this key's? */
bool signed_fits(const struct repo *repo, enum object_kind kind, const struct signed_view *view,
	const uint8_t public_key[static SEAL_PUBLIC_LEN]);

/* A slot that was revoked, as the root's mark about it says. */
struct revoked_slot {
	struct slot_card *card; /* owned */
	struct id_list ids;     /* objects that stood when it was revoked: what it signed of these counts on. Sorted. */
};

/* Who signs. All but `repo` may be empty. Read-only while it is used; shared by threads. */
struct signers {
	const struct repo *repo;
	struct revoked_slot *revoked;
	size_t revoked_count;
	struct slot_card **fresh; /* of slots as they stand now: some may be newer than repo->slots. Owned, sorted. */
	unsigned fresh_count;
	struct proofs *proofs; /* borrowed; NULL: every signature is checked */
};

/* The card by which `slot` may have signed the object `id`; NULL when it is not known, or was revoked before. Borrowed.
 */
const struct slot_card *signers_find(const struct signers *signers, const struct id *slot, const struct id *id);
/*
 * Finds the slot, asks for one of `rights` (any bit is enough), checks the signature. `where` names the object.
 * ERR_DENIED: slot unknown or without the right; ERR_CORRUPT: not its signature.
 */
int signers_check(const struct signers *signers, enum object_kind kind, const struct id *id, const struct id *slot,
	unsigned rights, const struct signed_view *view, const char *where, const struct slot_card **ret_card,
	struct error *err);
/* Adds what a revocation's data says. ERR_CORRUPT. */
int signers_revoke(struct signers *signers, const struct id *slot, const void *data, size_t len, struct error *err);
/* Drops all that was added by signers_revoke(). */
void signers_forget_revoked(struct signers *signers);
/* The data of a revocation: the slot's card, and what stands now. */
int signers_revocation(const struct slot_card *card, const struct id_list *ids, struct buf *ret, struct error *err);
/*
 * Reads the slots again: another host may have added one after this repository was opened. repo->slots, which other
 * threads use, stays as it is. Blocks on the store.
 */
int signers_refresh(struct signers *signers, struct error *err);
/* Gives everything back but the repository. */
void signers_release(struct signers *signers);

#endif
