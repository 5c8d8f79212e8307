/* SPDX-License-Identifier: MIT */
/* Envelopes, names and TLV: what every stored object is taken apart with first. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_tlv(const uint8_t *data, size_t size)
{
	struct cursor value, c = cursor_of(data, size);
	uint16_t tag;
	size_t steps = 0;
	while (tlv_next(&c, &tag, &value)) {
		struct cursor inner = value;
		(void)cursor_svarint(&value);
		(void)tlv_unknown(tag, "fuzz", NULL);
		free(cursor_str(&inner, 100));
		if (++steps > size)
			abort();
	}
}

static void parse_name(const uint8_t *data, size_t size)
{
	static const char *const prefixes[] = {"packs/", "wraps/1/", "snapshots/", "keys/", "packs/ab/"};
	struct id id;
	char *name = strndup((const char *)data, size);
	if (!name)
		return;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		char back[FORMAT_NAME_MAX];
		if (!object_name_parse(name, prefixes[i], &id))
			continue;
		enum object_kind kinds[] = {KIND_DATA_PACK, KIND_WRAP, KIND_SNAPSHOT, KIND_SLOT, KIND_DATA_PACK};
		object_name(kinds[i], 1, &id, back);
		if (strcmp(back, name) != 0)
			abort();
	}
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct object_header h;
	struct error err = ERROR_INIT;
	if (object_header_parse(data, size, 0, "fuzz", &h, &err) == 0 && h.version != FORMAT_VERSION)
		abort();
	error_clear(&err);
	if (object_verify(data, size, 0, "fuzz", &h, &err) == 0 && size < FORMAT_HEADER_LEN + FORMAT_TRAILER_LEN)
		abort();
	walk_tlv(data, size);
	parse_name(data, size);
	return 0;
}
