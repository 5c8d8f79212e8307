/* SPDX-License-Identifier: MIT */
/*
 * gzip: every member is inflated, so that zlib holds it against its CRC-32
 * and length; what comes out is judged in turn and dropped. Behind the last
 * member only zeros may stand, as tapes and block devices leave them.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "archive/complete_kind.h"
#include "base/checked.h"

enum { OUT_SIZE = 32 * 1024, WINDOW_BITS_GZIP = 15 + 16 };

enum place { IN_MEMBER, BETWEEN, IN_PADDING };

struct gzip {
	struct complete_judgement *j;
	struct complete *inner;
	z_stream z;
	enum place place;
	uint8_t out[OUT_SIZE];
};

static enum complete_sniff gzip_sniff(const struct complete_file *file, const uint8_t *head, size_t len, bool end)
{
	static const uint8_t magic[] = {0x1f, 0x8b, 8};

	(void)file;
	if (memcmp(head, magic, min_u64(len, sizeof(magic))) != 0)
		return SNIFF_NO;
	if (len >= sizeof(magic))
		return SNIFF_YES;
	return end ? SNIFF_NO : SNIFF_MORE;
}

static void *gzip_open(const struct complete_file *file, struct complete_judgement *j)
{
	struct gzip *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->j = j;
	d->inner = complete_new_inner(file);
	if (d->inner == NULL || inflateInit2(&d->z, WINDOW_BITS_GZIP) != Z_OK) {
		complete_free(d->inner);
		free(d);
		return NULL;
	}
	return d;
}

static void judge_inflate(struct gzip *d, int r)
{
	if (r == Z_STREAM_END)
		d->place = BETWEEN;
	else if (r == Z_MEM_ERROR)
		complete_no_memory(d->j);
	else if (r != Z_OK && r != Z_BUF_ERROR) /* Z_BUF_ERROR: it needs more input */
		complete_bad(d->j, "is damaged gzip: %s", d->z.msg != NULL ? d->z.msg : "cannot be unpacked");
}

/* Inflates until the input is used up or the member ends. Returns how much it took. */
static size_t feed_member(struct gzip *d, const uint8_t *data, size_t len)
{
	uInt take = (uInt)min_u64(len, UINT_MAX);

	d->z.next_in = (z_const Bytef *)data;
	d->z.avail_in = take;
	do {
		d->z.next_out = d->out;
		d->z.avail_out = OUT_SIZE;
		judge_inflate(d, inflate(&d->z, Z_NO_FLUSH));
		complete_feed(d->inner, d->out, OUT_SIZE - d->z.avail_out);
	} while (!d->j->settled && d->place == IN_MEMBER && (d->z.avail_in > 0 || d->z.avail_out == 0));
	return take - d->z.avail_in;
}

/* A member has ended: another, or padding? */
static void begin_next(struct gzip *d, uint8_t first)
{
	if (first == 0) {
		d->place = IN_PADDING;
	} else if (first == 0x1f) {
		inflateReset(&d->z);
		d->place = IN_MEMBER;
	} else {
		complete_bad(d->j, "has other data behind the end of its gzip data");
	}
}

/* A byte that is 0, and all that follow it. */
static bool all_zero(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

static void gzip_feed(void *state, const uint8_t *data, size_t len)
{
	struct gzip *d = state;

	while (len > 0 && !d->j->settled) {
		size_t n = 0;
		if (d->place == IN_MEMBER) {
			n = feed_member(d, data, len);
		} else if (d->place == BETWEEN) {
			begin_next(d, data[0]);
		} else {
			if (!all_zero(data, len))
				complete_bad(d->j, "has other data behind the end of its gzip data");
			n = len;
		}
		data += n;
		len -= n;
	}
}

static uint64_t gzip_zeros(void *state, uint64_t len)
{
	const struct gzip *d = state;

	return d->place == IN_PADDING ? len : 0;
}

static void gzip_finish(void *state)
{
	struct gzip *d = state;

	if (d->place == IN_MEMBER)
		complete_bad(d->j, "ends inside its gzip data: it was cut short");
	else
		complete_finish_inner(d->j, d->inner);
}

static void gzip_free(void *state)
{
	struct gzip *d = state;

	inflateEnd(&d->z);
	complete_free(d->inner);
	free(d);
}

const struct complete_kind complete_kind_gzip = {
	.name = "gzip",
	.compressed = true,
	.sniff = gzip_sniff,
	.open = gzip_open,
	.feed = gzip_feed,
	.zeros = gzip_zeros,
	.finish = gzip_finish,
	.free = gzip_free,
};
