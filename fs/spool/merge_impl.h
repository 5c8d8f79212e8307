/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_MERGE_IMPL_H
#define FS_SPOOL_MERGE_IMPL_H

/*
 * What the parts of merge share. Private to them.
 *
 *   merge.c          the walk: folders of the overlay over those of the base
 *   merge_base.c     ranks and stretches of the base's tree
 *   merge_tell.c     an inode as an entry
 *   merge_content.c  where a file's bytes come from
 *
 * One thread; struct merge lives as long as merge_run().
 */

#include "fs/spool/merge.h"

/* Numbers for the groups of links that the base does not know, by inode. */
struct merge_group {
	uint64_t ino, group; /* group 0: a free slot */
};

struct merge {
	const struct merge_options *o;
	struct feed *feed;
	struct index *index;
	const struct snapshot *base; /* NULL: none */
	struct node_source *nodes;
	struct merge_sums sums;     /* told so far */
	struct merge_group *groups; /* open addressing */
	size_t group_count, group_slots;
	uint64_t next_group;
};

/* Something was done: who waits for the commit sees that it goes on. */
void merge_progress(const struct merge_options *o);
/* "a/b" of a prefix and a name, printable, for notes and errors. Caller frees; NULL without memory. */
char *merge_path(const struct buf *prefix, const char *name);

/* ---- merge_base.c ---- */

/* Rank of the first entry of the base whose key is >= prefix + `tail`. */
int merge_rank(struct merge *m, const struct buf *prefix, const void *tail, size_t tail_len, uint64_t *ret_rank,
	struct error *err);
/* Tells the ranks [first, end) of the base, whose keys begin with `from`, as lying under `to`. Nothing where empty. */
int merge_range(
	struct merge *m, uint64_t first, uint64_t end, const struct buf *from, const struct buf *to, struct error *err);
/* The prefix of the base's folder that shows through: `lower` as in index.h. Appended. */
int merge_lower_prefix(struct merge *m, uint64_t lower, struct buf *prefix, struct error *err);
/* Is the base's entry of that rank a folder? */
int merge_is_folder(struct merge *m, uint64_t rank, bool *ret_folder, struct error *err);

/* ---- merge_tell.c ---- */

/* The root folder's attributes: the overlay's (NULL: the base's). */
int merge_root(struct merge *m, const struct index_inode *inode, struct error *err);
/* An inode under this name. */
int merge_tell(struct merge *m, const struct buf *prefix, const char *name, const struct index_inode *inode,
	struct error *err);

/* ---- merge_content.c ---- */

/* What a told file's bytes are borrowed from while it is told. Zero it; merge_source_release(). */
struct merge_source {
	struct feed_content content;
	const struct node *leaf; /* the pin behind content.entry */
	struct feed_range *ranges;
	size_t range_count, range_cap;
	uint64_t disk_bytes;
};
int merge_source(struct merge *m, const struct index_inode *inode, const struct entry *as, struct merge_source *ret,
	struct error *err);
void merge_source_release(struct merge *m, struct merge_source *s);

#endif
