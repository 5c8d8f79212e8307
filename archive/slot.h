/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SLOT_H
#define ARCHIVE_SLOT_H

/*
 * Key slots, keys/<id>: what a passphrase or a key file opens. A slot has a
 * public part (id, kind, the config it belongs to), its secrets sealed for who
 * holds the passphrase, its card sealed for all who read, and the root key's
 * signature over all that. Layout: FORMAT.md, "Key slots".
 *
 * Pure functions over caller's memory; any thread. A decoder believes nothing
 * before the trailing hash, and no card before root's signature.
 */

#include "archive/repo.h"

enum {
	SLOT_OBJECT_MAX = 256 << 10,
	SLOT_SEALED_MAX = 100 << 10, /* of either sealed part */
	SLOT_DATASETS_MAX = 300,
	SLOT_DATASET_NAME_MAX = 255,
	SLOT_WRAPS_MAX = 16,
};

/* A slot's parts, borrowed from the object's bytes. Nothing here is proven but the trailing hash. */
struct slot_view {
	struct id id;
	enum slot_kind kind;
	struct id config_hash;
	const uint8_t *object; /* from its first byte on; what is signed ends where the signature begins */
	uint64_t secrets_at, card_at, signature_at;
	size_t secrets_len, card_len;
	enum cipher_kind cipher;
};

/* Takes the object keys/<id> apart. ERR_CORRUPT, ERR_UNSUPPORTED. */
int slot_parse(const void *data, size_t len, const struct id *id, struct slot_view *ret_view, struct error *err);

/*
 * The key-encrypting key that a passphrase or key file stands for. A passphrase takes a tenth of a second and the
 * memory that config says, given back at once. ERR_NO_MEMORY.
 */
int slot_kek(const struct repo_config *config, const struct repo_unlock *unlock, uint8_t ret_kek[static FORMAT_KEY_LEN],
	struct error *err);
/* Which kind of slot that opens. */
enum slot_kind slot_unlock_kind(const struct repo_unlock *unlock);

/*
 * Opens the secrets, and derives what is derived from them. ERR_PASSPHRASE: does not open with this key; ERR_CORRUPT:
 * opens, but is not the slot that root signed for this config. *ret_sec may hold half of the secrets after a failure.
 */
int slot_open_secrets(const struct slot_view *view, const struct repo_config *config,
	const uint8_t kek[static FORMAT_KEY_LEN], struct repo_secrets *ret_sec, struct error *err);
/* Checks root's signature and opens the card. ERR_CORRUPT. The caller frees. */
int slot_open_card(const struct slot_view *view, const struct repo_config *config, const struct repo_secrets *sec,
	struct slot_card **ret_card, struct error *err);
void slot_card_free(struct slot_card *card); /* NULL is a no-op */

/*
 * Makes the whole object (appended to *ret, cleared first) for card->id. `sec` holds root_secret, with which it is
 * signed; it is put into the slot when the card has RIGHT_KEYS. sign_secret is the new slot's.
 */
int slot_seal(const struct repo_config *config, const uint8_t kek[static FORMAT_KEY_LEN],
	const struct repo_secrets *sec, const struct slot_card *card, struct buf *ret, struct error *err);

/* Fills in the keys that chunk_secret and gear_secret stand for. */
void slot_derive_keys(struct repo_secrets *sec);

/* ---- between slot.c, slot_secrets.c and slot_card.c ---- */

/* TLV of the secrets, appended to *b (reserve first: a buffer that grows leaves copies behind). */
void slot_secrets_put(struct buf *b, const struct repo_config *config, const struct repo_secrets *sec, bool with_root);
/* Reads it; checks that it is whole and made for this config. ERR_CORRUPT, ERR_UNSUPPORTED. */
int slot_secrets_read(
	struct cursor *c, const struct repo_config *config, struct repo_secrets *ret_sec, struct error *err);
void slot_card_put(struct buf *b, const struct slot_card *card);
/* Reads a card; id and kind are left to the caller. */
int slot_card_read(struct cursor *c, struct slot_card **ret_card, struct error *err);

#endif
