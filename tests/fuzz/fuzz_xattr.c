/* SPDX-License-Identifier: MIT */
/* Any bytes as encoded xattrs, as a key and as a path: what is taken says the same when it is put together again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void xattrs(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	struct buf again = {0};
	const char *name;
	const uint8_t *value;
	size_t name_len, len;
	while (xattr_next(&c, &name, &name_len, &value, &len)) {
		char own[ENTRY_NAME_MAX + 1] = {0};
		memcpy(own, name, name_len);
		must(strlen(own) == name_len);
		xattr_put(&again, own, value, len);
	}
	must(again.len <= size && (again.len == 0 || memcmp(again.data, data, again.len) == 0));
	must(!xattrs_ok(data, size) || again.len == size);
	buf_release(&again);
}

static void keys(const uint8_t *data, size_t size)
{
	struct buf path = {0}, key = {0};
	size_t prefix_len, name_len;
	const uint8_t *name;
	if (entry_key_split(data, size, &prefix_len, &name, &name_len)) {
		entry_key_put(&key, data, prefix_len, name, name_len);
		must(key.len == size && memcmp(key.data, data, size) == 0);
	} else {
		must(!entry_key_ok(data, size));
	}
	buf_clear(&key);
	if (entry_key_ok(data, size)) {
		entry_key_to_path(&path, data, size);
		must(entry_key_from_path(&key, (const char *)path.data, path.len));
		must(key.len == size && memcmp(key.data, data, size) == 0);
	}
	buf_clear(&key);
	buf_clear(&path);
	if (entry_key_from_path(&key, (const char *)data, size)) {
		entry_key_to_path(&path, key.data, key.len);
		must(path.len == size && memcmp(path.data, data, size) == 0);
	}
	buf_release(&key);
	buf_release(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	xattrs(data, size);
	keys(data, size);
	return 0;
}
