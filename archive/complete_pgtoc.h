/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_COMPLETE_PGTOC_H
#define ARCHIVE_COMPLETE_PGTOC_H

/*
 * The header and table of contents that pg_dump writes at the beginning of
 * its custom format and into toc.dat of its directory and tar formats: read
 * as a stream, in memory of fixed size, each entry told to a callback.
 * Archive versions 1.12 to 1.16 (PostgreSQL 9.0 to 18).
 *
 * Two things are shared with the data that follows in the custom format:
 * numbers (a sign byte, then a count of bytes that the header states), and
 * bytes to be passed over. One thread; owns no memory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGTOC_MAGIC "PGDMP"

enum { PGTOC_MAGIC_LEN = 5, PGTOC_NUMBER_MAX = 9, PGTOC_FILE_MAX = 64 };

enum pgtoc_format { PGTOC_CUSTOM = 1, PGTOC_TAR = 3, PGTOC_DIRECTORY = 5 };

/* Where an entry's data lies, as the custom format says it. */
enum pgtoc_place { PGTOC_PLACE_OPEN = 1, PGTOC_PLACE_SET = 2, PGTOC_PLACE_NO_DATA = 3 };

/* A number whose bytes arrive one by one. */
struct pgtoc_number {
	uint8_t bytes[PGTOC_NUMBER_MAX];
	uint8_t have, want;
};

/* One entry, valid during the callback. */
struct pgtoc_entry {
	int32_t id;
	bool has_data;             /* something was to write data for it */
	enum pgtoc_place place;    /* custom format only */
	uint64_t offset;           /* with PGTOC_PLACE_SET, from the file's first byte */
	char file[PGTOC_FILE_MAX]; /* directory and tar format: where its data lies, not terminated */
	size_t file_len;
};

typedef void pgtoc_entry_fn(void *ctx, const struct pgtoc_entry *entry);

enum pgtoc_state {
	PGTOC_READING,
	PGTOC_WHOLE,       /* the last entry was read */
	PGTOC_DAMAGED,     /* cannot be what pg_dump wrote */
	PGTOC_UNSUPPORTED, /* a version that is not known here */
};

/* Read through pgtoc_* by others, but for state, format and the two sizes. */
struct pgtoc {
	enum pgtoc_state state;
	uint8_t version; /* the minor one; the major one is 1 */
	uint8_t int_size, offset_size, format;
	uint8_t field;   /* index into the table in use */
	bool in_entries; /* which table is in use */
	bool capturing;  /* what is passed over is the entry's file name */
	uint32_t entries_left;
	uint64_t pass; /* bytes to pass over before the next number */
	struct pgtoc_number number;
	struct pgtoc_entry entry;
	pgtoc_entry_fn *on_entry;
	void *ctx;
};

/* Begins at the file's first byte. `on_entry` may be NULL. */
void pgtoc_init(struct pgtoc *t, pgtoc_entry_fn *on_entry, void *ctx);

/* Reads on. Returns how many bytes it took: all of them unless it left PGTOC_READING, which it never enters again. */
size_t pgtoc_feed(struct pgtoc *t, const uint8_t *data, size_t len);

/* How many of the coming `len` bytes need not be seen; they count as taken. */
uint64_t pgtoc_pass(struct pgtoc *t, uint64_t len);

/* Sets out to read a number of `want` (1 to PGTOC_NUMBER_MAX) bytes. */
void pgtoc_number_begin(struct pgtoc_number *n, uint8_t want);

/* Takes bytes from `data` until the number is whole. Returns how many; *ret_whole says whether it is. */
size_t pgtoc_number_feed(struct pgtoc_number *n, const uint8_t *data, size_t len, bool *ret_whole);

/* The value of a whole number that is an integer of pg_dump (sign, then magnitude). False when it fits no int32_t. */
bool pgtoc_number_int(const struct pgtoc_number *n, int32_t *ret_value);

#endif
