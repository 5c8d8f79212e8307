/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_STORE_CONFORMANCE_PARTS_H
#define TESTS_UNIT_STORE_CONFORMANCE_PARTS_H

/*
 * The suite's own parts: what its tests share, and the tables of tests that
 * store_conformance_run() joins. Helpers assert, so they belong to the main
 * thread; those that other threads may call too say so.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store_conformance.h"

struct fixture {
	const struct store_factory *factory;
	struct store *store;
};

/* Set-up and tear-down of every test: *state is the factory first, then a struct fixture with an empty store. */
int conformance_open(void **state);
int conformance_close(void **state);

#define CONFORMS(test)                                                 \
	{                                                              \
#test, test, conformance_open, conformance_close, NULL \
	}
#define CONFORMS_END                         \
	{                                    \
		NULL, NULL, NULL, NULL, NULL \
	}

/* Each ends with CONFORMS_END. */
extern const struct CMUnitTest conformance_object_tests[]; /* put, get, delete, names */
extern const struct CMUnitTest conformance_list_tests[];
extern const struct CMUnitTest conformance_call_tests[]; /* limits of a call, many threads */

/* The store of the fixture. */
struct store *store_of(void **state);
/* Fails with the chain unless rc is 0. */
void assert_ok(int rc, const struct error *err);
/* Puts a C string without its NUL. */
void put_text(struct store *s, const char *name, const char *text);
/* The object is exactly that text. */
void assert_holds(struct store *s, const char *name, const char *text);
/* stat and get say ERR_NOT_FOUND and name the object. */
void assert_missing(struct store *s, const char *name);
/* Puts names whose order is easily got wrong, each holding its own name. */
void put_order_traps(struct store *s);

/* What a listing gave. */
struct names {
	char (*list)[STORE_NAME_MAX + 1];
	uint64_t total; /* of sizes */
	size_t count;
	size_t cap;
	size_t stop_after; /* 0: never */
};

/* A store_list_fn for struct names, whose list the caller frees. Any thread. Returns 77 at stop_after. */
int collect(void *arg, const char *name, uint64_t size, struct error *err);

#endif
