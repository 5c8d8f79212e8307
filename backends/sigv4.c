/* SPDX-License-Identifier: MIT */

#include "backends/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/hex.h"

enum { HASH = 32, DATE_TEXT = 17, MOST = 24 };

void sigv4_hash(const void *data, size_t len, char ret_hex[static SIGV4_HASH_HEX])
{
	uint8_t raw[HASH] = {0};

	EVP_Digest(data, len, raw, NULL, EVP_sha256(), NULL);
	hex_encode(raw, sizeof(raw), ret_hex);
}

static void hmac(const uint8_t *key, size_t key_len, const char *text, size_t len, uint8_t ret[static HASH])
{
	unsigned out = HASH;

	HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text, len, ret, &out);
}

static void put_text(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

/* ---- encoding ---- */

void sigv4_encode(struct buf *ret, const char *text, size_t len, int keep_slashes)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			     strchr("-._~", c) != NULL;
		if ((c != '\0' && plain) || (c == '/' && keep_slashes)) {
			buf_put_u8(ret, c);
		} else {
			char hex[4];
			snprintf(hex, sizeof(hex), "%%%02X", c);
			buf_put(ret, hex, 3);
		}
	}
}

/* Encoded, and then in the order of the encoded names, of the encoded values where names are equal. */
struct pair {
	char *name, *value;
};

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r != 0 ? r : strcmp(x->value, y->value);
}

static char *encoded(const char *text)
{
	struct buf b = {0};

	sigv4_encode(&b, text, strlen(text), 0);
	buf_put_u8(&b, 0);
	if (!buf_failed(&b))
		return (char *)b.data;
	buf_release(&b);
	return NULL;
}

/* "a=b&c=" */
static int canonical_query(struct buf *ret, const struct sigv4_param *query, size_t count, struct error *err)
{
	struct pair pairs[MOST] = {{0}};
	int rc = count <= MOST ? 0 : error_set(err, ERR_BUG, "a request of %zu parameters", count);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		pairs[i] = (struct pair){encoded(query[i].name), encoded(query[i].value)};
		if (pairs[i].name == NULL || pairs[i].value == NULL)
			rc = error_no_memory(err, "a request");
	}
	if (rc == 0) {
		qsort(pairs, count, sizeof(*pairs), compare_pairs);
		for (size_t i = 0; i < count; i++) {
			put_text(ret, i > 0 ? "&" : "");
			put_text(ret, pairs[i].name);
			put_text(ret, "=");
			put_text(ret, pairs[i].value);
		}
	}
	for (size_t i = 0; i < MOST; i++) {
		free(pairs[i].name);
		free(pairs[i].value);
	}
	return rc;
}

int sigv4_query(struct buf *ret, const struct sigv4_param *query, size_t count, struct error *err)
{
	if (count > 0)
		buf_put_u8(ret, '?');
	return canonical_query(ret, query, count, err);
}

/* ---- headers ---- */

struct headers {
	struct sigv4_param list[MOST];
	size_t count;
};

static int compare_headers(const void *a, const void *b)
{
	return strcmp(((const struct sigv4_param *)a)->name, ((const struct sigv4_param *)b)->name);
}

/* A line end in a value would be a header of its own. */
static int check_value(const struct sigv4_param *h, struct error *err)
{
	for (const char *p = h->value; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return error_set(err, ERR_USAGE, "a control character cannot be sent in '%s'", h->name);
	return 0;
}

static int add(struct headers *h, const char *name, const char *value, struct error *err)
{
	if (h->count == MOST)
		return error_set(err, ERR_BUG, "a request of too many headers");
	h->list[h->count] = (struct sigv4_param){name, value};
	return check_value(&h->list[h->count++], err);
}

static int gather(const struct sigv4_request *r, const struct sigv4_identity *identity, const char *date,
	struct headers *ret, struct error *err)
{
	int rc = add(ret, "host", r->host, err);

	if (rc == 0)
		rc = add(ret, "x-amz-content-sha256", r->payload_hash, err);
	if (rc == 0)
		rc = add(ret, "x-amz-date", date, err);
	if (rc == 0 && identity->session_token != NULL)
		rc = add(ret, "x-amz-security-token", identity->session_token, err);
	for (size_t i = 0; rc == 0 && i < r->header_count; i++)
		rc = add(ret, r->headers[i].name, r->headers[i].value, err);
	if (rc == 0)
		qsort(ret->list, ret->count, sizeof(ret->list[0]), compare_headers);
	return rc;
}

/* Without white space at its ends, and one blank for several. */
static void put_trimmed(struct buf *b, const char *value)
{
	bool blank = false, any = false;

	for (; *value != '\0'; value++) {
		if (*value == ' ') {
			blank = any;
			continue;
		}
		if (blank)
			buf_put_u8(b, ' ');
		buf_put_u8(b, (uint8_t)*value);
		blank = false;
		any = true;
	}
}

static void put_names(struct buf *b, const struct headers *h)
{
	for (size_t i = 0; i < h->count; i++) {
		put_text(b, i > 0 ? ";" : "");
		put_text(b, h->list[i].name);
	}
}

/* ---- the signature ---- */

static int canonical(const struct sigv4_request *r, const struct headers *h, struct buf *ret, struct error *err)
{
	put_text(ret, r->method);
	buf_put_u8(ret, '\n');
	sigv4_encode(ret, r->path, strlen(r->path), 1);
	buf_put_u8(ret, '\n');
	int rc = canonical_query(ret, r->query, r->query_count, err);
	buf_put_u8(ret, '\n');
	for (size_t i = 0; i < h->count; i++) {
		put_text(ret, h->list[i].name);
		buf_put_u8(ret, ':');
		put_trimmed(ret, h->list[i].value);
		buf_put_u8(ret, '\n');
	}
	buf_put_u8(ret, '\n');
	put_names(ret, h);
	buf_put_u8(ret, '\n');
	put_text(ret, r->payload_hash);
	return rc < 0 ? rc : buf_failed(ret) ? error_no_memory(err, "a request") : 0;
}

/* "20130524T000000Z"; its first eight are the day. */
static void write_date(int64_t now, char dst[static DATE_TEXT])
{
	time_t t = (time_t)now;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(dst, DATE_TEXT, "%Y%m%dT%H%M%SZ", &tm);
}

static void derive(const struct sigv4_identity *identity, const char *day, uint8_t ret[static HASH], struct buf *secret)
{
	uint8_t key[HASH];

	buf_reserve(secret, 4 + strlen(identity->secret_key));
	put_text(secret, "AWS4");
	put_text(secret, identity->secret_key);
	hmac(secret->data, secret->len, day, 8, key);
	hmac(key, HASH, identity->region, strlen(identity->region), ret);
	hmac(ret, HASH, identity->service, strlen(identity->service), key);
	hmac(key, HASH, "aws4_request", strlen("aws4_request"), ret);
	explicit_bzero(key, sizeof(key));
}

/* What is signed: the algorithm, the date, the scope and the hash of the canonical request. */
static void put_to_sign(struct buf *b, const char *date, const char *scope, const struct buf *text)
{
	char hash[SIGV4_HASH_HEX];

	sigv4_hash(text->data, text->len, hash);
	put_text(b, "AWS4-HMAC-SHA256\n");
	put_text(b, date);
	buf_put_u8(b, '\n');
	put_text(b, scope);
	buf_put_u8(b, '\n');
	put_text(b, hash);
}

static int signature(const struct sigv4_identity *identity, const char *date, const char *scope, const struct buf *text,
	char ret_hex[static SIGV4_HASH_HEX], struct error *err)
{
	struct buf secret = {0}, to_sign = {0};
	uint8_t key[HASH] = {0}, raw[HASH] = {0};

	put_to_sign(&to_sign, date, scope, text);
	derive(identity, date, key, &secret);
	int rc = buf_failed(&secret) || buf_failed(&to_sign) ? error_no_memory(err, "a signature") : 0;
	if (rc == 0)
		hmac(key, HASH, (const char *)to_sign.data, to_sign.len, raw);
	hex_encode(raw, sizeof(raw), ret_hex);
	explicit_bzero(key, sizeof(key));
	buf_wipe(&secret);
	buf_release(&to_sign);
	return rc;
}

static void put_header(struct buf *b, const char *name, const char *value)
{
	put_text(b, name);
	put_text(b, ": ");
	buf_put(b, value, strlen(value) + 1);
}

static void put_authorization(struct buf *b, const struct sigv4_identity *identity, const char *scope,
	const struct headers *h, const char *hex)
{
	put_text(b, "authorization: AWS4-HMAC-SHA256 Credential=");
	put_text(b, identity->access_key);
	put_text(b, "/");
	put_text(b, scope);
	put_text(b, ",SignedHeaders=");
	put_names(b, h);
	put_text(b, ",Signature=");
	buf_put(b, hex, strlen(hex) + 1);
}

int sigv4_canonical(const struct sigv4_request *request, const struct sigv4_identity *identity, int64_t now,
	struct buf *ret_text, struct error *err)
{
	struct headers h = {.count = 0};
	char date[DATE_TEXT];

	write_date(now, date);
	int rc = gather(request, identity, date, &h, err);
	return rc < 0 ? rc : canonical(request, &h, ret_text, err);
}

int sigv4_sign(const struct sigv4_request *request, const struct sigv4_identity *identity, int64_t now,
	struct buf *ret_headers, struct error *err)
{
	struct headers h = {.count = 0};
	struct buf text = {0}, scope = {0};
	char date[DATE_TEXT], hex[SIGV4_HASH_HEX];

	write_date(now, date);
	int rc = gather(request, identity, date, &h, err);
	if (rc == 0)
		rc = canonical(request, &h, &text, err);
	buf_put(&scope, date, 8);
	put_text(&scope, "/");
	put_text(&scope, identity->region);
	put_text(&scope, "/");
	put_text(&scope, identity->service);
	buf_put(&scope, "/aws4_request", sizeof("/aws4_request"));
	if (rc == 0 && buf_failed(&scope))
		rc = error_no_memory(err, "a signature");
	if (rc == 0)
		rc = signature(identity, date, (const char *)scope.data, &text, hex, err);
	for (size_t i = 0; rc == 0 && i < h.count; i++)
		put_header(ret_headers, h.list[i].name, h.list[i].value);
	if (rc == 0)
		put_authorization(ret_headers, identity, (const char *)scope.data, &h, hex);
	buf_wipe(&text);
	buf_release(&scope);
	return rc < 0 ? rc : buf_failed(ret_headers) ? error_no_memory(err, "a signature") : 0;
}
