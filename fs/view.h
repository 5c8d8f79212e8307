/* SPDX-License-Identifier: MIT */
#ifndef FS_VIEW_H
#define FS_VIEW_H

/*
 * What is in a snapshot, by rank: rank 0 is its root folder, the tree's entry
 * of rank r is r + 1. Answers from decoded nodes that the reader's cache
 * holds; keeps nothing of its own for any file. Knows nothing of FUSE.
 *
 * Threads: all calls by any thread, no lock held over I/O. A struct snapshot
 * is borrowed for the call, and by a struct view_entry until view_put().
 * Errors: ERR_NOT_FOUND: no such entry; ERR_USAGE: not a folder; else what the
 * reader says, with the place named.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "archive/reader.h"
#include "archive/snapshot.h"

struct view;
/* `reader` is borrowed. NULL without memory. */
struct view *view_new(struct reader *reader);
void view_free(struct view *v); /* NULL is a no-op */
/* Borrowed. */
struct reader *view_reader(struct view *v);

/* An entry, pinned: everything it points to stays until view_put(). */
struct view_entry {
	const struct snapshot *snapshot;
	const struct entry *entry;
	const struct node *leaf; /* the pin; NULL for the root folder */
	uint32_t rank;
};

/* The entry of that rank. */
int view_at(struct view *v, const struct snapshot *s, uint32_t rank, struct view_entry *ret, struct error *err);
/* `name` in the folder of rank `parent`; "." and ".." too (the root's ".." is ERR_NOT_FOUND: it is not in the
 * snapshot). */
int view_lookup(struct view *v, const struct snapshot *s, uint32_t parent, const char *name, struct view_entry *ret,
	struct error *err);
void view_put(struct view *v, const struct view_entry *e);
/* All of stat but st_dev. Folders have one link. */
void view_stat(const struct view_entry *e, struct stat *ret);
/* All xattrs, encoded for xattr_next(), appended to *ret. */
int view_xattrs(struct view *v, const struct view_entry *e, struct buf *ret, struct error *err);

/* An open folder: a copy of where it stands, tied to no pin. Immutable. */
struct view_dir {
	uint32_t number;       /* of the snapshot */
	uint32_t rank, parent; /* parent: equal to rank for the root */
	uint64_t first;        /* tree rank of its first entry, or where that would stand */
	size_t prefix_len;
	uint8_t prefix[]; /* of its entries' keys, the 00 before the name included */
};
/* The caller frees it with free(). */
int view_dir_open(struct view *v, const struct snapshot *s, uint32_t rank, struct view_dir **ret, struct error *err);

/* The offset in a listing behind "." and "..", and behind the entry of a tree rank. */
enum { VIEW_DIR_FIRST = 2, VIEW_DIR_BEHIND = 3 };
/* What a listing is given: `next` is the offset behind this entry. False ends the listing. */
typedef bool view_dir_fn(void *arg, const struct view_entry *e, const char *name, uint64_t next);
/* Entries behind offset `off` (VIEW_DIR_FIRST and up), in the tree's order, until fn says false or the folder ends. */
int view_dir_list(struct view *v, const struct snapshot *s, const struct view_dir *dir, uint64_t off, view_dir_fn *fn,
	void *arg, struct error *err);

#endif
