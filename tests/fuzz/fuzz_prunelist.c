/* SPDX-License-Identifier: MIT */
/* Prune lists, whole objects and opened ones. */
#include <stdint.h>
#include <stdlib.h>

#include "archive/prunelist_codec.h"
#include "fuzz_repo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(bool verdict, const struct buf *b)
{
	struct prunelist list = {0};
	if (prunelist_decode(fuzz_repo(), 0, verdict, b->data, b->len, &list, NULL) != 0)
		return;
	for (size_t i = 1; i < list.packs.count; i++)
		if (id_compare(&list.packs.ids[i - 1], &list.packs.ids[i]) >= 0)
			abort();
	prunelist_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct id zero;
	struct prunelist list = {0};
	struct buf head = {0}, object = {0};
	tlv_put_u64(&head, 1 | TLV_CRITICAL, 0);
	tlv_put(&head, 2 | TLV_CRITICAL, &zero, sizeof(zero));
	struct buf b = fuzz_signed(KIND_VERDICT, &head, data, size);
	const struct buf raw = {.data = (uint8_t *)data, .len = size};
	decode(true, &b);
	decode(false, &b);
	decode(true, &raw);
	object_header_put(
		&object, &(struct object_header){KIND_VERDICT, FORMAT_VERSION, TRAILER_BLAKE2B_256, 0, 0, 0, 0});
	buf_put(&object, data, size);
	object_trailer_put(&object, TRAILER_BLAKE2B_256);
	if (prunelist_open(fuzz_repo(), 0, true, object.data, object.len, &list, NULL) == 0)
		abort(); /* there is no wrapping key */
	buf_release(&object);
	buf_release(&head);
	buf_release(&b);
	return 0;
}
