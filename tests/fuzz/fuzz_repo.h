/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_REPO_H
#define FUZZ_REPO_H

/*
 * A repository that is just enough to sign and to check: one slot with all
 * rights, fixed keys, no store. Fuzz targets sign what the fuzzer wrote, so
 * that what lies behind the signature's check is reached as well.
 */

#include <sodium.h>
#include <stdlib.h>

#include "archive/repo.h"
#include "archive/signed.h"

static inline struct repo *fuzz_repo(void)
{
	static struct slot_card card = {.rights = RIGHT_ALL, .label = (char *)""};
	static struct slot_card *slots[] = {&card};
	static struct repo_secrets sec;
	static struct repo repo = {.own = &card, .slots = slots, .slot_count = 1, .sec = &sec};
	static const uint8_t seed[32] = "the seed of all fuzzing";
	if (repo.config.cipher == 0) {
		if (sodium_init() < 0)
			abort();
		crypto_sign_seed_keypair(card.sign_public, sec.sign_secret, seed);
		crypto_sign_seed_keypair(sec.root_public, sec.root_secret, seed);
		repo.config.cipher = CIPHER_XCHACHA20_POLY1305;
	}
	return &repo;
}

/* The content of an object whose statement begins with `head` and goes on with the fuzzer's bytes. */
static inline struct buf fuzz_signed(enum object_kind kind, const struct buf *head, const uint8_t *data, size_t size)
{
	struct buf statement = {0}, content = {0};
	buf_put(&statement, head->data, head->len);
	buf_put(&statement, data, size);
	if (signed_put(fuzz_repo(), kind, false, &statement, &content, NULL) != 0)
		abort();
	buf_release(&statement);
	return content;
}

/* As fuzz_signed(), the head being id (tag 1) and slot (tag 2), all zeros. */
static inline struct buf fuzz_statement(enum object_kind kind, const uint8_t *data, size_t size)
{
	static const struct id zero;
	struct buf head = {0};
	tlv_put(&head, 1 | TLV_CRITICAL, &zero, sizeof(zero));
	tlv_put(&head, 2 | TLV_CRITICAL, &zero, sizeof(zero));
	struct buf content = fuzz_signed(kind, &head, data, size);
	buf_release(&head);
	return content;
}

#endif
