/* SPDX-License-Identifier: MIT */
/*
 * Redis' and Valkey's RDB: the last bytes are the opcode EOF and, since
 * version 5, the CRC-64 of all before it, or 0 where the server was told not
 * to compute it. The values between are not walked. A server that streams
 * its RDB, as for `redis-cli --rdb -`, ends the stream with a mark of 40 hex
 * digits, which redis-cli writes to a pipe as it comes.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/complete_kind.h"
#include "base/checked.h"

enum {
	MAGIC_LEN = 9,
	CRC_LEN = 8,
	END_LEN = 1 + CRC_LEN,
	MARK_LEN = 40,
	OPCODE_EOF = 0xff,
	FIRST_VERSION_WITH_CRC = 5,
	HEAD_KEPT = 1024
};

/* x^64 + … of Jones, least significant bit first: the CRC-64 that Redis uses. Starts at 0, no final inversion. */
#define CRC_POLY 0x95ac9329ac4bc9b5u

struct rdb {
	struct complete_judgement *j;
	uint64_t crc;           /* of all but the last bytes */
	uint64_t table[8][256]; /* table[k][b]: byte b and then k zeros */
	size_t last_len, head_len;
	uint8_t last[END_LEN + MARK_LEN]; /* the last bytes seen */
	uint8_t head[HEAD_KEPT];
};

static void make_table(uint64_t table[8][256])
{
	for (unsigned b = 0; b < 256; b++) {
		uint64_t v = b;
		for (int i = 0; i < 8; i++)
			v = (v & 1) != 0 ? v >> 1 ^ CRC_POLY : v >> 1;
		table[0][b] = v;
	}
	for (unsigned k = 1; k < 8; k++)
		for (unsigned b = 0; b < 256; b++)
			table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

static uint64_t load64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 8; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static uint64_t crc_bytes(const uint64_t table[8][256], uint64_t crc, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		crc ^= load64(p);
		crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
		      table[4][crc >> 24 & 0xff] ^ table[3][crc >> 32 & 0xff] ^ table[2][crc >> 40 & 0xff] ^
		      table[1][crc >> 48 & 0xff] ^ table[0][crc >> 56];
	}
	for (; len > 0; p++, len--)
		crc = table[0][(crc ^ *p) & 0xff] ^ crc >> 8;
	return crc;
}

/* The product of two polynomials modulo the CRC's; the highest bit is x^0. */
static uint64_t poly_multiply(uint64_t a, uint64_t b)
{
	uint64_t product = 0;

	for (; a != 0; a <<= 1) {
		if (a >> 63 != 0)
			product ^= b;
		b = (b & 1) != 0 ? b >> 1 ^ CRC_POLY : b >> 1;
	}
	return product;
}

/* The CRC after `len` more zeros: times x^8 for each, by repeated squaring. */
static uint64_t crc_zeros(uint64_t crc, uint64_t len)
{
	uint64_t power = UINT64_C(1) << (63 - 8);

	for (; len > 0; len >>= 1) {
		if ((len & 1) != 0)
			crc = poly_multiply(crc, power);
		power = poly_multiply(power, power);
	}
	return crc;
}

static bool all_digits(const uint8_t *p, size_t len)
{
	while (len > 0 && p[len - 1] >= '0' && p[len - 1] <= '9')
		len--;
	return len == 0;
}

static enum complete_sniff rdb_sniff(const struct complete_file *file, const uint8_t *head, size_t len, bool end)
{
	(void)file;
	if (memcmp(head, "REDIS", min_u64(len, 5)) != 0 && memcmp(head, "VALKEY", min_u64(len, 6)) != 0)
		return SNIFF_NO;
	if (len < MAGIC_LEN)
		return end ? SNIFF_NO : SNIFF_MORE;
	size_t name_len = head[0] == 'R' ? 5 : 6;
	return all_digits(head + name_len, MAGIC_LEN - name_len) ? SNIFF_YES : SNIFF_NO;
}

static void *rdb_open(const struct complete_file *file, struct complete_judgement *j)
{
	struct rdb *d = calloc(1, sizeof(*d));

	(void)file;
	if (d == NULL)
		return NULL;
	d->j = j;
	make_table(d->table);
	return d;
}

/* Makes room in `last` for `need` bytes by taking the oldest into the CRC. */
static void retire(struct rdb *d, size_t need)
{
	size_t free_len = sizeof(d->last) - d->last_len;

	if (need <= free_len)
		return;
	size_t n = need - free_len;
	d->crc = crc_bytes(d->table, d->crc, d->last, n);
	memmove(d->last, d->last + n, d->last_len - n);
	d->last_len -= n;
}

static void rdb_feed(void *state, const uint8_t *data, size_t len)
{
	struct rdb *d = state;
	size_t keep = (size_t)min_u64(len, sizeof(d->last));
	size_t n = (size_t)min_u64(len, HEAD_KEPT - d->head_len);

	memcpy(d->head + d->head_len, data, n);
	d->head_len += n;

	retire(d, keep);
	d->crc = crc_bytes(d->table, d->crc, data, len - keep);
	memcpy(d->last + d->last_len, data + len - keep, keep);
	d->last_len += keep;
}

static uint64_t rdb_zeros(void *state, uint64_t len)
{
	static const uint8_t zeros[HEAD_KEPT];
	struct rdb *d = state;

	if (len <= sizeof(zeros))
		return 0;
	rdb_feed(d, zeros, sizeof(zeros));
	d->crc = crc_zeros(d->crc, len - sizeof(zeros)); /* `last` is all zeros, and stays so */
	return len;
}

static unsigned version_of(const uint8_t *head)
{
	unsigned v = 0;

	for (size_t i = head[0] == 'R' ? 5 : 6; i < MAGIC_LEN; i++)
		v = v * 10 + (unsigned)(head[i] - '0');
	return v;
}

/* Redis 4 to 6 put commands behind an RDB that begins an append-only file, and say so in its head. */
static bool begins_aof(const struct rdb *d)
{
	static const char field[] = "\xfa\x0c"
				    "aof-preamble\xc0\x01";

	return memmem(d->head, d->head_len, field, sizeof(field) - 1) != NULL;
}

/* The 40 digits that end a stream: drawn by the server for each, so that nothing in the values is mistaken for them. */
static bool is_mark(const uint8_t *p)
{
	for (size_t i = 0; i < MARK_LEN; i++)
		if (!(p[i] >= '0' && p[i] <= '9') && !(p[i] >= 'a' && p[i] <= 'f'))
			return false;
	return true;
}

/* Where in `last` the end mark is, if there is one: as the last bytes, else before the mark of a stream. */
static bool find_end(const struct rdb *d, size_t *ret_at)
{
	if (d->last_len >= END_LEN && d->last[d->last_len - END_LEN] == OPCODE_EOF)
		*ret_at = d->last_len - END_LEN;
	else if (d->last_len == END_LEN + MARK_LEN && d->last[0] == OPCODE_EOF && is_mark(d->last + END_LEN))
		*ret_at = 0;
	else
		return false;
	return true;
}

static bool checksum_ok(const struct rdb *d, size_t at)
{
	uint64_t stated = load64(d->last + at + 1);

	return stated == 0 || stated == crc_bytes(d->table, d->crc, d->last, at + 1);
}

static void rdb_finish(void *state)
{
	struct rdb *d = state;
	size_t at = 0;
	bool has_crc = version_of(d->head) >= FIRST_VERSION_WITH_CRC;
	bool has_end = has_crc ? find_end(d, &at) : d->last_len > 0 && d->last[d->last_len - 1] == OPCODE_EOF;

	if (has_end && (!has_crc || checksum_ok(d, at)))
		complete_good(d->j);
	else if (begins_aof(d))
		complete_unjudged(d->j);
	else if (has_end)
		complete_bad(
			d->j, "does not have the checksum (CRC-64) that it ends with: it is damaged or was cut short");
	else
		complete_bad(d->j, "does not end with the end mark and checksum of an RDB file: it was cut short");
}

const struct complete_kind complete_kind_rdb = {
	.name = "rdb",
	.sniff = rdb_sniff,
	.open = rdb_open,
	.feed = rdb_feed,
	.zeros = rdb_zeros,
	.finish = rdb_finish,
	.free = free,
};
