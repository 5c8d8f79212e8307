/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ARCHIVE_FIXTURE_H
#define TESTS_ARCHIVE_FIXTURE_H

/*
 * A small repository for tests of the archive: in a memory store under a
 * fault layer, opened with a key file's key, with a private catalog; and a
 * temporary source folder to fill. Everything asserts; nothing is returned.
 */

#include "archive/backup.h"
#include "archive/reader.h"
#include "archive/session.h"
#include "backends/fault.h"

struct archive_fixture {
	struct store *store; /* the fault layer; owned by repo */
	struct repo *repo;
	struct catalog *catalog;
	char dir[64]; /* the source, removed at the end */
};

void archive_fixture_open(struct archive_fixture *f);
void archive_fixture_close(struct archive_fixture *f);
/* Opens a repository that lies in `store` (taken over) with the fixture's key. */
int archive_fixture_reopen(struct store *store, struct repo **ret_repo, struct error *err);
/* Writes a file below dir; folders are made. */
void archive_fixture_write(struct archive_fixture *f, const char *path, const void *data, size_t len);
/* Backs dir/ up as dataset "t"; asserts that it works. The caller frees result->snapshot. */
void archive_fixture_backup(struct archive_fixture *f, struct backup_result *ret_result);
/* The same with a status. */
int archive_fixture_try(struct archive_fixture *f, struct backup_result *ret_result, struct error *err);
/* The bytes of a file in a snapshot, read through a fresh reader. Asserts. */
void archive_fixture_read(struct repo *repo, const struct snapshot *s, const char *path, struct buf *ret);

#endif
