/* SPDX-License-Identifier: MIT */
#ifndef BASE_BUF_H
#define BASE_BUF_H

/*
 * A growable byte buffer for encoders, and a bounded cursor for decoders.
 *
 * Both are sticky: after the first failure (memory, limit, end of input) every
 * further call does nothing and the final buf_failed() / cursor_failed() tells.
 * So an encoder or decoder of twenty fields checks once. All integers are
 * little-endian; varints are LEB128, at most 10 bytes, shortest form only.
 * A zeroed struct buf is valid and empty. Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* owned; NULL while empty */
	size_t len;
	size_t cap;
	bool failed;
};

/* Make room for `more` bytes after len. Returns false (and fails the buffer) without memory. */
bool buf_reserve(struct buf *b, size_t more);
/* Appends `len` bytes. `data` may be NULL when len is 0; it must not lie in the buffer itself. */
void buf_put(struct buf *b, const void *data, size_t len);
/* Append an integer in as many bytes as its name says, the lowest first. */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* Appends LEB128 in its shortest form: 1 to 10 bytes. */
void buf_put_varint(struct buf *b, uint64_t v);
/* Signed, zigzag, as varint. */
void buf_put_svarint(struct buf *b, int64_t v);
/* varint length, then the bytes. */
void buf_put_blob(struct buf *b, const void *data, size_t len);
/* buf_put_blob of a C string; NULL counts as "". */
void buf_put_str(struct buf *b, const char *s);
/* `len` zero bytes. */
void buf_put_zeros(struct buf *b, size_t len);
/* True once anything did not fit into memory; what stands in the buffer is then not whole. */
bool buf_failed(const struct buf *b);
/* len = 0 and not failed; memory is kept. */
void buf_clear(struct buf *b);
/* Give the memory back. The struct may be used again. */
void buf_release(struct buf *b);
/*
 * As buf_release(), wiping the bytes first: for secrets. A buffer that grew has left its earlier bytes in the heap, so
 * reserve what a secret needs before it is put.
 */
void buf_wipe(struct buf *b);

struct cursor {
	const uint8_t *p; /* borrowed */
	const uint8_t *end;
	bool failed;
};

/* A cursor over `len` bytes, which must outlive it. `data` may be NULL: no bytes. */
struct cursor cursor_of(const void *data, size_t len);
/* Bytes not yet read; 0 after failure. */
size_t cursor_left(const struct cursor *c);
/* The next integer of that width, the lowest byte first; 0 after failure. */
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
/* The next varint; 0 after failure. A form longer than need be, or more than 64 bits, is a failure. */
uint64_t cursor_varint(struct cursor *c);
/* Likewise, signed by zigzag. */
int64_t cursor_svarint(struct cursor *c);
/* A varint that must not pass `max`, else the cursor fails and 0 is returned. */
uint64_t cursor_varint_max(struct cursor *c, uint64_t max);
/* The next `len` bytes, borrowed from the input; NULL after failure. */
const uint8_t *cursor_bytes(struct cursor *c, size_t len);
/* Copies the next `len` bytes to dst; zeros dst on failure. */
void cursor_copy(struct cursor *c, void *dst, size_t len);
/* A blob (varint length of at most `max`, bytes), borrowed; NULL and *ret_len = 0 after failure. */
const uint8_t *cursor_blob(struct cursor *c, size_t max, size_t *ret_len);
/* A blob without NUL bytes as a fresh C string that the caller frees; NULL on failure. */
char *cursor_str(struct cursor *c, size_t max);
/* True once anything could not be read. */
bool cursor_failed(const struct cursor *c);
/* True when all was read and nothing failed. */
bool cursor_done(const struct cursor *c);

#endif
