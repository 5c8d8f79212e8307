/* SPDX-License-Identifier: MIT */
#ifndef FS_NODEID_H
#define FS_NODEID_H

/*
 * Node ids: what the kernel calls a file by. They say where a thing is found, so no table of inodes is kept and a
 * forgotten inode costs nothing to forget:
 *
 *   space (2 bits) | snapshot number (29) | 0 | rank (32)
 *
 * Rank 0 is the snapshot's root folder; the tree's entry of rank r is r + 1.
 * st_ino is the same number, but for a file with several links the 0 becomes 1
 * and the rank its link group, so that all links show one inode number.
 *
 * The virtual space lays its 62 bits out like this:
 *   number 0, bit 32 clear   one of the few fixed nodes
 *   number 0, bit 32 set     a dataset's tag << 1, and 1 for its at/
 *   number,   bit 32 clear   a link or folder that stands for that snapshot: the low bits say which
 *   number,   bit 32 set     latest.EXT: the low bits are the rank of the file
 * A symlink's id so depends on its target: the kernel caches targets by id.
 *
 * The space of working copies: number (29), then the 33 bits of an inode as
 * fs/spool/index.h numbers it. The number is the working copy's (worktable.h).
 *
 * Pure functions over plain values.
 */

#include <stdbool.h>
#include <stdint.h>

/* What a node is. Values are not stored. */
enum nodeid_kind {
	NODEID_ROOT = 1,    /* the mount's root; 1 is what FUSE calls it */
	NODEID_FACTS,       /* .drfs */
	NODEID_STATUS,      /* .drfs/status.json */
	NODEID_POINTS,      /* at */
	NODEID_DATASET,     /* tag */
	NODEID_DATASET_AT,  /* tag */
	NODEID_LATEST,      /* number: a dataset's latest */
	NODEID_AT_LINK,     /* number: DATASET/at/TIME */
	NODEID_POINT,       /* number: at/TIME, by the newest snapshot of any dataset in it */
	NODEID_POINT_LINK,  /* number: at/TIME/DATASET */
	NODEID_ENDING_LINK, /* number, rank: a dataset's latest.EXT */
	NODEID_ENTRY,       /* number, rank: a snapshot's root folder (rank 0) or what is in it */
	NODEID_SPOOL,       /* spool */
	NODEID_COMMIT,      /* number of a working copy: its .commit */
	NODEID_WORK,        /* number of a working copy, ino: what is in it */
};

enum { NODEID_TAG_BITS = 31, NODEID_NUMBER_MAX = (1 << 29) - 1 };

struct nodeid {
	enum nodeid_kind kind;
	uint32_t number; /* of a snapshot or a working copy, 1 to NODEID_NUMBER_MAX */
	uint32_t rank;
	uint32_t tag; /* of a dataset, 1 to 2^31 - 1 */
	uint64_t ino; /* in a working copy, below 2^33 */
};

/* The number of a node; its fields must be in range. */
uint64_t nodeid_make(const struct nodeid *node);
/* The node of a number. False for one that was never given out. */
bool nodeid_parse(uint64_t id, struct nodeid *ret);
/* The id of a snapshot's entry; rank 0 is its root folder. */
uint64_t nodeid_entry(uint32_t number, uint32_t rank);
/* What stat shows as its inode number. link_group 0: it has one link. */
uint64_t nodeid_inode(uint32_t number, uint32_t rank, uint64_t link_group);

/* The id of a working copy's inode, which is its st_ino too. `ino` must be below 2^33. */
uint64_t nodeid_work(uint32_t number, uint64_t ino);
/* Does the id belong to the spool: the folder itself, a working copy, a .commit? */
bool nodeid_in_spool(uint64_t id);

#endif
