/* SPDX-License-Identifier: MIT */

/* One object: reading ranges of it, creating it, its size, its end. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "backends/s3_impl.h"
#include "base/hex.h"

enum { PIECE = 256 << 10, RANGE_TEXT = 64, WHAT_TEXT = STORE_NAME_MAX + 300 };

static void say(char dst[static WHAT_TEXT], const char *doing, const char *name, const struct store *store)
{
	snprintf(dst, WHAT_TEXT, "%s '%s' in '%s'", doing, name, store->url);
}

/* ---- reading ---- */

/* "bytes 5-9/100" */
static bool parse_range(const char *text, uint64_t *ret_from, uint64_t *ret_size)
{
	uint64_t to = 0;
	int behind = 0;

	if (text == NULL ||
		sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%n", ret_from, &to, ret_size, &behind) != 3)
		return false;
	return text[behind] == '\0' && *ret_from <= to && to < *ret_size;
}

/* Is it what was asked for? Servers were seen to answer a range with other bytes, or with all of them. */
static int check_range(const struct http_answer *a, const char *what, uint64_t off, size_t len, struct error *err)
{
	uint64_t from = 0, size = 0;

	if (a->status == 200)
		return off == 0 ? 0
				: error_set(err, ERR_UNSUPPORTED,
					  "%s: the server does not know ranges, drfs cannot use it", what);
	if (!parse_range(http_answer_header(a, "content-range"), &from, &size))
		return error_set(err, ERR_IO, "%s: an answer to a range does not say which it is", what);
	uint64_t want = size > off ? size - off : 0;
	want = want < len ? want : len;
	if (from != off || a->len != want)
		return error_set(err, ERR_IO,
			"%s: asked for %zu bytes from %" PRIu64 ", the server sent %" PRIu64 " from %" PRIu64, what,
			len, off, a->len, from);
	return 0;
}

int s3_get(struct store *store, const struct store_call *call, const char *name, uint64_t off, size_t len, void *dst,
	size_t *ret_len, struct error *err)
{
	struct s3_request r = {.s = (struct s3 *)store, .method = "GET", .name = name, .fine = {416}};
	struct http_answer a = {0};
	char range[RANGE_TEXT], what[WHAT_TEXT];
	uint64_t size;
	int rc = store_begin(store, call, name, err);

	*ret_len = 0;
	/* Nothing is asked for, or what no object reaches: is it there at all? */
	if (rc == 0 && (len == 0 || off > (uint64_t)INT64_MAX - len))
		return s3_stat(store, call, name, &size, err);
	if (rc < 0)
		return rc;
	say(what, "reading", name, store);
	snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, off, off + len - 1);
	s3_add_header(&r, "range", range);
	r.call.what = what;
	r.call.dst = dst;
	r.call.dst_len = len;
	r.call.hedge = len <= PIECE;
	rc = s3_run(&r, call, &a, err);
	if (rc == 0 && a.status != 416) {
		rc = check_range(&a, what, off, len, err);
		*ret_len = rc == 0 ? (size_t)a.len : 0;
	}
	http_answer_release(&a);
	return rc;
}

int s3_stat(struct store *store, const struct store_call *call, const char *name, uint64_t *ret_size, struct error *err)
{
	struct s3_request r = {.s = (struct s3 *)store, .method = "HEAD", .name = name};
	struct http_answer a = {0};
	char what[WHAT_TEXT], *behind = NULL;
	int rc = store_begin(store, call, name, err);

	if (rc < 0)
		return rc;
	say(what, "looking at", name, store);
	r.call.what = what;
	rc = s3_run(&r, call, &a, err);
	const char *text = rc == 0 ? http_answer_header(&a, "content-length") : NULL;
	uint64_t size = text != NULL ? strtoull(text, &behind, 10) : 0;
	if (rc == 0 && (text == NULL || *text < '0' || *text > '9' || *behind != '\0'))
		rc = error_set(err, ERR_IO, "%s: the server does not tell its size", what);
	if (rc == 0)
		*ret_size = size;
	http_answer_release(&a);
	return rc;
}

/* ---- creating ---- */

static int hash_file(const struct store_body *body, const char *name, EVP_MD_CTX *md, struct error *err)
{
	uint8_t *piece = malloc(PIECE);
	int rc = piece != NULL ? 0 : error_no_memory(err, "a request");

	for (uint64_t at = 0; rc == 0 && at < body->len;) {
		size_t n = body->len - at < PIECE ? (size_t)(body->len - at) : PIECE;
		rc = store_body_read(body, name, at, piece, n, err);
		if (rc == 0 && EVP_DigestUpdate(md, piece, n) != 1)
			rc = error_no_memory(err, "a request");
		at += n;
	}
	free(piece);
	return rc;
}

/* The server compares it with what arrives, and stores nothing that differs. */
static int hash_body(
	const struct store_body *body, const char *name, char ret_hex[static SIGV4_HASH_HEX], struct error *err)
{
	uint8_t raw[32];
	unsigned len = sizeof(raw);
	EVP_MD_CTX *md;

	if (body->data != NULL) {
		sigv4_hash(body->data, (size_t)body->len, ret_hex);
		return 0;
	}
	md = EVP_MD_CTX_new();
	int rc = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 ? hash_file(body, name, md, err)
									      : error_no_memory(err, "a request");
	if (rc == 0 && EVP_DigestFinal_ex(md, raw, &len) != 1)
		rc = error_no_memory(err, "a request");
	EVP_MD_CTX_free(md);
	if (rc == 0)
		hex_encode(raw, sizeof(raw), ret_hex);
	return rc;
}

/* The name is taken: by what is being put, as after a reply that was lost? */
static int same_or_taken(struct store *store, const struct store_call *call, const char *name,
	const struct store_body *body, struct error *err)
{
	uint8_t ours[STORE_HASH_LEN], theirs[STORE_HASH_LEN];
	size_t tail = store_tail_len(body->len), got = 0;
	uint64_t size = 0;
	int rc = s3_stat(store, call, name, &size, err);

	if (rc < 0)
		return rc;
	if (size != body->len)
		return store_taken(store, name, err);
	rc = store_body_tail(body, name, ours, err);
	if (rc == 0 && tail > 0)
		rc = s3_get(store, call, name, size - tail, tail, theirs, &got, err);
	if (rc == 0 && (got != tail || memcmp(ours, theirs, tail) != 0))
		rc = store_taken(store, name, err);
	return rc;
}

static int put_once(struct s3 *s, const struct store_call *call, const char *name, const struct store_body *body,
	const char *hash, int64_t *ret_date, struct error *err)
{
	struct s3_request r = {.s = s, .method = "PUT", .name = name, .payload_hash = hash, .fine = {412, 501}};
	struct http_answer a = {0};
	char what[WHAT_TEXT];
	bool condition = !atomic_load(&s->no_condition);

	say(what, "writing", name, &s->store);
	if (condition)
		s3_add_header(&r, "if-none-match", "*");
	r.call.what = what;
	r.call.body = body;
	int rc = s3_run(&r, call, &a, err);
	if (rc == 0 && a.status == 501 && condition) {
		atomic_store(&s->no_condition, true);
		__atomic_and_fetch(&s->store.features, ~(unsigned)STORE_CREATE_ONLY, __ATOMIC_RELAXED);
		rc = ERR_UNSUPPORTED; /* without a message: the caller tries again without the condition */
	} else if (rc == 0 && a.status / 100 != 2) {
		rc = a.status == 412 ? ERR_EXISTS
				     : error_set(err, ERR_UNSUPPORTED, "%s: the server cannot do that (501)", what);
	}
	*ret_date = a.date;
	http_answer_release(&a);
	return rc;
}

/* Without conditions a name is looked for before; two writers of one name at one moment are not told apart. */
static int put_unconditionally(struct s3 *s, const struct store_call *call, const char *name,
	const struct store_body *body, const char *hash, int64_t *ret_date, struct error *err)
{
	uint64_t size;
	int rc = s3_stat(&s->store, call, name, &size, err);

	if (rc == 0)
		return ERR_EXISTS;
	if (rc != ERR_NOT_FOUND)
		return rc;
	if (err != NULL)
		error_clear(err);
	return put_once(s, call, name, body, hash, ret_date, err);
}

int s3_put(struct store *store, const struct store_call *call, const char *name, const struct store_body *body,
	struct store_reply *ret_reply, struct error *err)
{
	struct s3 *s = (struct s3 *)store;
	char hash[SIGV4_HASH_HEX];
	int64_t date = 0;
	bool conditional = !atomic_load(&s->no_condition);
	int rc = store_begin(store, call, name, err);

	if (rc == 0)
		rc = hash_body(body, name, hash, err);
	if (rc < 0)
		return rc;
	if (conditional)
		rc = put_once(s, call, name, body, hash, &date, err);
	if (!conditional || (rc == ERR_UNSUPPORTED && atomic_load(&s->no_condition)))
		rc = put_unconditionally(s, call, name, body, hash, &date, err);
	if (rc == ERR_EXISTS)
		rc = same_or_taken(store, call, name, body, err);
	if (rc == 0 && ret_reply != NULL)
		ret_reply->date = date;
	return rc;
}

int s3_del(struct store *store, const struct store_call *call, const char *name, struct error *err)
{
	struct s3_request r = {.s = (struct s3 *)store, .method = "DELETE", .name = name};
	struct http_answer a = {0};
	char what[WHAT_TEXT];
	int rc = store_begin(store, call, name, err);

	if (rc < 0)
		return rc;
	say(what, "deleting", name, store);
	r.call.what = what;
	rc = s3_run(&r, call, &a, err);
	http_answer_release(&a);
	if (rc != ERR_NOT_FOUND)
		return rc;
	if (err != NULL)
		error_clear(err);
	return 0;
}
