/* SPDX-License-Identifier: MIT */
#include "archive/seal.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"

enum {
	GCM_NONCE_LEN = 12,
	AD_LEN = 1 + 1 + FORMAT_REPO_LEN + 32 + 8,
	SEAL_MAX = 1 << 30, /* EVP counts in int; nothing sealed in one piece comes near */
	SIGN_PREFIX_LEN = 11 + 1 + FORMAT_REPO_LEN,
};

_Static_assert(crypto_box_SEALBYTES + FORMAT_KEY_LEN == SEAL_WRAP_LEN, "size of a wrap");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == FORMAT_TAG_LEN, "size of a tag");
_Static_assert(crypto_sign_SECRETKEYBYTES == SEAL_SIGN_SECRET_LEN, "size of a signing key");

static void put_le64(uint8_t dst[static 8], uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		dst[i] = (uint8_t)(v >> (8 * i));
}

static void place_ad(const struct seal_place *place, uint8_t ad[static AD_LEN])
{
	ad[0] = (uint8_t)place->kind;
	ad[1] = FORMAT_VERSION;
	memcpy(ad + 2, place->repository, FORMAT_REPO_LEN);
	memcpy(ad + 2 + FORMAT_REPO_LEN, place->object->b, sizeof(place->object->b));
	put_le64(ad + AD_LEN - 8, place->offset);
}

static bool gcm_seal(
	const uint8_t *key, const uint8_t *nonce, const uint8_t *ad, const uint8_t *plain, size_t len, uint8_t *dst)
{
	int n = 0;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
		  EVP_EncryptUpdate(ctx, NULL, &n, ad, AD_LEN) == 1 &&
		  (len == 0 || EVP_EncryptUpdate(ctx, dst, &n, plain, (int)len) == 1) &&
		  EVP_EncryptFinal_ex(ctx, dst + len, &n) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, FORMAT_TAG_LEN, dst + len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* 1: opened, 0: does not open, -1: no memory. */
static int gcm_open(
	const uint8_t *key, const uint8_t *nonce, const uint8_t *ad, const uint8_t *sealed, size_t len, uint8_t *dst)
{
	int n = 0;
	uint8_t tag[FORMAT_TAG_LEN], none[16];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	/* Copied first: dst may be the place of sealed. */
	memcpy(tag, sealed + len, sizeof(tag));
	if (!ctx || EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return -1;
	}
	bool ok = EVP_DecryptUpdate(ctx, NULL, &n, ad, AD_LEN) == 1 &&
		  (len == 0 || EVP_DecryptUpdate(ctx, dst, &n, sealed, (int)len) == 1) &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, FORMAT_TAG_LEN, tag) == 1 &&
		  EVP_DecryptFinal_ex(ctx, none, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

int seal_bytes(const uint8_t key[static FORMAT_KEY_LEN], const struct seal_place *place, const void *plain, size_t len,
	void *dst, struct error *err)
{
	uint8_t ad[AD_LEN], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = {0};
	if (len > SEAL_MAX)
		return error_set(err, ERR_BUG, "sealing %zu bytes in one piece", len);
	place_ad(place, ad);
	put_le64(nonce, place->offset);
	switch (place->cipher) {
	case CIPHER_XCHACHA20_POLY1305:
		crypto_aead_xchacha20poly1305_ietf_encrypt(dst, NULL, plain, len, ad, AD_LEN, NULL, nonce, key);
		return 0;
	case CIPHER_AES_256_GCM:
		return gcm_seal(key, nonce, ad, plain, len, dst) ? 0 : error_no_memory(err, "a cipher");
	case CIPHER_NONE:
		break;
	}
	return error_set(err, ERR_BUG, "sealing with cipher %d", (int)place->cipher);
}

int seal_open(const uint8_t key[static FORMAT_KEY_LEN], const struct seal_place *place, const void *sealed, size_t len,
	void *dst, struct error *err)
{
	uint8_t ad[AD_LEN], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = {0};
	if (len < FORMAT_TAG_LEN || len > SEAL_MAX)
		return error_set(err, ERR_CORRUPT, "a sealed piece of %zu bytes cannot be", len);
	place_ad(place, ad);
	put_le64(nonce, place->offset);
	int ok;
	switch (place->cipher) {
	case CIPHER_XCHACHA20_POLY1305:
		ok = crypto_aead_xchacha20poly1305_ietf_decrypt(dst, NULL, NULL, sealed, len, ad, AD_LEN, nonce, key) ==
		     0;
		break;
	case CIPHER_AES_256_GCM:
		ok = gcm_open(key, nonce, ad, sealed, len - FORMAT_TAG_LEN, dst);
		break;
	default:
		return error_set(err, ERR_UNSUPPORTED, "cipher %d is not known", (int)place->cipher);
	}
	if (ok < 0)
		return error_no_memory(err, "a cipher");
	if (ok == 0) {
		/* What does not open is not shown: the caller's buffer holds nothing of it. */
		memset(dst, 0, len - FORMAT_TAG_LEN);
		return error_set(err, ERR_CORRUPT, "a sealed piece does not open: it is not what was written there");
	}
	return 0;
}

int seal_wrap(const uint8_t public_key[static 32], const uint8_t key[static FORMAT_KEY_LEN],
	uint8_t dst[static SEAL_WRAP_LEN], struct error *err)
{
	if (crypto_box_seal(dst, key, FORMAT_KEY_LEN, public_key) != 0)
		return error_set(err, ERR_CORRUPT, "the wrapping key is no point of the curve");
	return 0;
}

int seal_unwrap(const uint8_t public_key[static 32], const uint8_t secret_key[static 32], const void *wrap, size_t len,
	uint8_t dst[static FORMAT_KEY_LEN], struct error *err)
{
	if (len != SEAL_WRAP_LEN || crypto_box_seal_open(dst, wrap, len, public_key, secret_key) != 0)
		return error_set(err, ERR_CORRUPT, "a wrapped key does not open");
	return 0;
}

/* What a signature is over. The caller frees; NULL without memory. */
static uint8_t *sign_message(enum object_kind kind, const uint8_t *repository, const void *data, size_t len)
{
	if (len > SEAL_MAX)
		return NULL;
	uint8_t *m = malloc(SIGN_PREFIX_LEN + len);
	if (!m)
		return NULL;
	memcpy(m, "drfs signed", 11);
	m[11] = (uint8_t)kind;
	memcpy(m + 12, repository, FORMAT_REPO_LEN);
	if (len > 0)
		memcpy(m + SIGN_PREFIX_LEN, data, len);
	return m;
}

int seal_sign(const uint8_t secret[static SEAL_SIGN_SECRET_LEN], enum object_kind kind, const uint8_t *repository,
	const void *data, size_t len, uint8_t dst[static SEAL_SIGNATURE_LEN], struct error *err)
{
	uint8_t *m = sign_message(kind, repository, data, len);
	if (!m)
		return error_no_memory(err, "a signature");
	crypto_sign_detached(dst, NULL, m, SIGN_PREFIX_LEN + len, secret);
	free(m);
	return 0;
}

bool seal_verify(const uint8_t public_key[static 32], enum object_kind kind, const uint8_t *repository,
	const void *data, size_t len, const uint8_t signature[static SEAL_SIGNATURE_LEN])
{
	uint8_t *m = sign_message(kind, repository, data, len);
	if (!m)
		return false;
	bool ok = crypto_sign_verify_detached(signature, m, SIGN_PREFIX_LEN + len, public_key) == 0;
	free(m);
	return ok;
}
