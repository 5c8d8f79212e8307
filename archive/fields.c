/* SPDX-License-Identifier: MIT */
#include "archive/fields.h"

#include <stdlib.h>
#include <string.h>

#include "archive/entry.h"

static void put_time(struct buf *b, uint16_t tag, const struct entry_time *t)
{
	struct buf value = {0};
	if (t->sec == 0 && t->nsec == 0)
		return;
	buf_put_svarint(&value, t->sec);
	buf_put_varint(&value, t->nsec);
	if (buf_failed(&value))
		b->failed = true;
	else
		tlv_put(b, tag, value.data, value.len);
	buf_release(&value);
}

static void put_number(struct buf *b, uint16_t tag, uint64_t v)
{
	if (v != 0)
		tlv_put_u64(b, tag, v);
}

static void put_one(struct buf *b, const struct field *f, const void *member)
{
	switch (f->type) {
	case FIELD_ID:
		if (!id_is_zero(member))
			tlv_put(b, f->tag, member, sizeof(struct id));
		break;
	case FIELD_U32:
		put_number(b, f->tag, *(const uint32_t *)member);
		break;
	case FIELD_U64:
		put_number(b, f->tag, *(const uint64_t *)member);
		break;
	case FIELD_S64:
		if (*(const int64_t *)member != 0)
			tlv_put_s64(b, f->tag, *(const int64_t *)member);
		break;
	case FIELD_STR: {
		const char *s = *(char *const *)member;
		if (s && *s)
			tlv_put_str(b, f->tag, s);
		break;
	}
	case FIELD_TIME:
		put_time(b, f->tag, member);
		break;
	}
}

void fields_put(struct buf *b, const struct field *fields, size_t count, const void *base)
{
	for (size_t i = 0; i < count; i++)
		put_one(b, &fields[i], (const char *)base + fields[i].offset);
}

static int take_str(const struct field *f, char **member, struct cursor *value, const char *where, struct error *err)
{
	size_t len = cursor_left(value);
	const uint8_t *bytes = cursor_bytes(value, len);
	if (len > f->max || (len > 0 && memchr(bytes, 0, len)))
		return error_set(err, ERR_CORRUPT, "'%s' holds a text that is none (tag %u)", where, f->tag & 0x7fffu);
	char *s = malloc(len + 1);
	if (!s)
		return error_no_memory(err, "decoding a statement");
	if (len > 0)
		memcpy(s, bytes, len);
	s[len] = '\0';
	free(*member);
	*member = s;
	return 0;
}

static void take_time(struct entry_time *t, struct cursor *value)
{
	t->sec = cursor_svarint(value);
	t->nsec = (uint32_t)cursor_varint_max(value, 999999999);
}

static int take(const struct field *f, void *member, struct cursor *value, const char *where, struct error *err)
{
	switch (f->type) {
	case FIELD_ID:
		cursor_copy(value, member, sizeof(struct id));
		break;
	case FIELD_U32:
		*(uint32_t *)member = (uint32_t)cursor_varint_max(value, f->max);
		break;
	case FIELD_U64:
		*(uint64_t *)member = cursor_varint_max(value, f->max);
		break;
	case FIELD_S64:
		*(int64_t *)member = cursor_svarint(value);
		break;
	case FIELD_STR:
		return take_str(f, member, value, where, err);
	case FIELD_TIME:
		take_time(member, value);
		break;
	}
	if (!cursor_done(value))
		return error_set(err, ERR_CORRUPT, "'%s' holds a malformed field (tag %u)", where, f->tag & 0x7fffu);
	return 0;
}

int fields_get(const struct field *fields, size_t count, uint64_t *seen, void *base, uint16_t tag, struct cursor *value,
	const char *where, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (fields[i].tag != tag)
			continue;
		if (*seen & (UINT64_C(1) << i))
			return error_set(err, ERR_CORRUPT, "'%s' holds a field twice (tag %u)", where, tag & 0x7fffu);
		*seen |= UINT64_C(1) << i;
		int rc = take(&fields[i], (char *)base + fields[i].offset, value, where, err);
		return rc == 0 ? 1 : rc;
	}
	return 0;
}

bool fields_met(const struct field *fields, size_t count, uint64_t seen, uint16_t tag)
{
	for (size_t i = 0; i < count; i++)
		if (fields[i].tag == tag)
			return (seen & (UINT64_C(1) << i)) != 0;
	return false;
}
