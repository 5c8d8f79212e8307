/* SPDX-License-Identifier: MIT */
/*
 * How fast one core of this machine hashes, seals and packs: what no backup program built of these can pass.
 *
 *   limits FILE     FILE: text to compress, its first 64 MiB are taken
 *
 * Prints one JSON object of name: GB a second. Each measurement runs over 1 MiB pieces for half a second.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zstd.h>

enum { PIECE = 1 << 20, SAMPLE_MAX = 64 << 20 };

/* The pieces, and room for what comes out of one. */
struct bench {
	unsigned char *sample;
	size_t pieces, at;
	unsigned char *out;
	size_t out_size;
	unsigned char key[32], nonce[24];
	ZSTD_CCtx *compress;
	ZSTD_DCtx *expand;
	size_t packed; /* length of the packed first piece in out */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const unsigned char *next_piece(struct bench *b)
{
	b->at = (b->at + 1) % b->pieces;
	return b->sample + b->at * PIECE;
}

static void do_blake2b(struct bench *b)
{
	crypto_generichash(b->out, 32, next_piece(b), PIECE, b->key, sizeof(b->key));
}

static void do_hmac_sha256(struct bench *b)
{
	unsigned int len = 32;

	HMAC(EVP_sha256(), b->key, sizeof(b->key), next_piece(b), PIECE, b->out, &len);
}

static void do_xchacha(struct bench *b)
{
	crypto_aead_xchacha20poly1305_ietf_encrypt(b->out, NULL, next_piece(b), PIECE, NULL, 0, NULL, b->nonce, b->key);
}

static void do_aes(struct bench *b)
{
	crypto_aead_aes256gcm_encrypt(b->out, NULL, next_piece(b), PIECE, NULL, 0, NULL, b->nonce, b->key);
}

static void do_pack(struct bench *b)
{
	b->packed = ZSTD_compressCCtx(b->compress, b->out, b->out_size, next_piece(b), PIECE, 3);
}

static void do_unpack(struct bench *b)
{
	/* Into the sample's first piece, which it came from: the bytes stay what they were. */
	ZSTD_decompressDCtx(b->expand, b->sample, PIECE, b->out, b->packed);
}

static double gigabytes_a_second(struct bench *b, void (*step)(struct bench *))
{
	double start = now(), took;
	size_t n = 0;

	do {
		for (int i = 0; i < 8; i++, n++)
			step(b);
		took = now() - start;
	} while (took < 0.5);
	return (double)n * PIECE / took / 1e9;
}

static int load(struct bench *b, const char *path)
{
	FILE *f = fopen(path, "rb");

	b->sample = malloc(SAMPLE_MAX);
	b->out_size = ZSTD_compressBound(PIECE) + 64;
	b->out = malloc(b->out_size);
	b->compress = ZSTD_createCCtx();
	b->expand = ZSTD_createDCtx();
	if (f && b->sample)
		b->pieces = fread(b->sample, 1, SAMPLE_MAX, f) / PIECE;
	if (f)
		fclose(f);
	return b->pieces > 0 && b->out && b->compress && b->expand ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct bench b = {.at = 0};

	if (argc != 2 || sodium_init() < 0 || load(&b, argv[1]) < 0) {
		fprintf(stderr, "usage: limits FILE (of at least 1 MiB)\n");
		return 2;
	}
	randombytes_buf(b.key, sizeof(b.key));
	printf("{\"BLAKE2b, keyed\": %.3f", gigabytes_a_second(&b, do_blake2b));
	printf(", \"HMAC-SHA-256\": %.3f", gigabytes_a_second(&b, do_hmac_sha256));
	printf(", \"XChaCha20-Poly1305\": %.3f", gigabytes_a_second(&b, do_xchacha));
	if (crypto_aead_aes256gcm_is_available())
		printf(", \"AES-256-GCM\": %.3f", gigabytes_a_second(&b, do_aes));
	printf(", \"zstd -3, in\": %.3f", gigabytes_a_second(&b, do_pack));
	b.at = b.pieces - 1;
	do_pack(&b); /* packs the first piece, which is what unpacking writes back */
	printf(", \"zstd -3, out\": %.3f}\n", gigabytes_a_second(&b, do_unpack));
	ZSTD_freeCCtx(b.compress);
	ZSTD_freeDCtx(b.expand);
	free(b.sample);
	free(b.out);
	return 0;
}
