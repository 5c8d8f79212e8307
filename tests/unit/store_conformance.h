/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_STORE_CONFORMANCE_H
#define TESTS_UNIT_STORE_CONFORMANCE_H

/*
 * What backends/store.h promises, as tests that every store passes: drivers
 * and layers alike. A store's own test program describes how to get an empty
 * one and calls store_conformance_run(); what only that store can do or get
 * wrong it tests itself. The suite speaks to struct store * only.
 */

#include "backends/store.h"

struct store_factory {
	const char *label; /* names the group in the report */
	/* An open store that holds nothing. Called afresh for each test. */
	int (*open)(void *arg, struct store **ret_store, struct error *err);
	/* After the store was closed: takes away what open() made. May be NULL. */
	void (*clean)(void *arg);
	void *arg;
	unsigned many; /* objects in the test of long listings; 0: 10000 */
};

/* Runs the suite. Returns how many tests failed. */
int store_conformance_run(const struct store_factory *factory);

#endif
