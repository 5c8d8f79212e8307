/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_CATALOG_FOLDER_H
#define TESTS_UNIT_CATALOG_FOLDER_H

/*
 * A temporary folder for tests of catalogs kept in files: opened in it, and
 * what was logged meanwhile.
 */

#include "catalog/catalog.h"

struct folder {
	char path[100];
	char dir[120]; /* path/cache/repo, which catalog_open() makes */
	struct log *log;
	unsigned warnings;
	char last[1024]; /* the last warning */
};

extern const uint8_t test_repository[16];

/* A fresh folder; every failure ends the test. */
struct folder *folder_new(void);
/* Removes everything in it. NULL is a no-op. */
void folder_free(struct folder *folder);
/* Removes the catalog's own folder. */
void folder_wipe(struct folder *folder);
/* Opens the catalog in `dir` (NULL: its own), for `repository` (NULL: the test's); it cannot fail. */
struct catalog *folder_open_at(struct folder *folder, const char *dir, const uint8_t *repository);
struct catalog *folder_open(struct folder *folder);
/* path of a file of the catalog, as "catalog.sqlite"; valid until called four times more. */
const char *folder_file(const struct folder *folder, const char *name);
bool folder_has(const struct folder *folder, const char *name);
/* Reads or writes a whole file of the catalog. */
void folder_slurp(const struct folder *folder, const char *name, struct buf *ret);
void folder_write(const struct folder *folder, const char *name, const void *data, size_t len);

#endif
