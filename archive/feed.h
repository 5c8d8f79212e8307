/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_FEED_H
#define ARCHIVE_FEED_H

/*
 * A backup whose entries are told instead of walked: how a working copy
 * becomes a snapshot. The caller's function runs as the walker of backup.h's
 * pipeline (reading, chunking, bundling, judging, building and the statement
 * are the same) and tells, in strictly ascending key order, entries with where
 * their bytes come from, and stretches of the base snapshot's tree that are
 * taken over: by whole nodes where their keys stay the same, so that a small
 * change costs by its size and not by the tree's.
 *
 * Threads: feed_* are called by the walker's thread alone, inside the feed
 * function, and wait while the queue is full. A content's functions are called
 * by any reader of the run; those of a pg_dump folder's tables of contents within feed_entry() too. Errors: what a
 * feed_* returned must be returned by the feed function; the run fails with it.
 */

#include "archive/backup.h"

struct feed;

/* Where the bytes of a told file come from. */
enum feed_source {
	FEED_NONE,  /* no bytes: folders, links, devices, empty files */
	FEED_ENTRY, /* as an entry of any snapshot of this repository has them: content, refs and all, unread */
	FEED_READ,  /* read from the source */
	FEED_PATCH, /* `entry`, changed in `changes`: chunked anew only around these */
};

/* Bytes that can be read at any place, by any thread. Freed by the run through close(), told or not. */
struct feed_reader {
	/* *ret_len < len only at the end. */
	int (*read)(void *arg, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err);
	/* As lseek() with SEEK_DATA (data) or SEEK_HOLE; ERR_NOT_FOUND: none. NULL: all is data. */
	int (*seek)(void *arg, uint64_t off, bool data, uint64_t *ret_off, struct error *err);
	void (*close)(void *arg);
	void *arg;
};

struct feed_range {
	uint64_t off, len;
};

struct feed_content {
	enum feed_source source;
	const struct entry *entry;        /* FEED_ENTRY, FEED_PATCH: copied; may lie in a pinned node */
	struct feed_reader reader;        /* FEED_READ, FEED_PATCH: taken over */
	const struct feed_range *changes; /* FEED_PATCH: in order, apart, within the new size or at its end; copied */
	size_t change_count;
	bool is_new, is_changed; /* for the counts */
};

/* Attributes of the dataset's root folder (key empty). Once, first. */
int feed_root(struct feed *f, const struct entry *root, struct error *err);
/*
 * The next entry: key, attributes, xattrs (in the entry, or in the piece that xattr_ref names among its refs), target
 * and size of `entry`; its extents are ignored. Copied. Links of one file bear one link_group, and are each told with
 * a source of the same bytes: the first one's is read. FEED_ENTRY: of the size of content->entry.
 */
int feed_entry(struct feed *f, const struct entry *entry, const struct feed_content *content, struct error *err);
/*
 * The entries of the base's tree of ranks [first, end): as they are, with `new_prefix` in place of the first
 * `old_prefix_len` bytes of each key (both empty: keys stay, whole nodes are taken over unread).
 */
struct feed_rename {
	size_t old_prefix_len;
	const uint8_t *new_prefix;
	size_t new_prefix_len;
};
int feed_range(struct feed *f, uint64_t first, uint64_t end, const struct feed_rename *rename, struct error *err);
/* A line for the snapshot's notes (what was left out, and why); `missing`: its state becomes incomplete. */
void feed_note(struct feed *f, const char *path, const char *what, bool missing);

struct feed_options {
	const char *dataset;
	const struct snapshot *base; /* what feed_range() speaks of, and the parent it states; NULL: none. Borrowed. */
	/* What there was before, to be equal to: no snapshot is made that shows the same. NULL: `base`. A working copy
	 * stands on its base through many commits: what its last one made is what counts. Borrowed. */
	const struct snapshot *last;
	int compression;
	const char *check_command; /* NULL: none */
	const char *description;   /* NULL: none */
	char *const *tags;
	size_t tag_count;
	unsigned threads;
	struct reader *reader; /* for the base's nodes and chunks, and FEED_ENTRY's; never NULL; borrowed */
	backup_warn_fn *warn;
	void *warn_arg;
	const volatile int *cancel; /* may be NULL */
	int (*feed)(void *arg, struct feed *f, struct error *err);
	void *arg;
};

/*
 * Runs, as backup_run(). With a tree and root folder equal to `last`'s no snapshot is made: ret_result->snapshot is
 * NULL and 0 is returned. After ERR_VOID `feed` is called once more from the start.
 */
int feed_run(struct repo *repo, struct catalog *catalog, const struct feed_options *options,
	struct backup_result *ret_result, struct error *err);

#endif
