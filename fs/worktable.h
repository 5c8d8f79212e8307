/* SPDX-License-Identifier: MIT */
#ifndef FS_WORKTABLE_H
#define FS_WORKTABLE_H

/*
 * The numbers of a mount's working copies: what node ids call them by. A
 * working copy has its base snapshot's number where that is free, so that its
 * inodes keep their numbers from one mount to the next. When it moves to
 * another base, all inodes are others, so it gets another number; one that was
 * in use is never given out again: what the kernel still holds by it is stale.
 *
 * Also keeps how the last commit asked for through a dataset's .commit ended.
 *
 * Threads: all calls by any thread, one lock held for a few instructions. A
 * request holds the working copy that it is in, so that none sees half a move.
 * Working copies are borrowed from the spool, which outlives the table.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct work;
struct worktable;

struct worktable *worktable_new(void);        /* NULL without memory */
void worktable_free(struct worktable *table); /* NULL is a no-op */

/* The working copy of a number, which does not move until worktable_release(). NULL: there is none (any more). Waits
 * while it is moving. */
struct work *worktable_find(struct worktable *table, uint32_t number);
void worktable_release(struct worktable *table, uint32_t number);
/* The dataset's working copy, not held; NULL: it is not entered. */
struct work *worktable_work(struct worktable *table, const char *dataset);
/* The number of a dataset's working copy; 0: it has none yet. */
uint32_t worktable_number(struct worktable *table, const char *dataset);
/*
 * The dataset's working copy, entered where it is not: by `wanted` where that is free (0: any). ERR_NO_MEMORY,
 * ERR_UNSUPPORTED: numbers are used up.
 */
int worktable_enter(struct worktable *table, const char *dataset, struct work *work, uint32_t wanted,
	uint32_t *ret_number, struct error *err);
/*
 * Before its inodes become others: waits until no request is in it, `timeout_ns` at most; from then on none gets in
 * until worktable_moved(), or worktable_stayed() when it did not move. False: some stayed too long, it must not move
 * now. True for one that is not entered.
 */
bool worktable_moving(struct worktable *table, const char *dataset, int64_t timeout_ns);
void worktable_stayed(struct worktable *table, const char *dataset);
/* Its inodes are others now: it gets another number, `wanted` where that is free. Nothing for one that is not entered.
 */
void worktable_moved(struct worktable *table, const char *dataset, uint32_t wanted);
/* It is gone, and so is its number. Nothing for one that is not entered. */
void worktable_drop(struct worktable *table, const char *dataset);

/* How a commit ended. What is not known, or does not apply, is NULL. */
struct worktable_result {
	const char *name;           /* of the snapshot; "": nothing had changed */
	const char *state, *reason; /* of the snapshot, and why it is not whole */
	const char *error;          /* why there is none */
};
/* Keeps it, in place of what was kept before. Texts are copied. */
void worktable_set_result(struct worktable *table, uint32_t number, const struct worktable_result *result);
/* {"snapshot", "state", "reason", "error"}, each a text or null, appended. ERR_NOT_FOUND: the number is gone;
 * ERR_NO_MEMORY. */
int worktable_result(struct worktable *table, uint32_t number, struct buf *ret, struct error *err);

#endif
