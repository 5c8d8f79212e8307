/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SNAPSHOT_CODEC_H
#define ARCHIVE_SNAPSHOT_CODEC_H

/*
 * What encoder and decoder of a snapshot's statement share: its tags, the
 * table of its plain members, and its bounds. Only snapshot_encode.c,
 * snapshot_decode.c and snapshot.c include this. Tags never change their
 * meaning; FORMAT.md lists them.
 */

#include "archive/fields.h"
#include "archive/snapshot.h"

enum snapshot_tag {
	SNAP_ID = 1 | TLV_CRITICAL,
	SNAP_SLOT = 2 | TLV_CRITICAL,
	SNAP_VOID = 3 | TLV_CRITICAL, /* empty; a void has id, slot and this */
	SNAP_DATASET = 4 | TLV_CRITICAL,
	SNAP_NAME = 5 | TLV_CRITICAL,
	SNAP_NUMBER = 6 | TLV_CRITICAL,
	SNAP_TIME = 7 | TLV_CRITICAL,
	SNAP_STATE = 8 | TLV_CRITICAL,
	SNAP_ROOT = 9 | TLV_CRITICAL,
	SNAP_TOP = 10 | TLV_CRITICAL,
	SNAP_SEQ = 11 | TLV_CRITICAL,
	SNAP_PREVIOUS = 12,
	SNAP_SEEN = 13, /* slot, varint: may stand more than once, as do check, path, note and tag */
	SNAP_HOST_TIME = 14,
	SNAP_STORE_DATE = 15,
	SNAP_STARTED = 16,
	SNAP_PARENT = 17,
	SNAP_HOST = 18,
	SNAP_USER = 19,
	SNAP_PATH = 20,
	SNAP_FILES = 21,
	SNAP_DIRS = 22,
	SNAP_OTHERS = 23,
	SNAP_BYTES = 24,
	SNAP_NEW_BYTES = 25,
	SNAP_STORED_BYTES = 26,
	SNAP_ARCHIVE_BYTES = 27,
	SNAP_CHECK = 28,
	SNAP_NOTE = 29,
	SNAP_TAG = 30,
	SNAP_DESCRIPTION = 31,
	SNAP_LINK_MAX = 32,
};

/* The attributes of the root directory, inside SNAP_TOP. */
enum snapshot_top_tag {
	TOP_MODE = 1 | TLV_CRITICAL,
	TOP_UID = 2 | TLV_CRITICAL,
	TOP_GID = 3 | TLV_CRITICAL,
	TOP_USER = 4,
	TOP_GROUP = 5,
	TOP_MTIME = 6 | TLV_CRITICAL,
	TOP_CTIME = 7,
	TOP_INODE = 8,
	TOP_XATTRS = 9 | TLV_CRITICAL,
};

/* One completeness check, inside SNAP_CHECK. */
enum snapshot_check_tag { CHECK_PATH = 1, CHECK_KIND = 2, CHECK_OK = 3 | TLV_CRITICAL, CHECK_REASON = 4 };

/* Behind the signature: what is carried along unsigned. */
enum snapshot_extra_tag { EXTRA_ROOT_SEALED = 1, EXTRA_ROOT_KEY = 2 };

enum {
	SNAPSHOT_STATEMENT_MAX = 4 << 20,
	SNAPSHOT_TEXT_MAX = 64 << 10, /* one path, note, tag, description */
	SNAPSHOT_LIST_MAX = 10000,    /* paths, checks, tags, slots seen */
	SNAPSHOT_ROOT_SEALED_MAX = 64 << 10,
	SNAPSHOT_NUMBER_MAX = (1 << SNAPSHOT_NUMBER_BITS) - 1,
};

extern const struct field snapshot_fields[];
extern const size_t snapshot_field_count;
extern const struct field snapshot_top_fields[];
extern const size_t snapshot_top_field_count;

/* The lists of texts in a snapshot. */
struct snapshot_texts {
	uint16_t tag;
	size_t list;  /* offset of the char ** */
	size_t count; /* offset of the unsigned */
	unsigned max;
};
extern const struct snapshot_texts snapshot_texts[3];

#endif
