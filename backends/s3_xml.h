/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_S3_XML_H
#define BACKENDS_S3_XML_H

/*
 * The two kinds of XML that S3 answers with and drfs reads: an error, and a
 * page of ListObjectsV2. Parsed by expat, without external entities; bytes from
 * outside, so every text is bounded. Pure functions.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { S3_CODE_MAX = 64, S3_MESSAGE_MAX = 300, S3_KEY_MAX = 1024, S3_TOKEN_MAX = 4096 };

/* Texts are cut to their room; control characters in them become '?'. */
struct s3_fault {
	char code[S3_CODE_MAX], message[S3_MESSAGE_MAX], region[S3_CODE_MAX];
};
/* True when the text is an <Error>. */
bool s3_xml_fault(const void *text, size_t len, struct s3_fault *ret);

struct s3_page {
	bool truncated;
	char token[S3_TOKEN_MAX]; /* NextContinuationToken */
};
/* An object of the page; keys were sent with encoding-type=url and are decoded here. Non-zero ends the parsing and is
 * returned. */
typedef int s3_object_fn(void *arg, const char *key, uint64_t size, struct error *err);
/* ERR_IO: it is no page, or is damaged. What was told by then was told. */
int s3_xml_page(const void *text, size_t len, struct s3_page *ret, s3_object_fn *fn, void *arg, struct error *err);

#endif
