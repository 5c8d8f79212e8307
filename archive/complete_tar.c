/* SPDX-License-Identifier: MIT */
/*
 * tar, and so pg_dump -Ft: blocks of 512 bytes, a header and then a member's
 * data, closed by two blocks of zeros. The headers are walked and held
 * against their checksums; the data is passed over. What stands behind the
 * two blocks is padding, which tar does not read either.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/complete_kind.h"
#include "base/checked.h"

enum { BLOCK = 512, SIZE_AT = 124, SIZE_LEN = 12, SUM_AT = 148, SUM_LEN = 8, TYPE_AT = 156, MAGIC_AT = 257 };

/* Where old GNU tar says that another block of a sparse file's map follows: in the header, in such a block. */
enum { SPARSE_MORE_AT = 482, SPARSE_MORE_IN_MAP_AT = 504 };

/* Reads the records "LENGTH KEYWORD=VALUE\n" of a pax header as they pass, for the one that matters here. */
struct pax {
	uint64_t left;   /* bytes of the header's data to come */
	bool in_length;  /* reading a record's length */
	uint64_t length; /* of the record; then what is left of it */
	size_t text_len;
	char text[32]; /* the record's beginning */
	bool has_size;
	uint64_t size; /* of the member that follows */
};

struct tar {
	struct complete_judgement *j;
	struct pax pax;
	uint64_t pos, pass; /* of the next byte; bytes to pass over */
	unsigned zero_blocks;
	bool in_map;       /* the next block belongs to a sparse file's map */
	uint64_t map_pass; /* the data behind that map */
	size_t have;
	uint8_t block[BLOCK];
};

/* Octal digits, or a big number in base 256 where the first bit is set. False when it is neither. */
static bool parse_number(const uint8_t *p, size_t len, uint64_t *ret_value)
{
	uint64_t v = 0;
	size_t i = 0;

	if ((p[0] & 0x80) != 0) {
		for (v = p[0] & 0x7f, i = 1; i < len; i++) {
			if (v >> 55 != 0)
				return false;
			v = v << 8 | p[i];
		}
		*ret_value = v;
		return true;
	}
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(p[i] - '0');
	*ret_value = v;
	return i == len || p[i] == '\0' || p[i] == ' ';
}

/* The sum of a header's bytes, its own field as blanks; some programs take the bytes as signed. */
static bool sum_matches(const uint8_t *block)
{
	uint64_t stated, sum = 0;
	int64_t signed_sum = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		uint8_t b = i >= SUM_AT && i < SUM_AT + SUM_LEN ? ' ' : block[i];
		sum += b;
		signed_sum += (int8_t)b;
	}
	return parse_number(block + SUM_AT, SUM_LEN, &stated) && (stated == sum || (int64_t)stated == signed_sum);
}

static enum complete_sniff tar_sniff(const struct complete_file *file, const uint8_t *head, size_t len, bool end)
{
	(void)file;
	if (len >= MAGIC_AT + 5 && memcmp(head + MAGIC_AT, "ustar", 5) != 0)
		return SNIFF_NO;
	if (len < BLOCK)
		return end ? SNIFF_NO : SNIFF_MORE;
	return sum_matches(head) ? SNIFF_YES : SNIFF_NO;
}

static void *tar_open(const struct complete_file *file, struct complete_judgement *j)
{
	struct tar *d = calloc(1, sizeof(*d));

	(void)file;
	if (d == NULL)
		return NULL;
	d->j = j;
	return d;
}

static uint64_t padding(uint64_t size)
{
	return (BLOCK - size % BLOCK) % BLOCK;
}

static void pax_begin(struct pax *x, uint64_t size)
{
	*x = (struct pax){.left = size, .in_length = true};
}

/* A record is whole: is it the member's size? */
static void pax_record(struct pax *x)
{
	static const char key[] = "size=";
	uint64_t v = 0;

	if (x->text_len > sizeof(key) - 1 && memcmp(x->text, key, sizeof(key) - 1) == 0) {
		for (size_t i = sizeof(key) - 1; i < x->text_len && x->text[i] >= '0' && x->text[i] <= '9'; i++)
			v = v * 10 + (uint64_t)(x->text[i] - '0');
		x->has_size = true;
		x->size = v;
	}
	x->in_length = true;
	x->length = 0;
	x->text_len = 0;
}

/* One byte of a record's length. The length counts itself. */
static bool pax_length_byte(struct pax *x, uint8_t b, size_t *digits)
{
	if (b >= '0' && b <= '9' && x->length < UINT32_MAX) {
		x->length = x->length * 10 + (uint64_t)(b - '0');
		return true;
	}
	for (uint64_t v = x->length; v > 0; v /= 10)
		++*digits;
	return b == ' ' && x->length > *digits + 1;
}

/* Reads on in a pax header. False when it is none. */
static bool pax_feed(struct pax *x, const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t n = 1, digits = 0;
		if (x->in_length) {
			if (!pax_length_byte(x, data[0], &digits))
				return false;
			if (digits > 0) {
				x->in_length = false;
				x->length -= digits + 1;
			}
		} else {
			n = (size_t)min_u64(len, x->length);
			size_t keep = (size_t)min_u64(n, sizeof(x->text) - x->text_len);
			memcpy(x->text + x->text_len, data, keep);
			x->text_len += keep;
			x->length -= n;
			if (x->length == 0)
				pax_record(x);
		}
		data += n;
		len -= n;
	}
	return true;
}

static void damaged(struct tar *d)
{
	complete_bad(
		d->j, "is a damaged tar archive: no valid header at byte %llu", (unsigned long long)(d->pos - BLOCK));
}

/* A member's header: pass over what belongs to it. */
static void take_header(struct tar *d)
{
	uint8_t type = d->block[TYPE_AT];
	uint64_t size = 0;

	if (!sum_matches(d->block) || !parse_number(d->block + SIZE_AT, SIZE_LEN, &size)) {
		damaged(d);
		return;
	}
	if (type == 'x') {
		pax_begin(&d->pax, size);
	} else if (type != 'g' && type != 'L' && type != 'K') { /* those come between a pax header and its member */
		size = d->pax.has_size ? d->pax.size : size;
		d->pax.has_size = false;
	}
	if (type == '1') /* the data of a hard link is with the file it names */
		size = 0;
	if (size > INT64_MAX - BLOCK) {
		damaged(d);
		return;
	}
	d->in_map = type == 'S' && d->block[SPARSE_MORE_AT] != 0;
	d->map_pass = size + padding(size);
	if (!d->in_map)
		d->pass = d->map_pass;
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

static void take_block(struct tar *d)
{
	d->have = 0;
	if (d->in_map) {
		d->in_map = d->block[SPARSE_MORE_IN_MAP_AT] != 0;
		if (!d->in_map)
			d->pass = d->map_pass;
		return;
	}
	if (is_zero(d->block)) {
		if (++d->zero_blocks == 2)
			complete_good(d->j);
		return;
	}
	d->zero_blocks = 0;
	take_header(d);
}

/* Passes over data, reading it where it is a pax header. Returns how much. */
static size_t take_data(struct tar *d, const uint8_t *data, size_t len)
{
	size_t n = (size_t)min_u64(d->pass, len);
	size_t pax = (size_t)min_u64(d->pax.left, n);

	d->pass -= n;
	d->pax.left -= pax;
	if (pax > 0 && !pax_feed(&d->pax, data, pax))
		complete_bad(d->j, "is a damaged tar archive: no valid pax header before byte %llu",
			(unsigned long long)d->pos);
	return n;
}

static void tar_feed(void *state, const uint8_t *data, size_t len)
{
	struct tar *d = state;

	while (len > 0 && !d->j->settled) {
		size_t n = take_data(d, data, len);
		d->pos += n;
		if (n == 0) {
			n = (size_t)min_u64(len, BLOCK - d->have);
			memcpy(d->block + d->have, data, n);
			d->have += n;
			d->pos += n;
			if (d->have == BLOCK)
				take_block(d);
		}
		data += n;
		len -= n;
	}
}

static uint64_t tar_zeros(void *state, uint64_t len)
{
	struct tar *d = state;
	uint64_t n = d->pax.left > 0 ? 0 : min_u64(d->pass, len);

	d->pass -= n;
	d->pos += n;
	return n;
}

static void tar_finish(void *state)
{
	struct tar *d = state;

	if (d->pass > 0)
		complete_bad(d->j, "ends inside a member of its tar archive: it was cut short");
	else
		complete_bad(d->j, "ends without the two blocks of zeros that close a tar archive: it was cut short");
}

const struct complete_kind complete_kind_tar = {
	.name = "tar",
	.sniff = tar_sniff,
	.open = tar_open,
	.feed = tar_feed,
	.zeros = tar_zeros,
	.finish = tar_finish,
	.free = free,
};
