/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_STAGE_H
#define FS_SPOOL_STAGE_H

/*
 * New files of a staging folder. To make one costs as much as all else that a
 * small file in the spool needs, and many times that where many were removed
 * shortly before; so while they are asked for one after the other, a thread
 * makes the next few beforehand. They are empty and known to nobody: a run
 * that is killed leaves them to what clears files that no row names.
 *
 * A file has a name of 16 random bytes in hex, made with O_EXCL and 0600; whoever
 * takes it owns it. All calls by any thread; no lock is held over I/O.
 */

#include "base/error.h"

enum { STAGE_NAME_LEN = 32 };

struct stage;

/* `dir`: the folder, open; borrowed. */
int stage_new(int dir, struct stage **ret_stage, struct error *err);
/* Ends the thread and removes what was not taken. NULL is a no-op. */
void stage_free(struct stage *s);
/* A new, empty file, open for reading and writing, and its name. ERR_NO_SPACE, ERR_IO. */
int stage_take(struct stage *s, char ret_name[static STAGE_NAME_LEN + 1], int *ret_fd, struct error *err);
/* Nobody makes files for now: removes what was not taken. */
void stage_rest(struct stage *s);

/* One, made here and now. */
int stage_make(int dir, char ret_name[static STAGE_NAME_LEN + 1], int *ret_fd, struct error *err);

#endif
