/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ARCHIVE_FIXTURE_H
#define TESTS_ARCHIVE_FIXTURE_H

/*
 * A small repository for tests of the archive: in a memory store under a
 * fault layer, opened with a key file's key, with a private catalog; and a
 * temporary source folder to fill. Everything asserts; nothing is returned.
 */

#include <pthread.h>

#include "archive/backup.h"
#include "archive/reader.h"
#include "archive/session.h"
#include "backends/fault.h"

struct archive_fixture {
	struct store *store; /* the fault layer; owned by repo */
	struct repo *repo;
	struct catalog *catalog;
	char dir[64];    /* the source, removed at the end */
	char source[72]; /* "dir/" */
	char *paths[1];
	pthread_mutex_t lock; /* of the next two */
	char *last_warning;   /* what the run told last; NULL: nothing */
	unsigned warnings;
};

void archive_fixture_open(struct archive_fixture *f);
void archive_fixture_close(struct archive_fixture *f);
/* For cmocka: a fixture of its own for each test, in *state. */
int archive_fixture_setup(void **state);
int archive_fixture_teardown(void **state);
#define ARCHIVE_CASE(name) cmocka_unit_test_setup_teardown(name, archive_fixture_setup, archive_fixture_teardown)

/* Opens a repository that lies in `store` (taken over) with the fixture's key. */
int archive_fixture_reopen(struct store *store, struct repo **ret_repo, struct error *err);
/* Chunks of a few hundred bytes from now on, so that small files have many. */
void archive_fixture_small_chunks(struct archive_fixture *f);

/* Bytes that follow from a seed; half of them compress. Caller frees. */
uint8_t *archive_fixture_bytes(size_t len, uint32_t seed);
/* Writes a file below dir; folders are made. */
void archive_fixture_write(struct archive_fixture *f, const char *path, const void *data, size_t len);
/* "dir/path". Caller frees. */
char *archive_fixture_path(const struct archive_fixture *f, const char *path);
/* Sets all times in dir back, so that nothing counts as touched around the snapshot. */
void archive_fixture_age(const struct archive_fixture *f);

/* What the next three run with, for tests that change some of it: dir/ as dataset "t". */
struct backup_options archive_fixture_options(struct archive_fixture *f);
/* Backs up; asserts that it works. The caller frees result->snapshot. */
void archive_fixture_run(
	struct archive_fixture *f, const struct backup_options *options, struct backup_result *ret_result);
/* Backs dir/ up likewise. */
void archive_fixture_backup(struct archive_fixture *f, struct backup_result *ret_result);
/* The same with a status. */
int archive_fixture_try(struct archive_fixture *f, struct backup_result *ret_result, struct error *err);

/* An entry of a snapshot, and what it is borrowed from. */
struct archive_found {
	struct reader *reader;
	const struct node *leaf;
	const struct entry *entry;
	uint64_t rank;
};
/* False when there is none; then there is nothing to let go. */
bool archive_fixture_find(struct repo *repo, const struct snapshot *s, const char *path, struct archive_found *ret);
void archive_fixture_let_go(struct archive_found *found);
bool archive_fixture_has(struct repo *repo, const struct snapshot *s, const char *path);
/* The bytes of a file in a snapshot, read through a fresh reader. Asserts. */
void archive_fixture_read(struct repo *repo, const struct snapshot *s, const char *path, struct buf *ret);
/* The file has these bytes. */
void archive_fixture_expect(
	struct repo *repo, const struct snapshot *s, const char *path, const void *data, size_t len);

#endif
