/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_STORE_PLACE_H
#define TESTS_UNIT_STORE_PLACE_H

/*
 * A temporary folder with a file store in it, and what the file store's tests
 * do with both. Helpers assert, so they belong to the main thread.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/store_file.h"

enum { PATH_LEN = 512 };

/* A temporary folder, and the store in its subfolder "repo". */
struct place {
	char root[64];
	char repo[80];
	bool named;   /* force temporary names, as on file systems without unnamed files */
	bool shm;     /* on a file system in memory, where an fsync costs nothing */
	bool mounted; /* root carries a mount of its own */
};

/* cmocka's set-up and tear-down: *state is a struct place without a repository yet; then all is taken away. */
int place_set_up(void **state);
int place_tear_down(void **state);
/* Unmounts and removes. arg: the struct place. */
void place_clean(void *arg);
/* The store in place->repo by store_open(). */
struct store *place_open_repo(const struct place *place, bool create);
/* Path of `name` in the repository's folder, in a buffer that the next call overwrites. */
const char *place_inside(const struct place *place, const char *name);
void place_put_text(struct store *s, const char *name, const char *text);
/* The object is exactly that text (under 100 bytes). */
void assert_place_reads(struct store *s, const char *name, const char *text);
/* A store_list_fn that counts in a size_t. */
int place_count_names(void *arg, const char *name, uint64_t size, struct error *err);
size_t place_count_listed(struct store *s);
/* All files below the folder, whatever they are called. */
size_t place_count_files(const char *path);

#define AT_PLACE(test) cmocka_unit_test_setup_teardown(test, place_set_up, place_tear_down)

#endif
