/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_COMPLETE_H
#define ARCHIVE_COMPLETE_H

/*
 * Is this file whole? A dump that was cut short or damaged must never pass
 * for a good backup, so files of known kinds are judged while their bytes go
 * by: plain pg_dump and pg_dumpall, custom-format pg_dump, Redis RDB, gzip,
 * zstd (and what is inside those two), tar, and folders written by pg_dump -Fd
 * with the files in them.
 *
 * A kind is known by its content, never by its name; only a file that is
 * empty, or ends within the few bytes that tell its kind, is judged by its
 * name. A checker sees the bytes once, in order. It keeps less
 * than 512 KiB whatever the file's size, except for zstd, whose decoder needs
 * the frame's window: up to 8 MiB; a frame with a larger window is walked
 * block by block without being decoded.
 *
 * What a checker cannot see: a plain dump is judged by its head and its tail
 * alone, and bytes that no checksum covers may change unseen.
 *
 * One checker belongs to one thread at a time; checkers share nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct complete;
struct error;

enum complete_verdict {
	COMPLETE_UNKNOWN, /* no known kind, or a version of it that is not known */
	COMPLETE_OK,
	COMPLETE_BAD,
};

/*
 * Begins to judge one file. `name` (its last component; need not outlive the
 * call, any bytes) only says what it claims to be should it turn
 * out empty or too short to be that. `size_hint` is its expected size, 0 when not known.
 * Writes *ret, to be given back by complete_free(). 0 or ERR_NO_MEMORY.
 */
int complete_new(const char *name, size_t name_len, uint64_t size_hint, struct complete **ret, struct error *err);

/*
 * The same for a file that complete_pgdir_name() knows: is it whole as a part of a folder written by pg_dump -Fd?
 * Only its name says what it is, so this counts only where the folder is such a dump, and is asked for with
 * complete_member(). `alone`: complete_finish() is of no interest, and will say UNKNOWN.
 */
int complete_new_member(const char *name, size_t name_len, bool alone, struct complete **ret, struct error *err);

/* The next `len` bytes of the file, borrowed for the call. Never fails: what goes wrong becomes the verdict. */
void complete_feed(struct complete *c, const void *data, size_t len);

/* The next `len` bytes of the file are zeros. Costs little for a large hole in most kinds. */
void complete_hole(struct complete *c, uint64_t len);

/* False once nothing that follows can change the verdict: the caller may stop feeding, and call complete_finish(). */
bool complete_wants_more(const struct complete *c);

/*
 * The file has ended: what is it? To be called once. *ret_kind: "pg_dump", "pg_dumpall", "pg_dump custom",
 * "pg_dump toc", "rdb", "gzip", "zstd", "tar", or "" for none. *ret_reason: for BAD, what is wrong, to be put
 * after the file's name ("ends without …"); otherwise "". Both are never NULL and live until complete_free().
 */
enum complete_verdict complete_finish(struct complete *c, const char **ret_kind, const char **ret_reason);

/*
 * The file has ended: is it whole as a part of a dump's folder? Once, beside complete_finish(), and with the same
 * texts; the kind is "gzip", "zstd", COMPLETE_KIND_TABLE or "". What is compressed must be so to its end; data of
 * a table must end as pg_dump ends it. UNKNOWN: nothing can be said, as of large objects, of lz4, of INSERTs; or
 * complete_new_member() did not make it.
 */
enum complete_verdict complete_member(struct complete *c, const char **ret_kind, const char **ret_reason);
#define COMPLETE_KIND_TABLE "table data"

/* Gives everything back. NULL is nothing. */
void complete_free(struct complete *c);

enum { COMPLETE_REASON_MAX = 240 };

/*
 * Looks for a regular file of that name in the folder that is judged: true, and its size, when it is there.
 * The name is not terminated.
 */
typedef bool complete_find_fn(void *ctx, const char *name, size_t name_len, uint64_t *ret_size);

/*
 * True for a name that pg_dump -Fd gives to its data ("3012.dat", "3012.dat.gz", "blob_16401.dat.lz4",
 * "blobs.toc"): a folder with such a name in it, or with a toc.dat that begins with "PGDMP", is to be judged.
 */
bool complete_pgdir_name(const char *name, size_t name_len);

/* Whether complete_member() can say anything of a file of that name, one of those. */
bool complete_pgdir_judged(const char *name, size_t name_len);

/*
 * Judges a folder written by pg_dump -Fd: the table of contents must be whole and each file that it names
 * must exist, compressed or not, and not be empty. `toc` are the bytes of its toc.dat, NULL when it has none:
 * pg_dump writes that last, so without it the dump was cut short. `find` is called with `ctx` during the call.
 * `reason` is always written: "" unless BAD, else what is wrong, to be put after the folder's name.
 * UNKNOWN: toc.dat is not pg_dump's, or of an unknown version.
 */
enum complete_verdict complete_pgdir(
	const void *toc, size_t toc_len, complete_find_fn *find, void *ctx, char reason[COMPLETE_REASON_MAX]);

/*
 * The same for a list of large objects (the bytes of blobs.toc or blobs_N.toc in that folder): each object
 * it names must exist. OK or BAD.
 */
enum complete_verdict complete_pgdir_blobs(
	const void *toc, size_t toc_len, complete_find_fn *find, void *ctx, char reason[COMPLETE_REASON_MAX]);

#endif
