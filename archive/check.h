/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_CHECK_H
#define ARCHIVE_CHECK_H

/*
 * Is everything there, and is it what was written? Reads, never writes.
 * Always: every object's envelope (and for small ones the trailing hash and
 * seal), every snapshot's signature and number chain, every tree from its
 * root to its leaves, that every chunk named lies in a pack that is there and whose table names it
 * at that place, that every pack is in the index and its wrap opens. With
 * read_data: every byte of every pack (or of P percent of them, by a random draw): trailing hash, seals, ids
 * recomputed.
 */

#include "archive/reader.h"
#include "archive/seen.h"
#include "archive/snapset.h"
#include "base/progress.h"

enum check_severity { CHECK_NOTE, CHECK_WARNING, CHECK_ERROR };
/* `object`: a store name, or "dataset/snapshot:path". */
typedef void check_finding_fn(void *arg, enum check_severity severity, const char *object, const char *text);

struct check_options {
	double read_percent; /* 0: structure only; 100: every byte */
	check_finding_fn *finding;
	void *finding_arg;
	struct seen *seen; /* what this host saw before: what is lost of it is an error. NULL: nothing */
	unsigned threads;
	struct progress *progress;
	const volatile int *cancel;
};

struct check_result {
	uint64_t objects, packs, snapshots, nodes, chunks, bytes_read;
	uint64_t errors, warnings;
};

/* 0 also when findings were made: see ret_result->errors. */
int check_run(
	struct repo *repo, const struct check_options *options, struct check_result *ret_result, struct error *err);

#endif
