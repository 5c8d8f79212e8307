/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_COMPLETE_KIND_H
#define ARCHIVE_COMPLETE_KIND_H

/*
 * What the checkers of complete.c share: one `struct complete_kind` a kind of
 * file, and the judgement that it writes. Only the files complete*.c include
 * this.
 *
 * Invariants: a kind's functions are called in the order open, feed and zeros
 * in any mix, finish at most once, free. Once the judgement is settled only
 * free follows. A kind's state keeps the pointer to the judgement, which
 * outlives it.
 */

#include "archive/complete.h"

struct complete_judgement {
	enum complete_verdict verdict;
	bool settled;     /* nothing that follows changes it */
	const char *kind; /* static text, never NULL */
	char reason[COMPLETE_REASON_MAX];
};

enum complete_sniff { SNIFF_NO, SNIFF_MORE, SNIFF_YES };

/* So much of a file's beginning is enough to tell its kind. */
enum { COMPLETE_HEAD_MAX = 4096 };

/* What an ending of a name says of the file: less than its beginning cannot be one. */
struct complete_promise;

/* What a file is in a folder written by pg_dump -Fd. */
enum complete_member { MEMBER_NONE, MEMBER_TABLE, MEMBER_OTHER };

/* What is known of a file before its first byte. */
struct complete_file {
	bool named_dump;             /* its name ends as dumps do: .sql, .dump.gz, … */
	unsigned depth;              /* 0 for a file, 1 for what is inside of a compressed one */
	enum complete_member member; /* its kind is given: that of its name, and inside that of the table's data */
	const struct complete_promise *promise, *inner_promise; /* NULL: none */
};

struct complete_kind {
	const char *name;
	bool compressed; /* has something inside; not looked for in something compressed */

	/* Is it of this kind? `end`: the file is no longer than `len`. MORE at `end` and at COMPLETE_HEAD_MAX is NO. */
	enum complete_sniff (*sniff)(const struct complete_file *file, const uint8_t *head, size_t len, bool end);
	/* A fresh state, NULL without memory. */
	void *(*open)(const struct complete_file *file, struct complete_judgement *j);
	/* The next bytes, from the file's first on. `len` is not 0. */
	void (*feed)(void *state, const uint8_t *data, size_t len);
	/* Of the `len` zeros that come next, takes as many as it can at once, 0 if none. Optional: then all are fed. */
	uint64_t (*zeros)(void *state, uint64_t len);
	/* The file has ended: writes the judgement with complete_good() or complete_bad(). */
	void (*finish)(void *state);
	void (*free)(void *state);
};

extern const struct complete_kind complete_kind_pgdump, complete_kind_pgcustom, complete_kind_rdb, complete_kind_gzip,
	complete_kind_zstd, complete_kind_tar, complete_kind_pgtable;

/* Which the name is, one that complete_pgdir_name() knows; *ret_kind is that of its compression, NULL: none. */
enum complete_member complete_pgdir_member(
	const char *name, size_t name_len, const struct complete_kind **ret_kind, bool *ret_known);

/* The file is whole; settles. */
void complete_good(struct complete_judgement *j);

/* The file is bad, for a reason to be put after its name; settles. */
void complete_bad(struct complete_judgement *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The file is of a kind that is known, but cannot be judged; settles. */
void complete_unjudged(struct complete_judgement *j);

/* Bad because there was no memory to look: what was not looked at is not called good. */
void complete_no_memory(struct complete_judgement *j);

/* A checker for what is inside of `file`, NULL without memory. Freed by complete_free(). */
struct complete *complete_new_inner(const struct complete_file *file);

/* The compressed file around `inner` is whole: judge by what is inside, or as good where that is of no known kind. */
void complete_finish_inner(struct complete_judgement *j, struct complete *inner);

#endif
