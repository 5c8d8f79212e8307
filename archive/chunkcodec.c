/* SPDX-License-Identifier: MIT */
#include "archive/chunkcodec.h"

#include <stdlib.h>
#include <string.h>
/* For ZSTD_d_stableOutBuffer alone: a parameter, refused by a library that does not know it. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

/* What a chunk must shrink by, in 1/64ths of its length, to be worth unpacking later. */
enum { PROBE_PIECES = 4, PROBE_PIECE_LEN = 4096, PROBE_MIN_LEN = 64 << 10, GAIN_SHIFT = 6 };

/*
 * Text of many like rows (dumps, logs) packs 1 to 2 % smaller and faster when zstd looks for matches of 6 bytes, source
 * code smaller with its own choice. So one chunk in TRIAL_EVERY is packed both ways, and what won serves the next ones.
 */
enum { TRIAL_LEVEL = 3, TRIAL_EVERY = 16, ROWS_MIN_MATCH = 6 };

struct chunk_encoder {
	ZSTD_CCtx *full;
	ZSTD_CCtx *probe; /* a small context of its own, so that probing does not disturb the large tables */
	int level;
	unsigned count; /* chunks packed so far */
	bool rows;      /* ROWS_MIN_MATCH won the last trial */
	uint8_t sample[PROBE_PIECES * PROBE_PIECE_LEN];
	uint8_t packed[PROBE_PIECES * PROBE_PIECE_LEN + 1024];
};

int chunk_encoder_new(int level, struct chunk_encoder **ret_encoder, struct error *err)
{
	struct chunk_encoder *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return error_no_memory(err, "a chunk encoder");
	e->level = level;
	e->full = ZSTD_createCCtx();
	e->probe = ZSTD_createCCtx();
	if (e->full == NULL || e->probe == NULL) {
		chunk_encoder_free(e);
		return error_no_memory(err, "a compressor");
	}
	*ret_encoder = e;
	return 0;
}

void chunk_encoder_free(struct chunk_encoder *e)
{
	if (e == NULL)
		return;
	ZSTD_freeCCtx(e->full);
	ZSTD_freeCCtx(e->probe);
	free(e);
}

/* Compresses a few small pieces at the fastest level: media and ciphertext show at once. */
static bool compressible(struct chunk_encoder *e, const uint8_t *plain, size_t len)
{
	if (len < PROBE_MIN_LEN)
		return true;
	size_t step = (len - PROBE_PIECE_LEN) / (PROBE_PIECES - 1);
	for (size_t i = 0; i < PROBE_PIECES; i++)
		memcpy(e->sample + i * PROBE_PIECE_LEN, plain + i * step, PROBE_PIECE_LEN);
	size_t n = ZSTD_compressCCtx(e->probe, e->packed, sizeof(e->packed), e->sample, sizeof(e->sample), 1);
	return ZSTD_isError(n) || n < sizeof(e->sample) - (sizeof(e->sample) >> GAIN_SHIFT);
}

/* Packs behind what ret holds, which has room. Returns the length, or an error of zstd's. */
static size_t pack_as(struct chunk_encoder *e, bool rows, const void *plain, size_t len, struct buf *ret)
{
	ZSTD_CCtx_setParameter(e->full, ZSTD_c_compressionLevel, e->level);
	ZSTD_CCtx_setParameter(e->full, ZSTD_c_minMatch, rows ? ROWS_MIN_MATCH : 0);
	return ZSTD_compress2(e->full, ret->data + ret->len, ret->cap - ret->len, plain, len);
}

static size_t pack_best(struct chunk_encoder *e, const void *plain, size_t len, struct buf *ret)
{
	bool trial = e->level == TRIAL_LEVEL && len >= PROBE_MIN_LEN && e->count++ % TRIAL_EVERY == 0;
	size_t other = trial ? pack_as(e, !e->rows, plain, len, ret) : 0;
	size_t n = pack_as(e, e->rows, plain, len, ret);

	if (!trial || ZSTD_isError(other) || other >= n)
		return n;
	e->rows = !e->rows;
	return pack_as(e, e->rows, plain, len, ret);
}

static void put_header(struct buf *ret, enum chunk_compression compression)
{
	buf_put_u8(ret, (uint8_t)compression);
	buf_put_u8(ret, 0);
	buf_put_u16(ret, 0);
}

int chunk_encode(
	struct chunk_encoder *e, const void *plain, size_t len, struct buf *ret, bool *ret_raw, struct error *err)
{
	bool packed = false;

	buf_clear(ret);
	if (len > CHUNK_PLAIN_MAX)
		return error_set(err, ERR_BUG, "a chunk of %zu bytes", len);
	if (e->level > 0 && len > 0 && compressible(e, plain, len)) {
		put_header(ret, CHUNK_ZSTD);
		if (!buf_reserve(ret, ZSTD_compressBound(len)))
			return error_no_memory(err, "compressing a chunk");
		size_t n = pack_best(e, plain, len, ret);
		packed = !ZSTD_isError(n) && n < len - (len >> GAIN_SHIFT);
		if (packed)
			ret->len += n;
	}
	if (!packed) {
		buf_clear(ret);
		put_header(ret, CHUNK_RAW);
		buf_put(ret, plain, len);
	}
	if (buf_failed(ret))
		return error_no_memory(err, "compressing a chunk");
	if (ret_raw != NULL)
		*ret_raw = !packed;
	return 0;
}

struct chunk_decoder {
	ZSTD_DCtx *ctx;
};

int chunk_decoder_new(struct chunk_decoder **ret_decoder, struct error *err)
{
	struct chunk_decoder *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return error_no_memory(err, "a chunk decoder");
	d->ctx = ZSTD_createDCtx();
	if (d->ctx == NULL) {
		free(d);
		return error_no_memory(err, "a decompressor");
	}
	*ret_decoder = d;
	return 0;
}

void chunk_decoder_free(struct chunk_decoder *d)
{
	if (d == NULL)
		return;
	ZSTD_freeDCtx(d->ctx);
	free(d);
}

static int unpack_zstd(struct chunk_decoder *d, const uint8_t *payload, size_t len, const void *base, size_t base_len,
	void *dst, size_t plain_len, struct error *err)
{
	if (base != NULL && ZSTD_isError(ZSTD_DCtx_refPrefix(d->ctx, base, base_len)))
		return error_set(err, ERR_NO_MEMORY, "no memory for the base of a chunk");
	size_t n = ZSTD_decompressDCtx(d->ctx, dst, plain_len, payload, len);
	if (ZSTD_isError(n))
		return error_set(err, ERR_CORRUPT, "a chunk does not unpack: %s", ZSTD_getErrorName(n));
	if (n != plain_len)
		return error_set(err, ERR_CORRUPT, "a chunk unpacks to %zu bytes instead of %zu", n, plain_len);
	return 0;
}

/* Takes the header off *c. */
static int header_read(struct cursor *c, bool has_base, uint8_t *ret_compression, struct error *err)
{
	uint8_t compression = cursor_u8(c);
	uint8_t depth = cursor_u8(c);
	uint16_t dictionary = cursor_u16(c);

	if (depth > 0)
		cursor_bytes(c, sizeof(struct id));
	if (cursor_failed(c) || depth > CHUNK_DEPTH_MAX || (depth > 0) != has_base)
		return error_set(err, ERR_CORRUPT, "a chunk's header does not fit its locator");
	if (dictionary != 0 || compression > CHUNK_ZSTD_PREFIX)
		return error_set(err, ERR_UNSUPPORTED, "a chunk is packed in a way that this version does not know");
	if ((compression == CHUNK_ZSTD_PREFIX) != (depth > 0))
		return error_set(err, ERR_CORRUPT, "a chunk's header contradicts itself");
	*ret_compression = compression;
	return 0;
}

static int copy_raw(const struct cursor *c, void *dst, size_t plain_len, struct error *err)
{
	if (cursor_left(c) != plain_len)
		return error_set(err, ERR_CORRUPT, "a chunk holds %zu bytes instead of %zu", cursor_left(c), plain_len);
	if (plain_len > 0)
		memcpy(dst, c->p, plain_len);
	return 0;
}

int chunk_unpack(struct chunk_decoder *d, const void *opened, size_t len, const void *base, size_t base_len, void *dst,
	size_t plain_len, struct error *err)
{
	struct cursor c = cursor_of(opened, len);
	uint8_t compression = CHUNK_RAW;
	int r = header_read(&c, base != NULL, &compression, err);

	if (r < 0)
		return r;
	if (compression == CHUNK_RAW)
		return copy_raw(&c, dst, plain_len, err);
	return unpack_zstd(d, c.p, cursor_left(&c), base, base_len, dst, plain_len, err);
}

/* The first bytes of a frame, from which zstd tells how long its first step is. */
enum { FRAME_BEGIN = 5 };

int chunk_steps_begin(struct chunk_decoder *d, const void *opened, size_t len, void *dst, size_t plain_len,
	struct chunk_steps *ret, struct error *err)
{
	struct cursor c = cursor_of(opened, len);
	uint8_t compression = CHUNK_RAW;
	int r = header_read(&c, false, &compression, err);

	if (r < 0)
		return r;
	*ret = (struct chunk_steps){
		.src = c.p, .src_len = cursor_left(&c), .next = FRAME_BEGIN, .dst = dst, .dst_len = plain_len};
	/* What was unpacked stays in dst and is the window, so nothing is copied. A zstd without this does all at once.
	 */
	ZSTD_DCtx_reset(d->ctx, ZSTD_reset_session_and_parameters);
	bool steps =
		compression == CHUNK_ZSTD && !ZSTD_isError(ZSTD_DCtx_setParameter(d->ctx, ZSTD_d_stableOutBuffer, 1));
	if (steps)
		return 0;
	r = compression == CHUNK_RAW ? copy_raw(&c, dst, plain_len, err)
				     : unpack_zstd(d, c.p, cursor_left(&c), NULL, 0, dst, plain_len, err);
	ret->have = r == 0 ? plain_len : 0;
	ret->done = true;
	return r;
}

int chunk_steps_more(struct chunk_decoder *d, struct chunk_steps *s, struct error *err)
{
	size_t left = s->src_len - s->src_pos;

	if (s->done)
		return 0;
	ZSTD_inBuffer in = {s->src + s->src_pos, s->next < left ? s->next : left, 0};
	ZSTD_outBuffer out = {s->dst, s->dst_len, s->have};
	size_t next = ZSTD_decompressStream(d->ctx, &out, &in);

	if (ZSTD_isError(next))
		return error_set(err, ERR_CORRUPT, "a chunk does not unpack: %s", ZSTD_getErrorName(next));
	bool moved = in.pos > 0 || out.pos > s->have;
	s->src_pos += in.pos;
	s->have = out.pos;
	s->next = next;
	if (next == 0 && (s->have != s->dst_len || s->src_pos != s->src_len))
		return error_set(err, ERR_CORRUPT, "a chunk unpacks to %zu bytes instead of %zu", s->have, s->dst_len);
	if (next != 0 && !moved)
		return error_set(err, ERR_CORRUPT, "a chunk ends after %zu bytes instead of %zu", s->have, s->dst_len);
	s->done = next == 0;
	return 0;
}

int chunk_decode(struct chunk_decoder *d, const uint8_t key[static FORMAT_KEY_LEN], const struct seal_place *place,
	void *sealed, size_t sealed_len, const void *base, size_t base_len, void *dst, size_t plain_len,
	struct error *err)
{
	int r = seal_open(key, place, sealed, sealed_len, sealed, err);

	if (r < 0)
		return r;
	return chunk_unpack(d, sealed, sealed_len - FORMAT_TAG_LEN, base, base_len, dst, plain_len, err);
}
