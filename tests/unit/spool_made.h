/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SPOOL_MADE_H
#define TESTS_SPOOL_MADE_H

/*
 * A repository with a working copy beside it, random edits of that, and what
 * working copies and snapshots show as texts that can be compared: one line
 * an entry with all that is to survive a commit. Everything asserts.
 */

#include "archive_fixture.h"
#include "fs/spool/commit.h"
#include "fs/view.h"

struct spool_made {
	struct archive_fixture f;
	struct reader *reader;
	struct view *view;
	char dir[64]; /* of the working copy, or of the spool; removed at the end */
	struct work *work;
	struct snapshot *base;     /* owned; NULL: none */
	struct snapshot *kept[64]; /* what find() finds; owned */
	size_t kept_count;
	unsigned made;
	atomic_uint changed;
	uint64_t state; /* of the random numbers */
};

int spool_made_setup(void **state);
int spool_made_teardown(void **state);
#define SPOOL_CASE(name) cmocka_unit_test_setup_teardown(name, spool_made_setup, spool_made_teardown)

/* A folder of every kind of entry, backed up as dataset "t", as m->base. */
void spool_made_base(struct spool_made *m);
/* Opens the working copy, on m->base where nothing is kept in its folder. */
void spool_made_work(struct spool_made *m);
const struct snapshot *spool_made_find(void *arg, const struct id *id);

/* Below the number, of the test's own generator. */
uint64_t spool_made_draw(struct spool_made *m, uint64_t below);
/* Makes or overwrites a file at the root of a working copy. */
void spool_made_write(struct work *w, const char *name, const void *data, size_t len);
void spool_made_write_at(struct work *w, const char *name, uint64_t off, const void *data, size_t len);
/* The inode at a path. */
uint64_t spool_made_ino(struct work *w, const char *path);
/* So many random changes. */
void spool_made_edit(struct spool_made *m, unsigned count);

/* A commit, as the spool makes it. The caller frees result. */
int spool_made_try(struct spool_made *m, struct commit_result *result, struct error *err);
/* Asserts that it works; the snapshot (NULL: nothing had changed) is kept by m. */
const struct snapshot *spool_made_commit(struct spool_made *m);

/* All entries as lines. The caller frees. */
char *spool_made_show_work(struct work *w);
char *spool_made_show_snapshot(struct spool_made *m, const struct snapshot *s);
/* Both show the same, down to the bytes. */
void spool_made_expect_same(struct spool_made *m, const struct snapshot *s);

#endif
