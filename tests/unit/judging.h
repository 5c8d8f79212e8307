/* SPDX-License-Identifier: MIT */
#ifndef TESTS_JUDGING_H
#define TESTS_JUDGING_H

/* Feeds bytes to the checks of completeness, for their tests. Everything asserts. */

#include <stddef.h>
#include <stdint.h>

#include "archive/complete.h"

/* How a plain dump and a dump of a cluster begin and end. */
#define HEAD "--\n-- PostgreSQL database dump\n--\n\n"
#define KEYED_HEAD HEAD "\\restrict abc\n\nSET x = 1;\n\nCREATE TABLE t ();\n\n"
#define TAIL "--\n-- PostgreSQL database dump complete\n--\n\n"
#define ALL_HEAD "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict k\n\nCREATE ROLE r;\n\\unrestrict k\n\n"
#define ALL_TAIL "--\n-- PostgreSQL database cluster dump complete\n--\n\n"

struct bytes {
	uint8_t *p;
	size_t len;
};

struct result {
	enum complete_verdict verdict;
	char kind[32];
	char reason[COMPLETE_REASON_MAX];
};

/* Reads tests/fixtures/complete/NAME, found from the sources' place or by DRFS_FIXTURES. Caller frees. */
struct bytes load(const char *name);
/* A judge of a file of that name. */
struct complete *begin(const char *name);
/* Its verdict; frees it. */
struct result end(struct complete *c);
/* Judges bytes fed in pieces of at most `piece`. */
struct result judge_in(const char *name, const void *data, size_t len, size_t piece);
/* Fed at once. */
struct result judge(const char *name, const void *data, size_t len);
/* A string likewise. */
struct result judge_text(const char *name, const char *text);

#endif
