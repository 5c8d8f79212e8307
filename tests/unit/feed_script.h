/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FEED_SCRIPT_H
#define TESTS_FEED_SCRIPT_H

/*
 * What a feed is to tell, as a list of steps that is written down first and
 * told by the run: entries with bytes in memory, entries of a snapshot, and
 * stretches of the base. Everything asserts.
 */

#include "archive/feed.h"
#include "archive_fixture.h"

/* Bytes of a told file. */
struct feed_blob {
	const uint8_t *data;
	size_t len;
	size_t fail_at; /* a read that reaches so far fails; 0: none does */
	uint64_t read;  /* bytes asked for; atomic */
	unsigned opened, closed;
	const struct feed_range *holes;
	size_t hole_count;
};
struct feed_reader feed_blob_reader(struct feed_blob *blob);

struct feed_step {
	bool is_range;
	struct entry entry;
	uint8_t *key;
	struct feed_content content;
	struct feed_blob *blob; /* FEED_READ, FEED_PATCH: opened anew each time the step is told */
	uint64_t first, end;
	const char *old_prefix, *new_prefix; /* folders' paths; NULL: as it is */
};

struct feed_script {
	struct feed_step steps[4096];
	size_t count;
	unsigned runs;                                             /* how often it was told */
	int (*hook)(void *arg, struct feed *f, struct error *err); /* called first; may be NULL */
	void *hook_arg;
	uint64_t mtime; /* of the root */
};

/* Attributes of a plain file, folder or link by its path. */
struct feed_step *feed_step_add(struct feed_script *s, const char *path, uint32_t mode);
void feed_step_dir(struct feed_script *s, const char *path);
void feed_step_empty(struct feed_script *s, const char *path);
void feed_step_link(struct feed_script *s, const char *path, const char *target);
struct feed_step *feed_step_read(struct feed_script *s, const char *path, struct feed_blob *blob);
/* All of `entry`, which must stay pinned. */
struct feed_step *feed_step_entry(struct feed_script *s, const struct entry *entry);
void feed_step_range(struct feed_script *s, uint64_t first, uint64_t end);
void feed_script_clear(struct feed_script *s);

struct feed_options feed_script_options(
	struct archive_fixture *f, struct feed_script *s, const struct snapshot *base, struct reader *reader);
int feed_script_try(struct archive_fixture *f, struct feed_script *s, const struct snapshot *base,
	struct reader *reader, struct backup_result *ret_result, struct error *err);
/* Asserts that it works; the caller frees the snapshot. */
void feed_script_run(struct archive_fixture *f, struct feed_script *s, const struct snapshot *base,
	struct reader *reader, struct backup_result *ret_result);
struct reader *feed_script_reader(struct archive_fixture *f);

#endif
