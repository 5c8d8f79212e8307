/* SPDX-License-Identifier: MIT */
/* Key slots: their outside as it comes from a store, and secrets and card as they come out of their seals. */
#include <stdint.h>
#include <stdlib.h>

#include "archive/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_outside(const uint8_t *data, size_t size)
{
	static const struct id id;
	struct slot_view view;
	struct buf b = {0};
	object_header_put(
		&b, &(struct object_header){.kind = KIND_SLOT, .version = FORMAT_VERSION, .trailer = TRAILER_SHA256});
	buf_put(&b, data, size);
	object_trailer_put(&b, TRAILER_SHA256);
	if (!buf_failed(&b) && slot_parse(b.data, b.len, &id, &view, NULL) == 0) {
		if (view.secrets_at + view.secrets_len > b.len || view.card_at + view.card_len > b.len ||
			view.signature_at + SEAL_SIGNATURE_LEN > b.len)
			abort();
	}
	buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct repo_config config;
	struct repo_secrets sec;
	struct slot_card *card;
	struct cursor c = cursor_of(data, size);
	parse_outside(data, size);
	if (slot_secrets_read(&c, &config, &sec, NULL) == 0 && (sec.wrap_count == 0 || sec.wrap_count > SLOT_WRAPS_MAX))
		abort();
	c = cursor_of(data, size);
	if (slot_card_read(&c, &card, NULL) == 0) {
		if (!card->label || card->dataset_count > SLOT_DATASETS_MAX)
			abort();
		slot_card_free(card);
	}
	return 0;
}
