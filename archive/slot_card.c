/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/slot.h"

enum card_tag {
	CARD_RIGHTS = TLV_CRITICAL | 1,
	CARD_SIGN_PUBLIC = TLV_CRITICAL | 2,
	CARD_LABEL = 3,
	CARD_DATASET = TLV_CRITICAL | 4, /* once a dataset; none: all */
	CARD_CREATED = 5,
};

void slot_card_free(struct slot_card *card)
{
	if (!card)
		return;
	for (unsigned i = 0; i < card->dataset_count; i++)
		free(card->datasets[i]);
	free(card->datasets);
	free(card->label);
	free(card);
}

void slot_card_put(struct buf *b, const struct slot_card *card)
{
	tlv_put_u64(b, CARD_RIGHTS, card->rights);
	tlv_put(b, CARD_SIGN_PUBLIC, card->sign_public, sizeof(card->sign_public));
	tlv_put_str(b, CARD_LABEL, card->label);
	for (unsigned i = 0; i < card->dataset_count; i++)
		tlv_put_str(b, CARD_DATASET, card->datasets[i]);
	tlv_put_s64(b, CARD_CREATED, card->created);
}

/* The whole value as a fresh string; NULL (and a failed cursor) when too long, holding a NUL, or without memory. */
static char *read_text(struct cursor *value, size_t max)
{
	size_t len = cursor_left(value);
	const uint8_t *p = cursor_bytes(value, len);
	char *text = p && len <= max && !memchr(p, 0, len) ? strndup((const char *)p, len) : NULL;
	if (!text)
		value->failed = true;
	return text;
}

static void read_dataset(struct cursor *value, struct slot_card *card)
{
	if (!card->datasets)
		card->datasets = calloc(SLOT_DATASETS_MAX, sizeof(*card->datasets));
	char *name = card->datasets && card->dataset_count < SLOT_DATASETS_MAX ? read_text(value, SLOT_DATASET_NAME_MAX)
									       : NULL;
	if (name)
		card->datasets[card->dataset_count++] = name;
	else
		value->failed = true;
}

static int card_field(struct slot_card *card, uint16_t tag, struct cursor *value, struct error *err)
{
	switch (tag) {
	case CARD_RIGHTS:
		card->rights = (unsigned)cursor_varint_max(value, UINT32_MAX);
		return 0;
	case CARD_SIGN_PUBLIC:
		cursor_copy(value, card->sign_public, sizeof(card->sign_public));
		return 0;
	case CARD_LABEL:
		free(card->label);
		card->label = read_text(value, REPO_LABEL_MAX);
		return 0;
	case CARD_DATASET:
		read_dataset(value, card);
		return 0;
	case CARD_CREATED:
		card->created = cursor_svarint(value);
		return 0;
	default:
		value->p = value->end;
		return tlv_unknown(tag, "a key slot's card", err);
	}
}

int slot_card_read(struct cursor *c, struct slot_card **ret_card, struct error *err)
{
	struct slot_card *card = calloc(1, sizeof(*card));
	struct cursor value;
	bool rights = false, sign_public = false;
	uint16_t tag;
	int rc = card ? 0 : error_no_memory(err, "a key slot's card");
	while (rc == 0 && tlv_next(c, &tag, &value)) {
		rc = card_field(card, tag, &value, err);
		if (rc == 0 && !cursor_done(&value))
			rc = error_set(err, ERR_CORRUPT, "a key slot's card holds a field that is not well-formed");
		rights |= tag == CARD_RIGHTS;
		sign_public |= tag == CARD_SIGN_PUBLIC;
	}
	if (rc == 0 && (cursor_failed(c) || !rights || !sign_public))
		rc = error_set(err, ERR_CORRUPT, "a key slot's card is not whole");
	if (rc == 0 && !card->label && !(card->label = strdup("")))
		rc = error_no_memory(err, "a key slot's card");
	if (rc != 0) {
		slot_card_free(card);
		return rc;
	}
	*ret_card = card;
	return 0;
}
