/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SEEN_H
#define ARCHIVE_SEEN_H

/*
 * What this host saw of a repository: of each key slot the snapshot with the
 * highest number, in a small private file of the host. A store that was put
 * back to an older state, or from which snapshots were taken, is whole in
 * itself; only who saw more than is there can tell.
 *
 * The file is <folder>/seen/<repository id>: a line 'drfs-seen-1', then a line
 * for each slot: slot, number, snapshot. It holds no secret. It helps where it
 * is and breaks nothing where it cannot be read or written; that is told at
 * -v alone. A snapshot that is lost stays in it, whatever is written to the
 * repository later, until it is back, is forgotten, or a person deletes the
 * file. Processes may write at once: the higher number wins, and what one of
 * them loses the next command finds again.
 *
 * A struct seen belongs to one thread at a time. It borrows the repository.
 */

#include "archive/snapset.h"

struct seen_row {
	struct id slot;
	uint64_t seq; /* the highest seen, from 1 */
	struct id snapshot;
	bool lost;      /* by the last look: it is neither there nor forgotten */
	uint64_t there; /* if lost: the highest that is there; 0: none */
	bool told;      /* by seen_tell() */
	bool changed;   /* to be written */
	struct id was;  /* if changed: the snapshot that the file named */
};

struct seen {
	const struct repo *repo;
	char *path;
	struct seen_row *rows;
	size_t count;
	bool writable; /* what the file held is known */
};

enum { SEEN_TEXT_MAX = 900 };

/*
 * Reads what was seen before. `dir`: the folder of this host's state; NULL: the default one. Makes the folder where it
 * can. ERR_NO_MEMORY alone: all else is as if nothing had been seen.
 */
int seen_open(const struct repo *repo, const char *dir, struct seen **ret_seen, struct error *err);
void seen_free(struct seen *seen); /* NULL is a no-op */
/*
 * Compares with a set that was listed after seen_open(), then notes what is new in it and writes that down. Returns how
 * many rows are lost. NULL: 0, and nothing is done.
 */
size_t seen_look(struct seen *seen, const struct snapset *set);
/*
 * As snapset_load(), with a look. What seems lost is believed after a second listing only: what repo_open() listed may
 * be older than what another process noted meanwhile. `seen` may be NULL.
 */
int seen_load(struct seen *seen, struct repo *repo, struct catalog *catalog, const struct snapset *old,
	const struct snapset **ret_set, struct error *err);
/* Notes a snapshot that this process just put, and writes that down. NULL seen is a no-op. */
void seen_note(struct seen *seen, const struct snapshot *snapshot);
/* What is wrong with a row that is lost, and what to do: one line for people. */
void seen_text(const struct seen *seen, const struct seen_row *row, char dst[static SEEN_TEXT_MAX]);
/* Says so of each lost row as an error in the repository's log, once. Returns how many are lost, told before or now. */
size_t seen_tell(struct seen *seen);

/* The file's text, taken apart and put together; pure. ERR_CORRUPT. The caller frees the rows. */
int seen_decode(const void *data, size_t len, struct seen_row **ret_rows, size_t *ret_count, struct error *err);
void seen_encode(const struct seen_row *rows, size_t count, struct buf *b);

#endif
