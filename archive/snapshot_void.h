/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SNAPSHOT_VOID_H
#define ARCHIVE_SNAPSHOT_VOID_H

/*
 * Voids: the objects under snapshots/ that end a session without a snapshot.
 * A void and the snapshot whose name it takes have one id, hence one key, and
 * both would be sealed at the same offset; so would two voids that two hosts
 * make at one moment. So a void is sealed under a key derived from that one
 * and its signer's slot, and says nothing that differs from one try to the
 * next: no (key, nonce) pair comes to seal two contents. Who opens it tries
 * the slots he knows.
 */

#include "archive/object.h"
#include "archive/signed.h"

/* The whole object snapshots/<id> as a void, signed by this slot. `key`: the snapshot's. */
int snapshot_void_seal(const struct repo *repo, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN],
	struct buf *ret, struct error *err);
/* Opens an object's bytes as a void. ERR_CORRUPT when it is none. */
int snapshot_void_open(const struct signers *signers, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN],
	const void *object, size_t len, struct buf *ret, struct error *err);
/* Fetches snapshots/<id> and its key and opens it as a void. */
int snapshot_void_get(
	struct repo *repo, const struct signers *signers, const struct id *id, struct buf *ret, struct error *err);

#endif
