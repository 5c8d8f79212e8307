/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_REPO_LISTING_H
#define ARCHIVE_REPO_LISTING_H

/*
 * The names that stand in a repository at one moment, read in one wave. What
 * repo_open() saw while it fetched config waits in the repository for the
 * first who asks, so that opening costs no second round of listings.
 * A listing belongs to one thread at a time.
 */

#include "archive/repo.h"

/* Ids in ascending order. A zeroed struct is valid and empty. */
struct id_list {
	struct id *ids; /* owned */
	size_t count, cap;
};

bool id_list_add(struct id_list *list, const struct id *id); /* false without memory */
void id_list_release(struct id_list *list);
/* By bisection: the list must be in order, as listings are. */
bool id_list_has(const struct id_list *list, const struct id *id);

struct repo_listing {
	struct id_list snapshots, summaries, marks;
};

/* Lists one folder ("snapshots/"); names of another form are told in the log and left out. */
int repo_list_ids(
	struct store *store, const char *prefix, struct log *log, struct id_list *ret_list, struct error *err);
/* Lists the three folders afresh, at the same time where the store is remote. The caller frees. */
int repo_listing_load(struct repo *repo, struct repo_listing **ret_listing, struct error *err);
void repo_listing_free(struct repo_listing *listing); /* NULL is a no-op */
/* What repo_open() saw, once: the caller's from now on. NULL when it was taken. */
struct repo_listing *repo_take_listing(struct repo *repo);

#endif
