/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_OBJECT_H
#define ARCHIVE_OBJECT_H

/*
 * Small sealed objects: snapshots, index segments, summaries, marks, prune
 * lists. One key each; the key, wrapped, stands beside it in wraps/. The wrap
 * is put first, so an object that is seen can be opened.
 *
 * Sealed body: u8 compression (0, 1: zstd), u64 content length, u64 stored
 * length, stored bytes, zeros up to the padded size. Threads: any.
 */

#include "archive/repo.h"

struct catalog;

enum { OBJECT_MAX = 64 << 20 }; /* no small object is larger; a larger one is ERR_CORRUPT */

/* Draws a fresh key and its id. The key is the caller's to wipe. */
void object_draw(
	const struct repo *repo, enum object_kind kind, uint8_t ret_key[static FORMAT_KEY_LEN], struct id *ret_id);
/* Seals content into a whole object (envelope, body, trailing hash) in *ret. */
int object_seal(const struct repo *repo, enum object_kind kind, const struct id *id,
	const uint8_t key[static FORMAT_KEY_LEN], const void *content, size_t len, struct buf *ret, struct error *err);
/* Checks and opens a whole object. */
int object_unseal(const struct repo *repo, enum object_kind kind, const struct id *id,
	const uint8_t key[static FORMAT_KEY_LEN], const void *object, size_t len, struct buf *ret, struct error *err);

/* Puts wraps/<current>/…/<id>. */
int object_put_wrap(
	struct repo *repo, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN], struct error *err);
/* The same wrap as bytes for an index segment. */
int object_make_wrap(const struct repo *repo, const uint8_t key[static FORMAT_KEY_LEN],
	uint8_t dst[static SEAL_WRAP_LEN], uint32_t *ret_generation, struct error *err);
/* Fetches and opens the wrap of `id`, newest generation first, and checks the key against the id. */
int object_get_key(struct repo *repo, enum object_kind kind, const struct id *id,
	uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err);
/* Opens wrap bytes that came from elsewhere (an index), and checks. */
int object_open_wrap(const struct repo *repo, enum object_kind kind, const struct id *id, uint32_t generation,
	const void *wrap, size_t len, uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err);

/* Wrap and object, in that order. `reply` may be NULL. */
int object_put(struct repo *repo, enum object_kind kind, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN],
	const void *content, size_t len, struct store_reply *reply, struct error *err);
/* Object and wrap, fetched at the same time (one round trip), opened. */
int object_get(struct repo *repo, enum object_kind kind, const struct id *id, struct buf *ret, struct error *err);

/*
 * Fetches many at once, store->parallel at a time; `fn` is called for each in
 * any order but never twice at a time, with status 0 and the content, or the
 * error. Non-zero from fn stops and is returned.
 */
typedef int object_many_fn(void *arg, size_t index, int status, const struct buf *content, const struct error *why);
int object_get_many(struct repo *repo, enum object_kind kind, const struct id *ids, size_t count, object_many_fn *fn,
	void *arg, struct error *err);

#endif
