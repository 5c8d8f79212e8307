/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SNAPSHOT_H
#define ARCHIVE_SNAPSHOT_H

/*
 * A snapshot's statement: what was saved, by whom, when, and the root of its
 * tree; signed by the slot that wrote it. Or a void: the end of a session
 * without a snapshot. Statements travel verbatim (bytes and signature) in
 * snapshots/ and again in summaries/.
 *
 * A struct snapshot owns all it points to.
 */

#include "archive/entry.h"
#include "archive/repo.h"

enum snapshot_state {
	SNAPSHOT_WHOLE = 0,
	SNAPSHOT_INCOMPLETE = 1, /* some sources could not be read; `latest` follows all the same */
	SNAPSHOT_PARTIAL = 2,    /* a content check failed, or its command did; `latest` does not follow */
	SNAPSHOT_DAMAGED = 3,    /* said by a mark later; never stored in a statement */
};

enum { SNAPSHOT_NAME_MAX = 80, SNAPSHOT_DATASET_MAX = 200, SNAPSHOT_NOTES_MAX = 1000, SNAPSHOT_NUMBER_BITS = 29 };

/* The path of what judged the dataset as a whole: no entry has it. */
#define SNAPSHOT_CHECK_ALL "."

/* Outcome of a completeness check of one file, or of the dataset's check command. */
struct snapshot_check {
	char *path; /* bytes, no NUL; SNAPSHOT_CHECK_ALL */
	char *kind; /* "pg_dump", "gzip", …; "command" */
	bool ok;
	char *reason; /* "" when ok */
};

/* The newest sequence number that the writer had seen of a slot: rollback shows as a gap. */
struct snapshot_seen {
	struct id slot;
	uint64_t seq;
};

struct snapshot {
	struct id id;
	bool is_void;
	char *dataset;
	char *name;         /* as shown, with ".partial" where it is */
	uint32_t number;    /* drawn, 29 bits, >= 1: node ids */
	int64_t time;       /* when it was put, host's clock corrected by skew */
	int64_t host_time;  /* the host's clock then */
	int64_t store_date; /* the store's Date of the session's reply; 0: not told */
	int64_t started;    /* when reading began, by the source's clock: what is newer is read again */
	struct id parent;   /* the snapshot it was built beside; zeros: none */
	char *host, *user;
	char **paths;
	unsigned path_count;
	enum snapshot_state state;
	struct tree_root root;
	struct entry top; /* attributes of the root directory: mode, owners, times, xattrs; key empty. Owned. */
	uint64_t files, dirs, others; /* entries by kind */
	uint64_t link_max;            /* highest link group given out so far in this dataset */
	uint64_t bytes;               /* of all files */
	uint64_t new_bytes;           /* plain bytes of chunks that were new */
	uint64_t stored_bytes;        /* bytes that this run added to the store's packs */
	uint64_t archive_bytes;       /* bytes of all packs after it, as this writer knew: for statfs */
	struct snapshot_check *checks;
	unsigned check_count;
	char **notes; /* what was left out, and why */
	unsigned note_count;
	char **tags;
	unsigned tag_count;
	char *description; /* "" when none */
	struct id slot;
	uint64_t seq;       /* of that slot, from 1 */
	struct id previous; /* hash of that slot's previous statement; zeros: first */
	struct snapshot_seen *seen;
	unsigned seen_count;
	struct id statement_hash; /* BLAKE2b-256 over the statement bytes; made on decoding and signing */
	/* The sealed root node and its pack's key, carried along so that the root costs no round trip; may be empty.
	 * Not signed: the signed root names the pack id, which fixes the key. */
	struct buf root_sealed;
	uint8_t root_key[FORMAT_KEY_LEN];
	/* As signed. A set may show another name (two hosts drew one), number or state (a later mark). */
	char *stated_name;
	uint32_t stated_number;
	enum snapshot_state stated_state;
	/* Later marks, filled in by snapset. */
	bool forgotten, held, verified;
};

struct snapshot *snapshot_new(void); /* zeroed, strings ""; NULL without memory */
void snapshot_free(struct snapshot *s);
/* A copy that shares nothing with `s`; the sealed root node is left out. NULL without memory. */
struct snapshot *snapshot_copy(const struct snapshot *s);

/* Encodes the statement and signs it with this slot's key. *ret: varint length, statement, 64 bytes signature, then
 * root TLVs. */
int snapshot_encode(const struct repo *repo, struct snapshot *s, struct buf *ret, struct error *err);
/* As encode, for a void: the same bytes whenever the same slot does it. */
int snapshot_encode_void(const struct repo *repo, const struct id *id, struct buf *ret, struct error *err);
/*
 * Decodes and judges: signature by a known slot that may write that dataset. ERR_CORRUPT, ERR_DENIED (slot unknown or
 * without the right), ERR_UNSUPPORTED. `id` is the object's.
 */
int snapshot_decode(const struct repo *repo, const struct id *id, const void *data, size_t len,
	struct snapshot **ret_snapshot, struct error *err);
/* As snapshot_decode(), with slots that were revoked later among the signers. */
struct signers;
int snapshot_decode_by(const struct signers *signers, const struct id *id, const void *data, size_t len,
	struct snapshot **ret_snapshot, struct error *err);

const char *snapshot_state_name(enum snapshot_state state); /* "whole", "incomplete", "partial", "damaged" */

/* A good dataset name: 1..200 bytes, no slash, no control character, no leading dot, valid UTF-8, not at, spool,
 * clones. ERR_USAGE says which rule. */
int snapshot_dataset_ok(const char *name, struct error *err);

#endif
