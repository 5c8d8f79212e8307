/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_CATALOG_CONFORMANCE_H
#define TESTS_UNIT_CATALOG_CONFORMANCE_H

/*
 * What every catalog must do, whatever database is under it: one suite that is
 * run on each driver, and on a private catalog. And the made-up chunks and
 * packs that other tests of the catalog use too.
 */

#include <stdbool.h>

#include "catalog/catalog.h"

/* How to come by a catalog of the kind under test. */
struct catalog_fixture {
	const char *name;
	/* Opens it; the same one each time until wipe. A failure ends the test. */
	struct catalog *(*open)(void *arg);
	/* The next open finds an empty one. */
	void (*wipe)(void *arg);
	bool kept; /* rows outlive close, and handles opened at once share them */
	void *arg;
};

/* Runs the suite as a cmocka group. Returns the number of failed tests. */
int catalog_conformance_run(const struct catalog_fixture *fixture);

/* 32 bytes that look random and depend on (kind, n) alone. */
void made_id(uint8_t kind, uint64_t n, uint8_t dst[static CATALOG_ID_LEN]);
/* The pack number n. */
struct catalog_pack made_pack(uint64_t n);
/* The chunk number n, lying in pack n / 100. */
struct catalog_chunk made_chunk(uint64_t n);

/* A segment of chunks and their packs that owns its memory. */
struct made_segment {
	struct catalog_segment segment;
	struct catalog_chunk *chunks;
	struct catalog_pack *packs;
};
/* The segment number n: `count` chunks from number `first` on, and the packs that they lie in. */
struct made_segment made_segment(uint64_t n, uint64_t domain, uint64_t first, size_t count);
void made_segment_free(struct made_segment *made);
/* Makes, adds and frees such a segment. Returns what catalog_segment_add() did. */
int add_made(struct catalog *catalog, uint64_t n, uint64_t domain, uint64_t first, size_t count, struct error *err);
/* Looks the made chunk up: 1 found and right in every field, 0 not found, an error's code; a wrong row fails the test.
 */
int find_made(struct catalog *catalog, uint64_t domain, uint64_t n);

#endif
