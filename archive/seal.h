/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SEAL_H
#define ARCHIVE_SEAL_H

/*
 * The cryptography of the archive, in one place: keyed hashes, sealing with
 * associated data, ids that commit to keys, wraps, signatures.
 *
 * Each sealed object has a key of its own, drawn fresh. Its id is
 * BLAKE2b-256("drfs object" | repository | cipher | kind | key), so a key, wherever it
 * came from, is checked against the id. Inside an object every sealed piece
 * uses the byte offset at which its ciphertext begins as nonce (u64
 * little-endian, zeros after it), so no (key, nonce) pair repeats as long as an object is
 * written once. Associated data: kind, format version, repository, object id, offset.
 *
 * Pure functions over caller's memory; any thread.
 */

#include "archive/format.h"

enum { SEAL_WRAP_LEN = 80, SEAL_SIGNATURE_LEN = 64, SEAL_PUBLIC_LEN = 32, SEAL_SIGN_SECRET_LEN = 64 };

/* Where a sealed piece stands: what its nonce and associated data are made of. */
struct seal_place {
	enum cipher_kind cipher;
	enum object_kind kind;
	const uint8_t *repository; /* 16 bytes */
	const struct id *object;
	uint64_t offset;
};

/* Writes len + 16 bytes to dst; dst may equal plain. */
int seal_bytes(const uint8_t key[static FORMAT_KEY_LEN], const struct seal_place *place, const void *plain, size_t len,
	void *dst, struct error *err);
/* `len` counts the tag; writes len - 16 bytes to dst, which may equal sealed. ERR_CORRUPT when it does not open. */
int seal_open(const uint8_t key[static FORMAT_KEY_LEN], const struct seal_place *place, const void *sealed, size_t len,
	void *dst, struct error *err);

void seal_object_id(enum object_kind kind, const uint8_t *repository, enum cipher_kind cipher,
	const uint8_t key[static FORMAT_KEY_LEN], struct id *ret_id);

/* A key wrapped to a public key (X25519 sealed box): 80 bytes. */
int seal_wrap(const uint8_t public_key[static 32], const uint8_t key[static FORMAT_KEY_LEN],
	uint8_t dst[static SEAL_WRAP_LEN], struct error *err);
/* ERR_CORRUPT when it does not open. */
int seal_unwrap(const uint8_t public_key[static 32], const uint8_t secret_key[static 32], const void *wrap, size_t len,
	uint8_t dst[static FORMAT_KEY_LEN], struct error *err);

/* Keyed 256-bit hash of one buffer. */
void seal_hash(enum hash_kind hash, const uint8_t key[static 32], const void *data, size_t len, struct id *ret_id);
/* A running keyed hash. */
struct seal_hasher;
struct seal_hasher *seal_hasher_new(enum hash_kind hash, const uint8_t key[static 32]);
void seal_hasher_update(struct seal_hasher *h, const void *data, size_t len);
void seal_hasher_final(struct seal_hasher *h, struct id *ret_id); /* may be used again afterwards, from the start */
void seal_hasher_free(struct seal_hasher *h);

/* 32 bytes derived from a secret for one purpose: keyed BLAKE2b-256(secret, purpose). */
void seal_derive(const uint8_t secret[static 32], const char *purpose, uint8_t dst[static 32]);

/* Ed25519. The message signed is always: "drfs signed" | kind | repository | data. */
int seal_sign(const uint8_t secret[static SEAL_SIGN_SECRET_LEN], enum object_kind kind, const uint8_t *repository,
	const void *data, size_t len, uint8_t dst[static SEAL_SIGNATURE_LEN], struct error *err);
bool seal_verify(const uint8_t public_key[static 32], enum object_kind kind, const uint8_t *repository,
	const void *data, size_t len, const uint8_t signature[static SEAL_SIGNATURE_LEN]);

/* Which cipher and hash are faster on this machine, measured for a few milliseconds. For init. */
enum cipher_kind seal_fastest_cipher(void);
enum hash_kind seal_fastest_hash(void);
enum trailer_kind seal_fastest_trailer(void);

#endif
