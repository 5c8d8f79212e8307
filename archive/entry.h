/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_ENTRY_H
#define ARCHIVE_ENTRY_H

/*
 * One file, directory, link or special file of a snapshot, as the tree keeps
 * it; and the keys by which the tree is ordered.
 *
 * Key of an entry: each component of its directory's path followed by 00,
 * then 00, then the name. By memcmp this is a depth-first order in which a
 * directory's own entries stand together, before everything below them.
 * "prefix" of a directory: its components each followed by 00 (the root's is
 * empty); its entries are the keys that begin with prefix + 00, its whole
 * subtree (itself not included) the keys that begin with prefix, or for the root everything.
 *
 * A struct entry is a view: its pointers are borrowed from whoever made it
 * (a decoded node, or the arena of a writer).
 */

#include <sys/types.h>

#include "archive/chunkref.h"

enum {
	ENTRY_NAME_MAX = 255,
	ENTRY_KEY_MAX = 8192,          /* longest key; deeper paths are told and skipped by the writer */
	ENTRY_INLINE_MAX = 16 << 10,   /* what an entry may hold itself; the next two keep it under this */
	ENTRY_INLINE_EXTENTS = 384,    /* more extents than this stand in pieces (some 42 bytes each, ids included) */
	ENTRY_INLINE_XATTRS = 4 << 10, /* more bytes of xattrs than this stand in a piece */
	ENTRY_PIECE_EXTENTS = 16384,   /* extents of each piece but the last */
	ENTRY_OWNER_MAX = 255,         /* longest name of a user or group */
	ENTRY_TARGET_MAX = 4095,       /* longest target of a symlink */
	ENTRY_XATTR_MAX = 1 << 20,     /* all xattrs of an entry, encoded */
};

struct entry_time {
	int64_t sec;
	uint32_t nsec;
};

/* A stretch of a file: `length` bytes of the chunk refs[ref] from `offset` on; or a hole. In order, without gaps. */
struct extent {
	uint64_t length;
	uint32_t ref;    /* index into refs; EXTENT_HOLE: zeros that are not stored */
	uint32_t offset; /* in the chunk */
};
enum { EXTENT_HOLE = UINT32_MAX };

/* A piece of a long list of extents: a tree object of its own, covering `length` bytes of the file. */
struct entry_piece {
	uint64_t length;
	uint32_t ref;
};

enum entry_flags {
	ENTRY_HAS_CONTENT_HASH = 1u << 0,
	ENTRY_CHANGED_WHILE_READ = 1u << 1, /* the source moved under the reader; told, kept */
};

struct entry {
	const uint8_t *key;
	size_t key_len;
	uint32_t mode; /* type and permissions, as st_mode */
	uint32_t uid, gid;
	const char *user, *group; /* names, "" when unknown; borrowed */
	struct entry_time mtime, ctime;
	uint64_t inode;      /* of the source: what "unchanged" means */
	uint64_t size;       /* regular: bytes; symlink: length of target; else 0 */
	uint64_t disk_bytes; /* st_blocks * 512 of the source */
	uint64_t link_group; /* 0: one link; else equal for all links of the file in this snapshot */
	uint32_t nlink;      /* links found in this snapshot's source (st_nlink for files) */
	uint32_t rdev_major, rdev_minor;
	unsigned flags;        /* enum entry_flags */
	const uint8_t *target; /* of a symlink */
	size_t target_len;
	const uint8_t *xattrs; /* encoded: see xattr_next(); NULL with xattrs_len 0: none, or in a piece */
	size_t xattrs_len;
	uint32_t xattr_ref; /* index into refs of a piece that holds them; EXTENT_HOLE: none */
	struct id content;  /* keyed hash of the whole content, where flagged */
	const struct extent *extents;
	uint32_t extent_count;
	const struct entry_piece *pieces; /* instead of extents, for long lists */
	uint32_t piece_count;
	const struct chunk_ref *refs; /* what ref indexes point into; of the whole node */
	uint32_t ref_count;
};

/* Appends the key for `name` in the directory whose prefix is given. */
void entry_key_put(struct buf *b, const uint8_t *prefix, size_t prefix_len, const void *name, size_t name_len);
/* Splits a key: the directory's prefix (length) and the name. False for a key that is none. */
bool entry_key_split(
	const uint8_t *key, size_t key_len, size_t *ret_prefix_len, const uint8_t **ret_name, size_t *ret_name_len);
/* Appends the prefix that the directory with this key has for its own children. */
bool entry_key_to_prefix(struct buf *b, const uint8_t *key, size_t key_len);
/* Key of "a/b/c" (no leading or trailing slash; "" is the root and has no key: false). */
bool entry_key_from_path(struct buf *b, const char *path, size_t len);
/* "a/b/c" of a key, appended without NUL. */
void entry_key_to_path(struct buf *b, const uint8_t *key, size_t key_len);
/* Whole and well-formed: no empty component, none "." or "..", no '/', none too long. */
bool entry_key_ok(const uint8_t *key, size_t key_len);
/* One component: 1 to 255 bytes, not "." or "..", no 00 and no '/'. */
bool entry_name_ok(const uint8_t *name, size_t len);

/*
 * Extended attributes, encoded in order of name: per attribute varint length and name, varint length and value.
 * Names carry their namespace ("user.x", "system.posix_acl_access", "security.capability").
 */
void xattr_put(struct buf *b, const char *name, const void *value, size_t len);
/* Steps through; false at the end or on damage (then c->failed). Pointers are borrowed; the name has no NUL. */
bool xattr_next(
	struct cursor *c, const char **ret_name, size_t *ret_name_len, const uint8_t **ret_value, size_t *ret_len);
/* Well-formed to the end, names in strictly ascending order, not over ENTRY_XATTR_MAX: what an encoder asks for. */
bool xattrs_ok(const void *xattrs, size_t len);

#endif
