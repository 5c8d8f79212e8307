/* SPDX-License-Identifier: MIT */
#include "archive/entry.h"

#include <string.h>

void entry_key_put(struct buf *b, const uint8_t *prefix, size_t prefix_len, const void *name, size_t name_len)
{
	buf_put(b, prefix, prefix_len);
	buf_put_u8(b, 0);
	buf_put(b, name, name_len);
}

bool entry_key_split(
	const uint8_t *key, size_t key_len, size_t *ret_prefix_len, const uint8_t **ret_name, size_t *ret_name_len)
{
	size_t at = 0;
	/* Components are never empty, so the first 00 that stands where one should begin is the separator. */
	while (at < key_len && key[at] != 0) {
		const uint8_t *zero = memchr(key + at, 0, key_len - at);
		if (!zero)
			return false;
		at = (size_t)(zero - key) + 1;
	}
	if (at + 1 >= key_len)
		return false;
	*ret_prefix_len = at;
	*ret_name = key + at + 1;
	*ret_name_len = key_len - at - 1;
	return true;
}

bool entry_key_to_prefix(struct buf *b, const uint8_t *key, size_t key_len)
{
	size_t prefix_len, name_len;
	const uint8_t *name;
	if (!entry_key_split(key, key_len, &prefix_len, &name, &name_len))
		return false;
	buf_put(b, key, prefix_len);
	buf_put(b, name, name_len);
	buf_put_u8(b, 0);
	return true;
}

bool entry_name_ok(const uint8_t *name, size_t len)
{
	if (len == 0 || len > ENTRY_NAME_MAX)
		return false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return false;
	return !memchr(name, 0, len) && !memchr(name, '/', len);
}

bool entry_key_ok(const uint8_t *key, size_t key_len)
{
	size_t at = 0;
	if (key_len > ENTRY_KEY_MAX)
		return false;
	while (at < key_len && key[at] != 0) {
		const uint8_t *zero = memchr(key + at, 0, key_len - at);
		if (!zero || !entry_name_ok(key + at, (size_t)(zero - key) - at))
			return false;
		at = (size_t)(zero - key) + 1;
	}
	return at < key_len && entry_name_ok(key + at + 1, key_len - at - 1);
}

bool entry_key_from_path(struct buf *b, const char *path, size_t len)
{
	size_t start = b->len;
	const char *slash = len > 0 ? memrchr(path, '/', len) : NULL;
	size_t dir_len = slash ? (size_t)(slash - path) + 1 : 0;
	/* A 00 in the path would pass for a slash once those are turned into 00. */
	if (len == 0 || memchr(path, 0, len) || !buf_reserve(b, len + 1))
		return false;
	buf_put(b, path, dir_len);
	buf_put_u8(b, 0);
	buf_put(b, path + dir_len, len - dir_len);
	for (size_t i = start; i < start + dir_len; i++)
		if (b->data[i] == '/')
			b->data[i] = 0;
	if (entry_key_ok(b->data + start, b->len - start))
		return true;
	b->len = start;
	return false;
}

void entry_key_to_path(struct buf *b, const uint8_t *key, size_t key_len)
{
	size_t start = b->len, prefix_len, name_len;
	const uint8_t *name;
	if (!entry_key_split(key, key_len, &prefix_len, &name, &name_len) || !buf_reserve(b, key_len))
		return;
	buf_put(b, key, prefix_len);
	for (size_t i = start; i < b->len; i++)
		if (b->data[i] == 0)
			b->data[i] = '/';
	buf_put(b, name, name_len);
}

void xattr_put(struct buf *b, const char *name, const void *value, size_t len)
{
	buf_put_str(b, name);
	buf_put_blob(b, value, len);
}

bool xattr_next(
	struct cursor *c, const char **ret_name, size_t *ret_name_len, const uint8_t **ret_value, size_t *ret_len)
{
	size_t name_len, len;
	if (c->failed || cursor_left(c) == 0)
		return false;
	const uint8_t *name = cursor_blob(c, ENTRY_NAME_MAX, &name_len);
	const uint8_t *value = cursor_blob(c, ENTRY_XATTR_MAX, &len);
	if (!value || name_len == 0 || memchr(name, 0, name_len)) {
		c->failed = true;
		return false;
	}
	*ret_name = (const char *)name;
	*ret_name_len = name_len;
	*ret_value = value;
	*ret_len = len;
	return true;
}

bool xattrs_ok(const void *xattrs, size_t len)
{
	struct cursor c = cursor_of(xattrs, len);
	const char *name, *last = NULL;
	const uint8_t *value;
	size_t name_len, last_len = 0, value_len;
	if (len > ENTRY_XATTR_MAX)
		return false;
	while (xattr_next(&c, &name, &name_len, &value, &value_len)) {
		if (last) {
			int order = memcmp(last, name, last_len < name_len ? last_len : name_len);
			if (order > 0 || (order == 0 && last_len >= name_len))
				return false;
		}
		last = name;
		last_len = name_len;
	}
	return cursor_done(&c);
}
