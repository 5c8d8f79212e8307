/* SPDX-License-Identifier: MIT */
/*
 * pg_dump's custom format: a table of contents, then a block for each entry
 * with data, to the end of the file. A block is a type byte, the entry's id
 * and its data in pieces (a length, the bytes; length 0 closes it); a block
 * of large objects holds such a sequence for each object behind its number,
 * and closes with number 0. Into a file pg_dump writes the table a second
 * time at the end, with the blocks' offsets; into a pipe it cannot.
 *
 * Entries may be many, so they are not kept: the ids that need a block and
 * the ids that have one are each summed up, scrambled, and the sums compared.
 *
 * toc.dat of the other formats has the same beginning and no blocks.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/complete_kind.h"
#include "archive/complete_pgtoc.h"
#include "base/checked.h"

enum block_type { BLOCK_DATA = 1, BLOCK_BLOBS = 3 };

/* What the next number is. */
enum step { STEP_TYPE, STEP_ID, STEP_OBJECT, STEP_LENGTH };

/* A set of blocks, by number and by sums that tell two sets apart. */
struct block_set {
	uint64_t count, ids, places;
};

struct pgcustom {
	struct complete_judgement *j;
	struct pgtoc toc;
	uint64_t pos;      /* of the next byte in the file */
	bool places_known; /* the table of contents says where each block lies */
	struct block_set expected, found;
	enum step step;
	bool blobs;         /* the block holds large objects */
	uint64_t block_pos; /* where the block begins */
	uint64_t pass;      /* bytes of data to pass over */
	struct pgtoc_number number;
};

/* Spreads a value over all bits, so that sums of different sets differ. */
static uint64_t scramble(uint64_t v)
{
	v = (v + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
	v = (v ^ v >> 29) * 0x94d049bb133111ebu;
	return v ^ v >> 32;
}

static void block_set_add(struct block_set *s, int32_t id, uint64_t pos)
{
	s->count++;
	s->ids += scramble((uint64_t)id);
	s->places += scramble(scramble((uint64_t)id) ^ pos);
}

static void on_entry(void *ctx, const struct pgtoc_entry *entry)
{
	struct pgcustom *d = ctx;

	if (!entry->has_data || entry->place == PGTOC_PLACE_NO_DATA || d->toc.format != PGTOC_CUSTOM)
		return;
	if (entry->place != PGTOC_PLACE_SET)
		d->places_known = false;
	block_set_add(&d->expected, entry->id, entry->offset);
}

static enum complete_sniff pgcustom_sniff(const struct complete_file *file, const uint8_t *head, size_t len, bool end)
{
	(void)file;
	if (memcmp(head, PGTOC_MAGIC, min_u64(len, PGTOC_MAGIC_LEN)) != 0)
		return SNIFF_NO;
	if (len < PGTOC_MAGIC_LEN)
		return end ? SNIFF_NO : SNIFF_MORE;
	return SNIFF_YES;
}

static void *pgcustom_open(const struct complete_file *file, struct complete_judgement *j)
{
	struct pgcustom *d = calloc(1, sizeof(*d));

	(void)file;
	if (d == NULL)
		return NULL;
	d->j = j;
	d->places_known = true;
	pgtoc_init(&d->toc, on_entry, d);
	pgtoc_number_begin(&d->number, 1);
	return d;
}

static void expect(struct pgcustom *d, enum step step)
{
	d->step = step;
	pgtoc_number_begin(&d->number, step == STEP_TYPE ? 1 : (uint8_t)(1 + d->toc.int_size));
}

static void take_type(struct pgcustom *d)
{
	uint8_t type = d->number.bytes[0];

	if (type != BLOCK_DATA && type != BLOCK_BLOBS) {
		complete_bad(d->j, "is damaged: there is no block of pg_dump at byte %llu",
			(unsigned long long)d->block_pos);
		return;
	}
	d->blobs = type == BLOCK_BLOBS;
	expect(d, STEP_ID);
}

/* A number within a block is whole. */
static void take_block_int(struct pgcustom *d, int32_t v)
{
	switch (d->step) {
	case STEP_ID:
		block_set_add(&d->found, v, d->block_pos);
		expect(d, d->blobs ? STEP_OBJECT : STEP_LENGTH);
		break;
	case STEP_OBJECT:
		expect(d, v == 0 ? STEP_TYPE : STEP_LENGTH);
		break;
	default:
		d->pass = (uint64_t)v;
		if (v > 0)
			expect(d, STEP_LENGTH);
		else
			expect(d, d->blobs ? STEP_OBJECT : STEP_TYPE);
	}
}

/* Large objects' numbers have 32 bits, and pg_dump writes them as if they were signed. */
static bool block_int(const struct pgcustom *d, int32_t *ret_value)
{
	if (!pgtoc_number_int(&d->number, ret_value))
		return false;
	return *ret_value >= 0 || d->step == STEP_OBJECT;
}

static size_t feed_blocks(struct pgcustom *d, const uint8_t *data, size_t len)
{
	size_t n = (size_t)min_u64(d->pass, len);
	int32_t v = 0;
	bool whole;

	if (n > 0) {
		d->pass -= n;
		return n;
	}
	if (d->step == STEP_TYPE)
		d->block_pos = d->pos;
	n = pgtoc_number_feed(&d->number, data, len, &whole);
	if (!whole)
		return n;
	if (d->step == STEP_TYPE)
		take_type(d);
	else if (block_int(d, &v))
		take_block_int(d, v);
	else
		complete_bad(d->j, "is damaged in the data that begins at byte %llu", (unsigned long long)d->block_pos);
	return n;
}

static size_t feed_toc(struct pgcustom *d, const uint8_t *data, size_t len)
{
	size_t n = pgtoc_feed(&d->toc, data, len);

	if (d->toc.state == PGTOC_UNSUPPORTED)
		complete_unjudged(d->j);
	else if (d->toc.state == PGTOC_DAMAGED)
		complete_bad(d->j, "is damaged in its table of contents, before byte %llu",
			(unsigned long long)(d->pos + n));
	return n;
}

static bool in_toc(const struct pgcustom *d)
{
	return d->toc.state == PGTOC_READING;
}

static void pgcustom_feed(void *state, const uint8_t *data, size_t len)
{
	struct pgcustom *d = state;

	while (len > 0 && !d->j->settled) {
		size_t n;
		if (in_toc(d)) {
			n = feed_toc(d, data, len);
		} else if (d->toc.format == PGTOC_CUSTOM) {
			n = feed_blocks(d, data, len);
		} else {
			complete_bad(d->j, "goes on behind the end of its table of contents");
			return;
		}
		d->pos += n;
		data += n;
		len -= n;
	}
}

static uint64_t pgcustom_zeros(void *state, uint64_t len)
{
	struct pgcustom *d = state;
	uint64_t n;

	if (in_toc(d)) {
		n = pgtoc_pass(&d->toc, len);
	} else {
		n = min_u64(d->pass, len);
		d->pass -= n;
	}
	d->pos += n;
	return n;
}

static void judge_blocks(struct pgcustom *d)
{
	const struct block_set *e = &d->expected, *f = &d->found;

	if (d->step != STEP_TYPE || d->pass > 0)
		complete_bad(d->j, "ends inside the data of a table: it was cut short");
	else if (f->count < e->count)
		complete_bad(d->j, "lacks the data of %llu of its %llu tables: it was cut short",
			(unsigned long long)(e->count - f->count), (unsigned long long)e->count);
	else if (f->count != e->count || f->ids != e->ids)
		complete_bad(d->j, "is damaged: its data is not that of its table of contents");
	else if (d->places_known && f->places != e->places)
		complete_bad(d->j, "is damaged: its data does not lie where its table of contents says");
	else
		complete_good(d->j);
}

static void pgcustom_finish(void *state)
{
	struct pgcustom *d = state;

	if (in_toc(d))
		complete_bad(d->j, "ends inside its table of contents: it was cut short");
	else if (d->toc.format != PGTOC_CUSTOM) {
		d->j->kind = "pg_dump toc";
		complete_good(d->j);
	} else {
		judge_blocks(d);
	}
}

const struct complete_kind complete_kind_pgcustom = {
	.name = "pg_dump custom",
	.sniff = pgcustom_sniff,
	.open = pgcustom_open,
	.feed = pgcustom_feed,
	.zeros = pgcustom_zeros,
	.finish = pgcustom_finish,
	.free = free,
};
