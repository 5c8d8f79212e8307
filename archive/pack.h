/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_PACK_H
#define ARCHIVE_PACK_H

/*
 * A pack: envelope, sealed chunks back to back, a sealed table of contents
 * (padded with zeros inside the seal, so that the pack's size is a padded
 * one), a sealed footer that tells where the table begins, the trailing hash.
 *
 *   32            header (KIND_DATA_PACK or KIND_TREE_PACK)
 *   …             sealed chunks
 *   toc_offset    sealed table of contents
 *   end-64        32 bytes: sealed footer: u64 toc_offset, u64 toc_sealed_length (16 + tag)
 *   end-32        trailing hash
 *
 * Table: u8 version 1, varint count, per chunk: id 32, varint offset, varint
 * stored, varint plain, u8 flags (bit 0: base follows, bit 1: sketch follows), u8 depth,
 * [base 32], [sketch 3 x u64]; then zeros.
 *
 * Writing: the pack's bytes gather in an unlinked file (of the store's own
 * where it offers one). Room is reserved under a short lock; sealing,
 * checking and writing happen outside it, by many threads at once. A pack is
 * never continued by another process, nor after a failed write.
 */

#include "archive/chunkcodec.h"
#include "archive/object.h"
#include "catalog/catalog.h"

/* A row of the table of contents. */
struct pack_row {
	struct id id;
	uint64_t offset;
	uint32_t stored, plain;
	uint8_t depth;
	struct id base;
};

struct pack_writer;
/* Draws id and key, opens the file. */
int pack_writer_new(struct repo *repo, enum object_kind kind, struct pack_writer **ret_pack, struct error *err);
/* Not finished: the file is simply dropped. NULL is a no-op. */
void pack_writer_free(struct pack_writer *p);
/* Both borrowed, as long as the writer lives. */
const struct id *pack_writer_id(const struct pack_writer *p);
const uint8_t *pack_writer_key(const struct pack_writer *p);
/*
 * Room for `sealed_len` bytes and a row for it. *ret_loc is complete. The caller then calls pack_writer_fill() exactly
 * once for it, from any thread.
 */
int pack_writer_reserve(struct pack_writer *p, const struct id *id, uint32_t sealed_len, uint32_t plain_len,
	uint8_t depth, const struct id *base, struct locator *ret_loc, struct error *err);
/*
 * Seals `opened` (header and payload) at the locator's place and writes it; opens it again, compares, unpacks by
 * `decoder` and compares with `plain`. `scratch` is the thread's own buffer. The sealed bytes are appended to `keep`
 * where that is not NULL. An error spoils the pack.
 */
int pack_writer_fill(struct pack_writer *p, const struct locator *loc, const void *opened, size_t opened_len,
	const void *plain, size_t plain_len, struct chunk_decoder *decoder, struct buf *scratch, struct buf *keep,
	struct error *err);
/* Bytes so far, without table and trailer. Not while another thread reserves. */
uint64_t pack_writer_size(const struct pack_writer *p);
/*
 * All reserved places are filled: writes table, footer, trailing hash, puts wrap and pack. Fills *ret_row for the
 * index. Blocks on the store.
 */
int pack_writer_finish(struct pack_writer *p, struct catalog_pack *ret_pack, struct error *err);
/* How many rows, and the rows themselves, borrowed. Not while another thread reserves. */
size_t pack_writer_rows(const struct pack_writer *p, const struct pack_row **ret_rows);

/* Reads a pack's table of contents from the store (two ranged reads and its key). */
int pack_read_toc(struct repo *repo, enum object_kind kind, const struct id *pack,
	const uint8_t key[static FORMAT_KEY_LEN], struct pack_row **ret_rows, size_t *ret_count, struct error *err);
/* The parser alone, for fuzzing: `toc` is opened. `limit`: where the table begins. */
int pack_parse_toc(
	const void *toc, size_t len, uint64_t limit, struct pack_row **ret_rows, size_t *ret_count, struct error *err);

#endif
