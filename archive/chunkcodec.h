/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_CHUNKCODEC_H
#define ARCHIVE_CHUNKCODEC_H

/*
 * One chunk (or tree node) as it lies in a pack: header, payload, tag.
 *   u8 compression   0 as it is, 1 zstd, 2 zstd with the base as prefix
 *   u8 depth         0: stands alone
 *   u16 dictionary   0: none
 *   32 base id       only where depth > 0
 *   payload
 * The whole is sealed with the pack's key, nonce = its offset in the pack.
 *
 * An encoder or decoder holds zstd contexts and belongs to one thread at a time.
 */

#include "archive/chunkref.h"
#include "archive/seal.h"

enum chunk_compression { CHUNK_RAW = 0, CHUNK_ZSTD = 1, CHUNK_ZSTD_PREFIX = 2 };
enum { CHUNK_HEADER_LEN = 4 };

struct chunk_encoder;
/* `level`: zstd, 0: store as it is. ERR_NO_MEMORY. */
int chunk_encoder_new(int level, struct chunk_encoder **ret_encoder, struct error *err);
/* NULL is a no-op. */
void chunk_encoder_free(struct chunk_encoder *e);
/*
 * Header and payload, unsealed, appended to *ret (cleared first). What does not compress is noticed by a probe and
 * stored: *ret_raw tells (may be NULL).
 */
int chunk_encode(
	struct chunk_encoder *e, const void *plain, size_t len, struct buf *ret, bool *ret_raw, struct error *err);

struct chunk_decoder;
/* Serves one chunk after the other. ERR_NO_MEMORY. */
int chunk_decoder_new(struct chunk_decoder **ret_decoder, struct error *err);
/* NULL is a no-op. */
void chunk_decoder_free(struct chunk_decoder *d);
/*
 * Opens `sealed` (in place: it is overwritten) and unpacks exactly `plain_len` bytes into dst. `base` is the decoded
 * base where the chunk has one (else NULL). ERR_CORRUPT: does not open, or is not what the locator says.
 */
int chunk_decode(struct chunk_decoder *d, const uint8_t key[static FORMAT_KEY_LEN], const struct seal_place *place,
	void *sealed, size_t sealed_len, const void *base, size_t base_len, void *dst, size_t plain_len,
	struct error *err);
/* The same after opening: header and payload in `opened`. For verify-before-write. */
int chunk_unpack(struct chunk_decoder *d, const void *opened, size_t len, const void *base, size_t base_len, void *dst,
	size_t plain_len, struct error *err);

/*
 * A chunk without base that is unpacked from its beginning on, as far as somebody wants it. The decoder is its own
 * until it is done or given up; `opened` and dst are the caller's and stay where they are. The first `have` bytes of
 * dst are final.
 */
struct chunk_steps {
	const uint8_t *src;
	size_t src_len, src_pos, next; /* next: so much of src makes the next step */
	void *dst;
	size_t dst_len, have;
	bool done; /* all of it, and nothing behind it */
};
/* `opened`: header and payload. What is not packed is all there at once. ERR_CORRUPT as chunk_decode(). */
int chunk_steps_begin(struct chunk_decoder *d, const void *opened, size_t len, void *dst, size_t plain_len,
	struct chunk_steps *ret, struct error *err);
/* One block more, 128 KiB as a rule, unless it is done. ERR_CORRUPT. */
int chunk_steps_more(struct chunk_decoder *d, struct chunk_steps *s, struct error *err);

#endif
