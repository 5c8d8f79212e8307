/* SPDX-License-Identifier: MIT */
#ifndef TESTS_READER_MADE_H
#define TESTS_READER_MADE_H

/*
 * What the tests of the reader read: chunks that the writer stored in a
 * repository on a fault layer, known by number, and files put together from
 * them. A chunk's bytes are a pure function of its number and length.
 * Everything asserts.
 */

#include "archive/object.h"
#include "archive/reader.h"
#include "archive/writer.h"
#include "backends/fault.h"

struct made_chunk {
	struct chunk_ref ref;
	uint32_t number, len;
};

struct reader_made {
	struct repo *repo;
	struct catalog *catalog;
	struct made_chunk *chunks;
	size_t count;
};

/* Stores `count` chunks of least..most bytes each. remote: the store says that a line lies in between. */
void reader_made_open(struct reader_made *m, size_t count, uint32_t least, uint32_t most, bool remote);
void reader_made_close(struct reader_made *m);
/* Byte `i` of chunk `number`. */
uint8_t reader_made_byte(uint32_t number, uint32_t i);
/* The same bytes at dst. */
void reader_made_fill(uint32_t number, uint8_t *dst, uint32_t len);
/* Asserts that a decoded chunk is the one. */
void reader_made_expect(const struct made_chunk *want, const struct chunk *got);
/* A reader with so large a cache. */
struct reader *reader_made_reader(struct reader_made *m, size_t cache, unsigned threads);

/* A file over chunks and holes, and its bytes. */
struct made_file {
	struct entry entry;
	struct extent *extents;
	struct chunk_ref *refs;
	uint8_t *bytes;
};
/* `count` extents drawn from `seed`: whole chunks where `whole`, else pieces of them and holes. */
void reader_made_file(struct reader_made *m, struct made_file *f, uint32_t count, bool whole, unsigned seed);
void reader_made_file_free(struct made_file *f);
/* A hole of `len` bytes or data? */
bool reader_made_is_hole(const struct made_file *f, uint64_t off);

/* Puts a pack of a chain `depth` deep by hand, every link similar to the one before: the ref of its top, of `len`
 * bytes. */
void reader_made_chain(struct reader_made *m, unsigned depth, uint32_t len, struct made_chunk *ret);

#endif
