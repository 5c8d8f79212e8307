/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "archive/seal.h"
#include "base/hex.h"
#include "base/host.h"

static const enum cipher_kind ciphers[] = {CIPHER_XCHACHA20_POLY1305, CIPHER_AES_256_GCM};
static const enum hash_kind hashes[] = {HASH_BLAKE2B_256, HASH_HMAC_SHA256};

static void expect_hex(const uint8_t *bytes, size_t len, const char *hex)
{
	char *text = malloc(2 * len + 1);
	hex_encode(bytes, len, text);
	assert_string_equal(text, hex);
	free(text);
}

/* RFC 4231, cases 1 and 2: a shorter key is the same as one filled up with zeros. */
static void test_seal_hash__hmac_gives_the_published_values(void **state)
{
	(void)state;
	uint8_t key[32] = {0};
	struct id id;
	memset(key, 0x0b, 20);
	seal_hash(HASH_HMAC_SHA256, key, "Hi There", 8, &id);
	expect_hex(id.b, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	memset(key, 0, sizeof(key));
	memcpy(key, "Jefe", 4);
	seal_hash(HASH_HMAC_SHA256, key, "what do ya want for nothing?", 28, &id);
	expect_hex(id.b, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void test_seal_hash__blake2b_is_keyed_generichash(void **state)
{
	(void)state;
	uint8_t key[32], expected[32];
	struct id id;
	host_random(key, sizeof(key));
	crypto_generichash(expected, 32, (const uint8_t *)"abc", 3, key, 32);
	seal_hash(HASH_BLAKE2B_256, key, "abc", 3, &id);
	assert_memory_equal(id.b, expected, 32);
}

static void test_seal_hasher__in_pieces_and_again_is_the_same(void **state)
{
	(void)state;
	uint8_t key[32], data[1000];
	host_random(key, sizeof(key));
	host_random(data, sizeof(data));
	for (size_t i = 0; i < 2; i++) {
		struct id whole, pieces;
		struct seal_hasher *h = seal_hasher_new(hashes[i], key);
		seal_hash(hashes[i], key, data, sizeof(data), &whole);
		for (int round = 0; round < 3; round++) {
			for (size_t at = 0; at < sizeof(data); at += 100)
				seal_hasher_update(h, data + at, 100);
			seal_hasher_final(h, &pieces);
			assert_true(id_equal(&whole, &pieces));
		}
		seal_hasher_free(h);
	}
	seal_hasher_free(NULL);
}

static void test_seal_hash__depends_on_key_and_data(void **state)
{
	(void)state;
	uint8_t a[32] = {1}, b[32] = {2};
	for (size_t i = 0; i < 2; i++) {
		struct id one, two, three;
		seal_hash(hashes[i], a, "x", 1, &one);
		seal_hash(hashes[i], b, "x", 1, &two);
		seal_hash(hashes[i], a, "y", 1, &three);
		assert_false(id_equal(&one, &two));
		assert_false(id_equal(&one, &three));
	}
}

/*
 * What libsodium's own AES-256-GCM and XChaCha20-Poly1305 make of the nonce and associated data that FORMAT.md tells
 * to use: the ciphers are standard ones, and the layout of both is what is written down.
 */
static void test_seal_bytes__is_the_standard_cipher_over_the_written_layout(void **state)
{
	(void)state;
	uint8_t key[32], repository[16], plain[100], ad[58], nonce[24] = {0}, sealed[116], expected[116];
	struct id object;
	host_random(key, sizeof(key));
	host_random(repository, sizeof(repository));
	host_random(plain, sizeof(plain));
	host_random(object.b, sizeof(object.b));
	uint64_t offset = 0x0102030405;
	ad[0] = KIND_TREE_PACK;
	ad[1] = 1;
	memcpy(ad + 2, repository, 16);
	memcpy(ad + 18, object.b, 32);
	memcpy(ad + 50, "\x05\x04\x03\x02\x01\0\0\0", 8);
	memcpy(nonce, "\x05\x04\x03\x02\x01", 5);
	struct seal_place place = {CIPHER_XCHACHA20_POLY1305, KIND_TREE_PACK, repository, &object, offset};
	assert_int_equal(seal_bytes(key, &place, plain, sizeof(plain), sealed, NULL), 0);
	crypto_aead_xchacha20poly1305_ietf_encrypt(expected, NULL, plain, 100, ad, 58, NULL, nonce, key);
	assert_memory_equal(sealed, expected, sizeof(expected));
	if (!crypto_aead_aes256gcm_is_available())
		return;
	place.cipher = CIPHER_AES_256_GCM;
	assert_int_equal(seal_bytes(key, &place, plain, sizeof(plain), sealed, NULL), 0);
	crypto_aead_aes256gcm_encrypt(expected, NULL, plain, 100, ad, 58, NULL, nonce, key);
	assert_memory_equal(sealed, expected, sizeof(expected));
}

static void test_seal_open__gives_back_what_was_sealed_in_place_too(void **state)
{
	(void)state;
	uint8_t key[32], repository[16] = {0};
	struct id object = {{9}};
	static const size_t lengths[] = {0, 1, 15, 16, 17, 1000, 300000};
	host_random(key, sizeof(key));
	for (size_t c = 0; c < 2; c++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			size_t len = lengths[l];
			struct seal_place place = {ciphers[c], KIND_INDEX, repository, &object, 32};
			uint8_t *plain = malloc(len + 1), *bytes = malloc(len + 16);
			host_random(plain, len);
			memcpy(bytes, plain, len);
			assert_int_equal(seal_bytes(key, &place, bytes, len, bytes, NULL), 0);
			if (len > 16)
				assert_memory_not_equal(bytes, plain, 16);
			assert_int_equal(seal_open(key, &place, bytes, len + 16, bytes, NULL), 0);
			assert_memory_equal(bytes, plain, len);
			free(plain);
			free(bytes);
		}
	}
}

static void test_seal_open__anything_changed_does_not_open(void **state)
{
	(void)state;
	uint8_t key[32], other_key[32], repository[16] = {1}, other_repository[16] = {2};
	uint8_t sealed[48], plain[32] = "thirty-one bytes of plain text.", out[32], zeros[32] = {0};
	struct id object = {{9}}, other_object = {{8}};
	host_random(key, sizeof(key));
	host_random(other_key, sizeof(other_key));
	for (size_t c = 0; c < 2; c++) {
		struct seal_place place = {ciphers[c], KIND_INDEX, repository, &object, 32}, p;
		assert_int_equal(seal_bytes(key, &place, plain, 32, sealed, NULL), 0);
		assert_int_equal(seal_open(other_key, &place, sealed, 48, out, NULL), ERR_CORRUPT);
		assert_memory_equal(out, zeros, 32);
		p = place, p.offset = 33;
		assert_int_equal(seal_open(key, &p, sealed, 48, out, NULL), ERR_CORRUPT);
		p = place, p.kind = KIND_MARK;
		assert_int_equal(seal_open(key, &p, sealed, 48, out, NULL), ERR_CORRUPT);
		p = place, p.repository = other_repository;
		assert_int_equal(seal_open(key, &p, sealed, 48, out, NULL), ERR_CORRUPT);
		p = place, p.object = &other_object;
		assert_int_equal(seal_open(key, &p, sealed, 48, out, NULL), ERR_CORRUPT);
		p = place, p.cipher = ciphers[1 - c];
		assert_int_equal(seal_open(key, &p, sealed, 48, out, NULL), ERR_CORRUPT);
		for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
			sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(seal_open(key, &place, sealed, 48, out, NULL), ERR_CORRUPT);
			sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t len = 0; len < 48; len++)
			assert_int_equal(seal_open(key, &place, sealed, len, out, NULL), ERR_CORRUPT);
		assert_int_equal(seal_open(key, &place, sealed, 48, out, NULL), 0);
		assert_memory_equal(out, plain, 32);
	}
}

static void test_seal_object_id__commits_to_all_it_is_made_of(void **state)
{
	(void)state;
	uint8_t key[32] = {1}, other[32] = {2}, repository[16] = {3}, other_repository[16] = {4};
	struct id id, again, ids[4];
	seal_object_id(KIND_MARK, repository, CIPHER_AES_256_GCM, key, &id);
	seal_object_id(KIND_MARK, repository, CIPHER_AES_256_GCM, key, &again);
	assert_true(id_equal(&id, &again));
	seal_object_id(KIND_INDEX, repository, CIPHER_AES_256_GCM, key, &ids[0]);
	seal_object_id(KIND_MARK, other_repository, CIPHER_AES_256_GCM, key, &ids[1]);
	seal_object_id(KIND_MARK, repository, CIPHER_XCHACHA20_POLY1305, key, &ids[2]);
	seal_object_id(KIND_MARK, repository, CIPHER_AES_256_GCM, other, &ids[3]);
	for (size_t i = 0; i < 4; i++)
		assert_false(id_equal(&id, &ids[i]));
	/* The bytes that are hashed, as FORMAT.md has them. */
	uint8_t bytes[11 + 16 + 2 + 32], expected[32];
	memcpy(bytes, "drfs object", 11);
	memcpy(bytes + 11, repository, 16);
	bytes[27] = CIPHER_AES_256_GCM;
	bytes[28] = KIND_MARK;
	memcpy(bytes + 29, key, 32);
	crypto_generichash(expected, 32, bytes, sizeof(bytes), NULL, 0);
	assert_memory_equal(id.b, expected, 32);
}

static void test_seal_wrap__opens_for_its_pair_only(void **state)
{
	(void)state;
	uint8_t public_key[32], secret_key[32], public_other[32], secret_other[32], key[32], out[32],
		wrap[SEAL_WRAP_LEN];
	crypto_box_keypair(public_key, secret_key);
	crypto_box_keypair(public_other, secret_other);
	host_random(key, sizeof(key));
	assert_int_equal(seal_wrap(public_key, key, wrap, NULL), 0);
	assert_int_equal(seal_unwrap(public_key, secret_key, wrap, sizeof(wrap), out, NULL), 0);
	assert_memory_equal(out, key, 32);
	assert_int_equal(seal_unwrap(public_other, secret_other, wrap, sizeof(wrap), out, NULL), ERR_CORRUPT);
	assert_int_equal(seal_unwrap(public_key, secret_key, wrap, sizeof(wrap) - 1, out, NULL), ERR_CORRUPT);
	wrap[40] ^= 1;
	assert_int_equal(seal_unwrap(public_key, secret_key, wrap, sizeof(wrap), out, NULL), ERR_CORRUPT);
}

static void test_seal_verify__holds_for_kind_repository_and_bytes(void **state)
{
	(void)state;
	uint8_t public_key[32], secret[64], repository[16] = {1}, other[16] = {2}, signature[64];
	crypto_sign_keypair(public_key, secret);
	assert_int_equal(seal_sign(secret, KIND_MARK, repository, "abc", 3, signature, NULL), 0);
	assert_true(seal_verify(public_key, KIND_MARK, repository, "abc", 3, signature));
	assert_false(seal_verify(public_key, KIND_MARK, repository, "abd", 3, signature));
	assert_false(seal_verify(public_key, KIND_MARK, repository, "ab", 2, signature));
	assert_false(seal_verify(public_key, KIND_SNAPSHOT, repository, "abc", 3, signature));
	assert_false(seal_verify(public_key, KIND_MARK, other, "abc", 3, signature));
	signature[3] ^= 1;
	assert_false(seal_verify(public_key, KIND_MARK, repository, "abc", 3, signature));
}

static void test_seal_derive__differs_by_purpose(void **state)
{
	(void)state;
	uint8_t secret[32] = {5}, a[32], b[32];
	seal_derive(secret, "drfs one", a);
	seal_derive(secret, "drfs two", b);
	assert_memory_not_equal(a, b, 32);
	crypto_generichash(b, 32, (const uint8_t *)"drfs one", 8, secret, 32);
	assert_memory_equal(a, b, 32);
}

static void test_seal_fastest__names_one_that_is_known(void **state)
{
	(void)state;
	enum cipher_kind cipher = seal_fastest_cipher();
	enum hash_kind hash = seal_fastest_hash();
	enum trailer_kind trailer = seal_fastest_trailer();
	assert_true(cipher == CIPHER_XCHACHA20_POLY1305 || cipher == CIPHER_AES_256_GCM);
	assert_true(hash == HASH_BLAKE2B_256 || hash == HASH_HMAC_SHA256);
	assert_true(trailer == TRAILER_BLAKE2B_256 || trailer == TRAILER_SHA256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seal_hash__hmac_gives_the_published_values),
		cmocka_unit_test(test_seal_hash__blake2b_is_keyed_generichash),
		cmocka_unit_test(test_seal_hasher__in_pieces_and_again_is_the_same),
		cmocka_unit_test(test_seal_hash__depends_on_key_and_data),
		cmocka_unit_test(test_seal_bytes__is_the_standard_cipher_over_the_written_layout),
		cmocka_unit_test(test_seal_open__gives_back_what_was_sealed_in_place_too),
		cmocka_unit_test(test_seal_open__anything_changed_does_not_open),
		cmocka_unit_test(test_seal_object_id__commits_to_all_it_is_made_of),
		cmocka_unit_test(test_seal_wrap__opens_for_its_pair_only),
		cmocka_unit_test(test_seal_verify__holds_for_kind_repository_and_bytes),
		cmocka_unit_test(test_seal_derive__differs_by_purpose),
		cmocka_unit_test(test_seal_fastest__names_one_that_is_known),
	};
	if (host_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
