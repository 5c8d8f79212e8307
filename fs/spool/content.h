/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_CONTENT_H
#define FS_SPOOL_CONTENT_H

/*
 * The bytes of a file that is being changed: staged layers over what lies in
 * the archive. Each layer is a sparse file of the staging folder with the list
 * of stretches that it holds; a read takes each byte from the newest layer
 * that holds it, then from the archive where it reaches that far, then zero.
 * A layer also says how many bytes of all that lies under it are still seen
 * (`under`): cutting a file short and growing it again brings nothing back.
 *
 * What content_record() told last (at close, fsync) is what a commit and a
 * restart see. So bytes that were ever recorded are never overwritten in
 * place: such writes go to a layer on top. Appending and writing to what was
 * not recorded yet go to the top layer directly. The next record folds lower
 * layers into the top one while they are not much larger than it, so that
 * their number stays logarithmic and each byte is copied a few times at most.
 * content_freeze() seals all recorded layers: a commit reads them, so they are
 * not folded; content_thaw() ends that.
 *
 * Files of the staging folder come from stage.h. They are removed by content_unlink_layers(), once no index row names
 * them.
 *
 * Threads: all calls by any thread; one lock a file guards the lists, never held over I/O (content_record() excludes
 * writes to the same file while it folds, reads go on). Errors: ERR_NO_SPACE (at once, nothing of that write counts),
 * ERR_IO, ERR_CORRUPT (layers that do not decode), ERR_NOT_FOUND (seek), what the reader says.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive/reader.h"
#include "base/buf.h"
#include "base/error.h"

struct content;
struct stage;

struct content_options {
	int dir;             /* the staging folder, open; borrowed */
	struct stage *stage; /* where its new files come from; borrowed. NULL: made one by one */
	const void *layers;  /* as content_record() encoded them; len 0: none. Copied. */
	size_t layers_len;
	uint64_t size;             /* as recorded with them */
	struct reader_file *under; /* the bytes in the archive; NULL: none. Taken over, also on failure. */
	bool read_only;            /* a frozen state, for a commit */
	bool sealed;   /* a frozen view that has these layers may be open: as if content_freeze() followed */
	bool unsynced; /* nothing that the layers hold was promised to survive a power cut */
};
int content_open(const struct content_options *options, struct content **ret_content, struct error *err);
void content_close(struct content *c); /* closes; staged files stay. NULL is a no-op */

uint64_t content_size(struct content *c);
/* Bytes that the layers take on disk, for st_blocks; without what lies in the archive. */
uint64_t content_staged(struct content *c);
/* Was it changed since the last record? */
bool content_dirty(struct content *c);

/* *ret_len < len only at the end of the file. */
int content_read(struct content *c, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err);
int content_write(struct content *c, uint64_t off, const void *src, size_t len, struct error *err);
/* At the end of the file as it is when the write happens (O_APPEND). */
int content_append(struct content *c, const void *src, size_t len, struct error *err);
int content_truncate(struct content *c, uint64_t size, struct error *err);
/* As fallocate(): mode 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE (with or without KEEP_SIZE). ERR_UNSUPPORTED: any
 * other. */
int content_allocate(struct content *c, int mode, uint64_t off, uint64_t len, struct error *err);
/* As lseek() with SEEK_DATA or SEEK_HOLE; ERR_NOT_FOUND: ENXIO. */
int content_seek(struct content *c, uint64_t off, bool data, uint64_t *ret_off, struct error *err);

/*
 * Folds what can be folded and tells the state to be kept: its encoding (into an empty buffer) and size. It counts as
 * recorded when this returns; the caller puts it into the index before anyone else may freeze. Files that no layer
 * needs any more are told by *ret_gone (their names, 33 bytes each with NUL): unlinked once the index has forgotten
 * them, and, as a power cut may bring an older state of the index back, after an index_sync().
 */
int content_record(
	struct content *c, struct buf *ret_layers, uint64_t *ret_size, struct buf *ret_gone, struct error *err);
/* What was told last did not reach the index: it counts as changed again. */
void content_unrecord(struct content *c);
/* Staged bytes to disk: before an fsync() is answered, and after what is to be safe was recorded. */
int content_sync(struct content *c, struct error *err);
/* Do layers hold bytes that were promised to survive a power cut? What goes over them is to be synced before it is
 * recorded, as a state of the index with bytes that are not there would hide them. */
bool content_promised(struct content *c);
/* Recorded layers are sealed from now on: a frozen view may read them. */
void content_freeze(struct content *c);
/* No frozen view is open any more that has its layers: they may be folded again. */
void content_thaw(struct content *c);

/*
 * Where this differs from what lies in the archive under it, as stretches in order, joined where they touch: bytes of
 * layers, what `under` cut away, and all behind the archive's end. Nothing reaches behind the size. `fn` other than 0
 * ends it.
 */
typedef int content_range_fn(void *arg, uint64_t off, uint64_t len, struct error *err);
int content_changes(struct content *c, content_range_fn *fn, void *arg, struct error *err);
/* A single layer that holds the whole file with nothing under it: its file, to be read directly (a new descriptor, the
 * caller closes it). ERR_NOT_FOUND: it is not that simple. */
int content_plain_file(struct content *c, int *ret_fd, struct error *err);

/* Names of the files that encoded layers need: `fn` for each. ERR_CORRUPT. */
typedef int content_name_fn(void *arg, const char *name, struct error *err);
int content_layer_names(const void *layers, size_t len, content_name_fn *fn, void *arg, struct error *err);
/* Are the files of these layers there, and as long as the layers say? ERR_NOT_FOUND, ERR_CORRUPT: not. */
int content_layers_there(int dir, const void *layers, size_t len, struct error *err);
/* Do these layers hide any of the first `size` bytes, but for cutting them off? ERR_CORRUPT. */
int content_layers_hide(const void *layers, size_t len, uint64_t size, bool *ret_any, struct error *err);
/* Removes the files of encoded layers. What is not there is no error. */
void content_unlink_layers(int dir, const void *layers, size_t len);

#endif
