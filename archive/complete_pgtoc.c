/* SPDX-License-Identifier: MIT */
#include "archive/complete_pgtoc.h"

#include <string.h>

#include "base/checked.h"

enum { VERSION_MIN = 12, VERSION_MAX = 16 };

enum field_type {
	FIELD_BYTE,
	FIELD_INT,
	FIELD_STRING,  /* a length as integer, -1 for none, then the bytes */
	FIELD_STRINGS, /* strings up to and with one that is none */
	FIELD_FILE,    /* a string that is kept; not in the custom format */
	FIELD_PLACE,   /* a byte and an offset; in the custom format only */
};

enum field_name { ANY, MAJOR, MINOR, INT_SIZE, OFFSET_SIZE, FORMAT, COUNT, ID, HAS_DATA };

struct field {
	enum field_type type;
	enum field_name name;
	uint8_t since, until; /* versions that have it; 0 for no bound */
};

static const struct field header_fields[] = {
	{FIELD_BYTE, MAJOR, 0, 0},
	{FIELD_BYTE, MINOR, 0, 0},
	{FIELD_BYTE, ANY, 0, 0}, /* revision */
	{FIELD_BYTE, INT_SIZE, 0, 0},
	{FIELD_BYTE, OFFSET_SIZE, 0, 0},
	{FIELD_BYTE, FORMAT, 0, 0},
	{FIELD_INT, ANY, 0, 14},  /* level of compression */
	{FIELD_BYTE, ANY, 15, 0}, /* algorithm of compression */
	{FIELD_INT, ANY, 0, 0},   /* second, minute, hour, day, month, year, daylight saving */
	{FIELD_INT, ANY, 0, 0},
	{FIELD_INT, ANY, 0, 0},
	{FIELD_INT, ANY, 0, 0},
	{FIELD_INT, ANY, 0, 0},
	{FIELD_INT, ANY, 0, 0},
	{FIELD_INT, ANY, 0, 0},
	{FIELD_STRING, ANY, 0, 0}, /* database, version of the server, version of pg_dump */
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_INT, COUNT, 0, 0},
};

static const struct field entry_fields[] = {
	{FIELD_INT, ID, 0, 0},
	{FIELD_INT, HAS_DATA, 0, 0},
	{FIELD_STRING, ANY, 0, 0}, /* object id of the catalog, object id, tag, description */
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_INT, ANY, 0, 0},    /* section */
	{FIELD_STRING, ANY, 0, 0}, /* statements: definition, drop, copy */
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_STRING, ANY, 0, 0}, /* schema, tablespace */
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_STRING, ANY, 14, 0}, /* table access method */
	{FIELD_INT, ANY, 16, 0},    /* kind of relation */
	{FIELD_STRING, ANY, 0, 0},  /* owner, "with oids" */
	{FIELD_STRING, ANY, 0, 0},
	{FIELD_STRINGS, ANY, 0, 0}, /* dependencies */
	{FIELD_FILE, ANY, 0, 0},
	{FIELD_PLACE, ANY, 0, 0},
};

void pgtoc_number_begin(struct pgtoc_number *n, uint8_t want)
{
	*n = (struct pgtoc_number){.want = want};
}

size_t pgtoc_number_feed(struct pgtoc_number *n, const uint8_t *data, size_t len, bool *ret_whole)
{
	size_t take = (size_t)min_u64(len, (uint64_t)(n->want - n->have));

	memcpy(n->bytes + n->have, data, take);
	n->have = (uint8_t)(n->have + take);
	*ret_whole = n->have == n->want;
	return take;
}

/* All but the first byte, least significant first. */
static uint64_t magnitude(const struct pgtoc_number *n)
{
	uint64_t v = 0;

	for (unsigned i = n->want; i-- > 1;)
		v = v << 8 | n->bytes[i];
	return v;
}

bool pgtoc_number_int(const struct pgtoc_number *n, int32_t *ret_value)
{
	uint64_t v = magnitude(n);

	if (n->bytes[0] > 1 || v > INT32_MAX)
		return false;
	*ret_value = n->bytes[0] == 1 ? -(int32_t)v : (int32_t)v;
	return true;
}

static const struct field *current(const struct pgtoc *t)
{
	return t->in_entries ? &entry_fields[t->field] : &header_fields[t->field];
}

static bool has_field(const struct pgtoc *t, const struct field *f)
{
	if ((f->since != 0 && t->version < f->since) || (f->until != 0 && t->version > f->until))
		return false;
	if (f->type == FIELD_FILE)
		return t->format != PGTOC_CUSTOM;
	return f->type != FIELD_PLACE || t->format == PGTOC_CUSTOM;
}

static void expect_field(struct pgtoc *t)
{
	switch (current(t)->type) {
	case FIELD_BYTE:
		pgtoc_number_begin(&t->number, 1);
		break;
	case FIELD_PLACE:
		pgtoc_number_begin(&t->number, (uint8_t)(1 + t->offset_size));
		break;
	default:
		pgtoc_number_begin(&t->number, (uint8_t)(1 + t->int_size));
	}
}

static void begin_entry(struct pgtoc *t)
{
	if (t->entries_left == 0) {
		t->state = PGTOC_WHOLE;
		return;
	}
	t->entries_left--;
	t->in_entries = true;
	t->field = 0;
	t->entry = (struct pgtoc_entry){0};
	expect_field(t);
}

/* On to the next field that this version and format have, or to the next entry. */
static void next_field(struct pgtoc *t)
{
	size_t count = t->in_entries ? ARRAY_LEN(entry_fields) : ARRAY_LEN(header_fields);

	do
		t->field++;
	while (t->field < count && !has_field(t, current(t)));
	if (t->field < count) {
		expect_field(t);
		return;
	}
	if (t->in_entries && t->on_entry != NULL)
		t->on_entry(t->ctx, &t->entry);
	begin_entry(t);
}

/* A byte of the header that governs how the rest is read. */
static enum pgtoc_state take_header_byte(struct pgtoc *t, enum field_name name, uint8_t v)
{
	switch (name) {
	case MAJOR:
		return v == 1 ? PGTOC_READING : PGTOC_UNSUPPORTED;
	case MINOR:
		t->version = v;
		return v >= VERSION_MIN && v <= VERSION_MAX ? PGTOC_READING : PGTOC_UNSUPPORTED;
	case INT_SIZE:
		t->int_size = v;
		return v >= 1 && v < PGTOC_NUMBER_MAX ? PGTOC_READING : PGTOC_DAMAGED;
	case OFFSET_SIZE:
		t->offset_size = v;
		return v >= 1 && v < PGTOC_NUMBER_MAX ? PGTOC_READING : PGTOC_DAMAGED;
	case FORMAT:
		t->format = v;
		return v == PGTOC_CUSTOM || v == PGTOC_TAR || v == PGTOC_DIRECTORY ? PGTOC_READING : PGTOC_DAMAGED;
	default:
		return PGTOC_READING;
	}
}

static bool take_int(struct pgtoc *t, enum field_name name, int32_t v)
{
	if (name == COUNT)
		t->entries_left = (uint32_t)v;
	else if (name == ID)
		t->entry.id = v;
	else if (name == HAS_DATA)
		t->entry.has_data = v != 0;
	return v >= 0 || name == ANY;
}

static bool take_place(struct pgtoc *t)
{
	t->entry.place = t->number.bytes[0];
	t->entry.offset = magnitude(&t->number);
	return t->entry.place >= PGTOC_PLACE_OPEN && t->entry.place <= PGTOC_PLACE_NO_DATA;
}

/* The length of a string was read: go on behind its bytes. */
static bool take_string(struct pgtoc *t, enum field_type type, int32_t len)
{
	if (len < -1 || (type == FIELD_FILE && len > PGTOC_FILE_MAX))
		return false;
	t->pass = len > 0 ? (uint64_t)len : 0;
	t->capturing = type == FIELD_FILE && len > 0;
	if (t->capturing)
		return true; /* next_field() follows when the name is whole */
	if (type == FIELD_STRINGS && len >= 0)
		expect_field(t);
	else
		next_field(t);
	return true;
}

/* A number is whole: what did it say? */
static void take_number(struct pgtoc *t)
{
	const struct field *f = current(t);
	int32_t v = 0;
	bool ok;

	if (f->type == FIELD_BYTE) {
		t->state = take_header_byte(t, f->name, t->number.bytes[0]);
		if (t->state == PGTOC_READING)
			next_field(t);
		return;
	}
	if (f->type == FIELD_PLACE)
		ok = take_place(t);
	else
		ok = pgtoc_number_int(&t->number, &v);
	if (ok && f->type == FIELD_INT)
		ok = take_int(t, f->name, v);
	else if (ok && f->type != FIELD_PLACE) {
		if (!take_string(t, f->type, v))
			t->state = PGTOC_DAMAGED;
		return;
	}
	if (ok)
		next_field(t);
	else
		t->state = PGTOC_DAMAGED;
}

void pgtoc_init(struct pgtoc *t, pgtoc_entry_fn *on_entry, void *ctx)
{
	*t = (struct pgtoc){.state = PGTOC_READING, .pass = PGTOC_MAGIC_LEN, .on_entry = on_entry, .ctx = ctx};
	expect_field(t);
}

/* Passes over, or keeps, the bytes of a string. */
static size_t take_passed(struct pgtoc *t, const uint8_t *data, size_t len)
{
	size_t n = (size_t)min_u64(t->pass, len);

	if (t->capturing) {
		memcpy(t->entry.file + t->entry.file_len, data, n);
		t->entry.file_len += n;
	}
	t->pass -= n;
	if (t->capturing && t->pass == 0) {
		t->capturing = false;
		next_field(t);
	}
	return n;
}

size_t pgtoc_feed(struct pgtoc *t, const uint8_t *data, size_t len)
{
	size_t used = 0;
	bool whole;

	/* The last field of an entry is never a string that is passed over: whole means that nothing is left. */
	while (used < len && t->state == PGTOC_READING) {
		if (t->pass > 0) {
			used += take_passed(t, data + used, len - used);
			continue;
		}
		used += pgtoc_number_feed(&t->number, data + used, len - used, &whole);
		if (whole)
			take_number(t);
	}
	return used;
}

uint64_t pgtoc_pass(struct pgtoc *t, uint64_t len)
{
	uint64_t n = t->capturing ? 0 : min_u64(t->pass, len);

	t->pass -= n;
	return n;
}
