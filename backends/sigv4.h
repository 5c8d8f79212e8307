/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_SIGV4_H
#define BACKENDS_SIGV4_H

/*
 * AWS Signature Version 4, as Amazon's "Authenticating Requests
 * (AWS Signature Version 4)" of the S3 API reference describes it for the
 * Authorization header. S3's rules: a path is encoded once and never
 * normalised, the payload's hash is a header.
 *
 * Pure functions over plain values; derived keys are wiped.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum { SIGV4_HASH_HEX = 65 }; /* with NUL */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct sigv4_param {
	const char *name, *value; /* as they are, not encoded */
};

struct sigv4_request {
	const char *method;
	const char *path; /* "/bucket/key", not encoded */
	const struct sigv4_param *query;
	size_t query_count;
	const char *host;         /* with the port where it is not the scheme's own */
	const char *payload_hash; /* lower-case hex, or SIGV4_UNSIGNED */
	/* Further headers to be signed, names in lower case: x-amz-*, content-md5, content-type, range … */
	const struct sigv4_param *headers;
	size_t header_count;
};

struct sigv4_identity {
	const char *access_key, *secret_key;
	const char *session_token; /* NULL: none */
	const char *region, *service;
};

/*
 * The headers to send, "name: value" each with its NUL, appended to *ret_headers: host, x-amz-date,
 * x-amz-content-sha256, x-amz-security-token where there is a token, the further headers, authorization. `now`: seconds
 * since 1970, the server's clock as far as it is known. A value with a control character is ERR_USAGE.
 */
int sigv4_sign(const struct sigv4_request *request, const struct sigv4_identity *identity, int64_t now,
	struct buf *ret_headers, struct error *err);

/* The canonical request, for tests against published vectors: the same input, before anything is derived from a key. */
int sigv4_canonical(const struct sigv4_request *request, const struct sigv4_identity *identity, int64_t now,
	struct buf *ret_text, struct error *err);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and '/', where slashes are kept), upper-case hex. No NUL is added. */
void sigv4_encode(struct buf *ret, const char *text, size_t len, int keep_slashes);
/* "?a=b&c=" encoded and sorted as in the canonical request; nothing for no parameters. */
int sigv4_query(struct buf *ret, const struct sigv4_param *query, size_t count, struct error *err);
/* SHA-256 in lower-case hex. */
void sigv4_hash(const void *data, size_t len, char ret_hex[static SIGV4_HASH_HEX]);

#endif
