/* SPDX-License-Identifier: MIT */
/*
 * zstd: each frame is decoded, so that the library holds it against its
 * checksum, and what comes out is judged in turn and dropped. A frame that
 * would need too much memory, or a dictionary, is walked from block to block
 * instead: that tells whether it is whole, not whether it is right.
 */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "archive/complete_kind.h"
#include "base/checked.h"

#define FRAME_MAGIC 0xfd2fb528u
#define SKIPPABLE_MAGIC 0x184d2a50u /* and the 15 that follow it */

enum {
	WINDOW_MAX = 8 * 1024 * 1024, /* that of zstd -19 */
	WINDOW_LOG_MAX = 23,
	WINDOW_LOG_VALID = 31, /* no program unpacks more */
	HEADER_MAX = 18,
	OUT_SIZE = 32 * 1024,
};

enum step {
	STEP_MAGIC,     /* between frames; 4 bytes */
	STEP_HEADER,    /* of a frame, behind its magic; length as its first byte says */
	STEP_DECODE,    /* the library has the frame */
	STEP_BLOCK,     /* a frame that is walked: the 3 bytes before a block */
	STEP_SKIP_SIZE, /* of a skippable frame; 4 bytes */
};

struct zst {
	struct complete_judgement *j;
	struct complete *inner;
	ZSTD_DCtx *dctx;
	enum step step;
	bool walked;          /* some frame was not decoded: what is inside is not known */
	uint8_t checksum_len; /* behind the last block of the frame that is walked */
	uint64_t pass;        /* bytes to pass over before the next step */
	size_t have, want;
	uint8_t head[HEADER_MAX]; /* what the step gathers; a frame's header with its magic */
	uint8_t out[OUT_SIZE];
};

static uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Some programs begin with a small skippable frame, and so does much that is not zstd: a frame must follow it. */
static enum complete_sniff sniff_skippable(const uint8_t *head, size_t len)
{
	if (len < 8)
		return SNIFF_MORE;
	uint64_t at = 8 + (uint64_t)load32(head + 4);
	if (at + 4 > COMPLETE_HEAD_MAX)
		return SNIFF_NO;
	if (len < at + 4)
		return SNIFF_MORE;
	return load32(head + at) == FRAME_MAGIC ? SNIFF_YES : SNIFF_NO;
}

static enum complete_sniff zstd_sniff(const struct complete_file *file, const uint8_t *head, size_t len, bool end)
{
	enum complete_sniff s = SNIFF_MORE;

	(void)file;
	if (len >= 4 && load32(head) == FRAME_MAGIC)
		return SNIFF_YES;
	if (len >= 4)
		s = (load32(head) & ~15u) == SKIPPABLE_MAGIC ? sniff_skippable(head, len) : SNIFF_NO;
	return s == SNIFF_MORE && end ? SNIFF_NO : s;
}

static void expect(struct zst *d, enum step step, size_t want)
{
	d->step = step;
	d->have = 0;
	d->want = want;
}

static void zstd_close(void *state)
{
	struct zst *d = state;

	ZSTD_freeDCtx(d->dctx);
	complete_free(d->inner);
	free(d);
}

static void *zstd_open(const struct complete_file *file, struct complete_judgement *j)
{
	struct zst *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->j = j;
	d->inner = complete_new_inner(file);
	d->dctx = ZSTD_createDCtx();
	if (d->inner == NULL || d->dctx == NULL ||
		ZSTD_isError(ZSTD_DCtx_setParameter(d->dctx, ZSTD_d_windowLogMax, WINDOW_LOG_MAX))) {
		zstd_close(d);
		return NULL;
	}
	expect(d, STEP_MAGIC, 4);
	return d;
}

/* Decodes until the input is used up or the frame ends. Returns how much it took. */
static size_t decode(struct zst *d, const uint8_t *data, size_t len)
{
	ZSTD_inBuffer in = {data, len, 0};
	ZSTD_outBuffer out;
	size_t r;

	do {
		out = (ZSTD_outBuffer){d->out, OUT_SIZE, 0};
		r = ZSTD_decompressStream(d->dctx, &out, &in);
		if (ZSTD_isError(r)) {
			if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
				complete_no_memory(d->j);
			else
				complete_bad(d->j, "is damaged zstd: %s", ZSTD_getErrorName(r));
			return in.pos;
		}
		complete_feed(d->inner, d->out, out.pos);
	} while (r != 0 && (in.pos < in.size || out.pos == out.size));
	if (r == 0)
		expect(d, STEP_MAGIC, 4);
	return in.pos;
}

/* How long a frame's header is, by its first byte behind the magic; and what that byte says. */
static const uint8_t dict_sizes[] = {0, 1, 2, 4}, content_sizes[] = {0, 2, 4, 8};

static bool is_single_segment(uint8_t descriptor)
{
	return (descriptor & 0x20) != 0;
}

static size_t content_size_len(uint8_t descriptor)
{
	return is_single_segment(descriptor) && descriptor >> 6 == 0 ? 1 : content_sizes[descriptor >> 6];
}

static size_t header_len(uint8_t descriptor)
{
	size_t window = is_single_segment(descriptor) ? 0 : 1;
	return 5 + window + dict_sizes[descriptor & 3] + content_size_len(descriptor);
}

/* The memory that decoding takes, as the header states it. */
static uint64_t window_size(const uint8_t *header)
{
	size_t n = content_size_len(header[4]);
	uint64_t size = 0;

	if (!is_single_segment(header[4])) {
		uint64_t base = UINT64_C(1) << (10 + (header[5] >> 3));
		return base + base / 8 * (header[5] & 7);
	}
	for (size_t i = n; i-- > 0;)
		size = size << 8 | header[5 + dict_sizes[header[4] & 3] + i];
	return n == 2 ? size + 256 : size;
}

static bool has_dictionary(const uint8_t *header)
{
	size_t at = is_single_segment(header[4]) ? 5 : 6;

	for (size_t i = 0; i < dict_sizes[header[4] & 3]; i++)
		if (header[at + i] != 0)
			return true;
	return false;
}

static void take_magic(struct zst *d)
{
	uint32_t magic = load32(d->head);

	if (magic == FRAME_MAGIC) {
		d->step = STEP_HEADER; /* behind the magic, which the decoder wants too */
		d->want = 5;
	} else if ((magic & ~15u) == SKIPPABLE_MAGIC) {
		expect(d, STEP_SKIP_SIZE, 4);
	} else {
		complete_bad(d->j, "has other data behind the end of its zstd data");
	}
}

static void take_header(struct zst *d)
{
	if (d->have == 5 && header_len(d->head[4]) > 5) {
		d->want = header_len(d->head[4]);
		return;
	}
	if (!is_single_segment(d->head[4]) && 10 + (d->head[5] >> 3) > WINDOW_LOG_VALID) {
		complete_bad(d->j, "is damaged zstd: a window of impossible size");
		return;
	}
	if (window_size(d->head) > WINDOW_MAX || has_dictionary(d->head)) {
		d->walked = true;
		d->checksum_len = (d->head[4] & 4) != 0 ? 4 : 0;
		expect(d, STEP_BLOCK, 3);
		return;
	}
	d->step = STEP_DECODE;
	decode(d, d->head, d->have);
}

/* The three bytes before a block: bit 0 is set on the last, bits 1 and 2 are its type, the rest its size. */
static void take_block(struct zst *d)
{
	uint32_t v = (uint32_t)d->head[0] | (uint32_t)d->head[1] << 8 | (uint32_t)d->head[2] << 16;
	uint32_t type = v >> 1 & 3;

	if (type == 3) {
		complete_bad(d->j, "is damaged zstd: a block of unknown type");
		return;
	}
	d->pass = type == 1 ? 1 : v >> 3; /* type 1 repeats one byte */
	if ((v & 1) == 0) {
		d->have = 0;
		return;
	}
	d->pass += d->checksum_len;
	expect(d, STEP_MAGIC, 4);
}

/* What the step gathered is whole. */
static void take(struct zst *d)
{
	switch (d->step) {
	case STEP_MAGIC:
		take_magic(d);
		break;
	case STEP_HEADER:
		take_header(d);
		break;
	case STEP_BLOCK:
		take_block(d);
		break;
	default:
		d->pass = load32(d->head);
		expect(d, STEP_MAGIC, 4);
	}
}

static uint64_t zstd_zeros(void *state, uint64_t len)
{
	struct zst *d = state;
	uint64_t n = min_u64(d->pass, len);

	d->pass -= n;
	return n;
}

static void zstd_feed(void *state, const uint8_t *data, size_t len)
{
	struct zst *d = state;

	while (len > 0 && !d->j->settled) {
		size_t n = (size_t)zstd_zeros(d, len);
		if (n == 0 && d->step == STEP_DECODE) {
			n = decode(d, data, len);
		} else if (n == 0) {
			n = (size_t)min_u64(len, d->want - d->have);
			memcpy(d->head + d->have, data, n);
			d->have += n;
			if (d->have == d->want)
				take(d);
		}
		data += n;
		len -= n;
	}
}

static void zstd_finish(void *state)
{
	struct zst *d = state;

	if (d->step != STEP_MAGIC || d->have > 0 || d->pass > 0)
		complete_bad(d->j, "ends inside its zstd data: it was cut short");
	else if (d->walked)
		complete_good(d->j);
	else
		complete_finish_inner(d->j, d->inner);
}

const struct complete_kind complete_kind_zstd = {
	.name = "zstd",
	.compressed = true,
	.sniff = zstd_sniff,
	.open = zstd_open,
	.feed = zstd_feed,
	.zeros = zstd_zeros,
	.finish = zstd_finish,
	.free = zstd_close,
};
