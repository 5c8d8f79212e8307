/* SPDX-License-Identifier: MIT */
#ifndef FS_FAULTS_H
#define FS_FAULTS_H

/*
 * What could not be read, told once: a broken object that a hundred readers
 * ask for is one line in the log until it was quiet for a while. Counts for
 * status.json. Thread-safe; logs with no lock held.
 */

#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

struct faults;
struct faults *faults_new(struct log *log); /* NULL without memory */
void faults_free(struct faults *f);         /* NULL is a no-op */
/* A request failed: one line, unless the same text was told within the last minute. */
void faults_tell(struct faults *f, const char *what, const struct error *err);
/* How many failed, when the last one did (0: never), and what it said. */
void faults_last(struct faults *f, uint64_t *ret_count, int64_t *ret_time, char ret_text[static ERROR_TEXT_MAX]);

#endif
