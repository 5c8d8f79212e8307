/* SPDX-License-Identifier: MIT */
/*
 * Keyed hashes and what is derived by them. HMAC-SHA-256 is built here over
 * libcrypto's plain SHA-256 functions: the tree hashes a few hundred thousand
 * short keys in a backup, and the generic MAC interface costs microseconds a
 * call where the hash itself costs a quarter of one.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "archive/seal.h"
#include "base/host.h"

enum { HMAC_BLOCK = 64 };

/* Both halves of HMAC with their padded key already taken in. */
struct hmac {
	SHA256_CTX inner, outer;
};

static void hmac_start(struct hmac *h, const uint8_t key[static 32])
{
	uint8_t pad[HMAC_BLOCK];
	memset(pad, 0x36, sizeof(pad));
	for (unsigned i = 0; i < 32; i++)
		pad[i] ^= key[i];
	SHA256_Init(&h->inner);
	SHA256_Update(&h->inner, pad, sizeof(pad));
	for (unsigned i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&h->outer);
	SHA256_Update(&h->outer, pad, sizeof(pad));
	host_wipe(pad, sizeof(pad));
}

static void hmac_finish(struct hmac *h, uint8_t dst[static 32])
{
	uint8_t middle[32];
	SHA256_Final(middle, &h->inner);
	SHA256_Update(&h->outer, middle, sizeof(middle));
	SHA256_Final(dst, &h->outer);
}

void seal_hash(enum hash_kind hash, const uint8_t key[static 32], const void *data, size_t len, struct id *ret_id)
{
	if (hash == HASH_HMAC_SHA256) {
		struct hmac h;
		hmac_start(&h, key);
		SHA256_Update(&h.inner, data, len);
		hmac_finish(&h, ret_id->b);
		host_wipe(&h, sizeof(h));
		return;
	}
	crypto_generichash(ret_id->b, sizeof(ret_id->b), data, len, key, 32);
}

struct seal_hasher {
	crypto_generichash_state blake2b, blake2b_start; /* first: libsodium wants them aligned */
	struct hmac hmac, hmac_start;
	enum hash_kind hash;
};

struct seal_hasher *seal_hasher_new(enum hash_kind hash, const uint8_t key[static 32])
{
	struct seal_hasher *h = NULL;
	if (posix_memalign((void **)&h, 64, sizeof(*h)) != 0)
		return NULL;
	memset(h, 0, sizeof(*h));
	h->hash = hash;
	if (hash == HASH_HMAC_SHA256)
		hmac_start(&h->hmac_start, key);
	else
		crypto_generichash_init(&h->blake2b_start, key, 32, 32);
	h->hmac = h->hmac_start;
	h->blake2b = h->blake2b_start;
	return h;
}

void seal_hasher_update(struct seal_hasher *h, const void *data, size_t len)
{
	if (h->hash == HASH_HMAC_SHA256)
		SHA256_Update(&h->hmac.inner, data, len);
	else
		crypto_generichash_update(&h->blake2b, data, len);
}

void seal_hasher_final(struct seal_hasher *h, struct id *ret_id)
{
	if (h->hash == HASH_HMAC_SHA256)
		hmac_finish(&h->hmac, ret_id->b);
	else
		crypto_generichash_final(&h->blake2b, ret_id->b, sizeof(ret_id->b));
	h->hmac = h->hmac_start;
	h->blake2b = h->blake2b_start;
}

void seal_hasher_free(struct seal_hasher *h)
{
	if (!h)
		return;
	host_wipe(h, sizeof(*h));
	free(h);
}

void seal_derive(const uint8_t secret[static 32], const char *purpose, uint8_t dst[static 32])
{
	crypto_generichash(dst, 32, (const uint8_t *)purpose, strlen(purpose), secret, 32);
}

void seal_object_id(enum object_kind kind, const uint8_t *repository, enum cipher_kind cipher,
	const uint8_t key[static FORMAT_KEY_LEN], struct id *ret_id)
{
	crypto_generichash_state state;
	uint8_t numbers[2] = {(uint8_t)cipher, (uint8_t)kind};
	crypto_generichash_init(&state, NULL, 0, sizeof(ret_id->b));
	crypto_generichash_update(&state, (const uint8_t *)"drfs object", 11);
	crypto_generichash_update(&state, repository, FORMAT_REPO_LEN);
	crypto_generichash_update(&state, numbers, sizeof(numbers));
	crypto_generichash_update(&state, key, FORMAT_KEY_LEN);
	crypto_generichash_final(&state, ret_id->b, sizeof(ret_id->b));
	host_wipe(&state, sizeof(state));
}
