/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_PROOFS_H
#define ARCHIVE_PROOFS_H

/*
 * Signatures that this slot has checked before, so that a thousand snapshots
 * need not be checked at every start (60 µs each). What is remembered is a
 * hash over kind, verify key, statement and signature; it lies in the catalog
 * sealed under a key that only this slot has, so nobody else can vouch for
 * anything, be it by a disk or by a catalog that a fleet shares. Whether the
 * signer had the right is asked every time. Losing it is no loss.
 *
 * proofs_has() and proofs_note() may be called by many threads at once.
 */

#include <pthread.h>

#include "archive/id_list.h"
#include "archive/signed.h"

struct catalog;

struct proofs {
	struct id_list known; /* sorted; read-only between load and save */
	struct id_list fresh; /* under lock */
	pthread_mutex_t lock;
};

/* Reads what the catalog (may be NULL) remembers. Cannot fail: at worst nothing is known. */
void proofs_load(struct proofs *p, const struct repo *repo, struct catalog *catalog);
/* What is remembered of one signature. */
void proofs_hash(enum object_kind kind, const struct signed_view *view,
	const uint8_t public_key[static SEAL_PUBLIC_LEN], struct id *ret_hash);
bool proofs_has(const struct proofs *p, const struct id *hash);
void proofs_note(struct proofs *p, const struct id *hash);
/* Puts what is new into the catalog, and gives everything back. */
void proofs_save(struct proofs *p, const struct repo *repo, struct catalog *catalog);

#endif
