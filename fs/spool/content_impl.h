/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_CONTENT_IMPL_H
#define FS_SPOOL_CONTENT_IMPL_H

/*
 * Inside a file's staged content: stretches, layers, and who may change what.
 *
 * Invariant that crashes, power cuts and frozen views stand on: a byte of a
 * layer's file that any recorded state named (`kept`) is never written again.
 * So what is told to the index may also fail to get there, or get lost.
 *
 * Changes pass a gate: writes go through together, and what changes the shape
 * (record, truncate, allocate, append, a new layer) alone. `lock` guards the
 * lists and the gate itself and is never held over I/O; a reader pins the
 * layers that it found and reads without it.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "fs/spool/content.h"
#include "fs/spool/stage.h"

enum {
	CONTENT_NAME_LEN = STAGE_NAME_LEN, /* hex */
	CONTENT_NAME_RAW = 16,
	CONTENT_LAYERS_MAX = 4096, /* of an encoding */
	CONTENT_LAYERS_MANY = 8,   /* from here on folding also waits for the disk */
	CONTENT_COPY = 256 << 10,
};
#define CONTENT_END_MAX ((uint64_t)INT64_MAX) /* no byte of a file lies behind this */

/* Bytes [off, end) of a layer; hole: zeros, whatever its file says. */
struct stretch {
	uint64_t off, end;
	bool hole;
};

/* In order, not overlapping, joined where two of one kind touch. Zeroed is empty. */
struct stretches {
	struct stretch *v;
	size_t count, cap;
	uint64_t bytes; /* of data */
};

/* ---- content_stretch.c ---- */

void stretches_release(struct stretches *s);
/* Room for `more` puts that cannot fail then. False: no memory. */
bool stretches_reserve(struct stretches *s, size_t more);
/* [off, end) is of this kind from now on. Room must have been reserved. */
void stretches_put(struct stretches *s, uint64_t off, uint64_t end, bool hole);
/* Forgets what lies at `from` and behind it. */
void stretches_cut(struct stretches *s, uint64_t from);
/* The first stretch that ends behind `off`; count where there is none. */
size_t stretches_find(const struct stretches *s, uint64_t off);
bool stretches_meet(const struct stretches *s, uint64_t off, uint64_t end);
/* Puts all of `other` in, which does not overlap. False: no memory, nothing done. */
bool stretches_join(struct stretches *s, const struct stretches *other);
/* Puts all of `held` in, holes as data: it is about names of bytes, not about bytes. False: no memory. */
bool stretches_keep(struct stretches *kept, const struct stretches *held);

struct layer {
	_Atomic unsigned refs; /* the content's own one, and readers that are in its file */
	int fd;
	char name[CONTENT_NAME_LEN + 1];
	struct stretches held; /* as it is now */
	struct stretches kept; /* of its file: what recorded states name */
	uint64_t under;        /* bytes of all that lies below that still show */
	bool recorded;         /* some recorded state names it */
	bool sealed;           /* a frozen view may read it: it stays */
	bool unsynced;         /* bytes are not on disk for certain */
	bool promised;         /* some of its bytes may have been promised to survive a power cut */
	bool unnamed;          /* its name is not on disk for certain */
};

struct content {
	pthread_mutex_t lock;
	pthread_cond_t moved; /* the gate */
	unsigned writers, waiting;
	bool alone;
	int dir;
	struct stage *stage;
	bool read_only, dirty, sync_failed;
	struct layer **layers; /* the oldest first */
	size_t count, cap;
	uint64_t size;
	struct reader_file *under;
	uint64_t under_size; /* bytes of it that may show */
};

/* Where a byte lies, and how far that goes on. */
struct piece {
	struct layer *layer; /* NULL: see archive */
	bool archive;        /* neither: zeros */
	uint64_t off, end;
};

/* ---- content.c ---- */

/* Gate: together with other writes; or alone, after those that are under way. */
void content_enter(struct content *c);
void content_leave(struct content *c);
void content_enter_alone(struct content *c);
void content_leave_alone(struct content *c);
/* The piece at `off` < end. Under the lock. */
struct piece content_piece(const struct content *c, uint64_t off, uint64_t end);
/* The newest layer; NULL: none. */
struct layer *content_top(const struct content *c);
/* Puts an empty layer on top. Alone, without the lock. */
int content_add_layer(struct content *c, struct error *err);
int content_check_range(uint64_t off, uint64_t len, struct error *err);
int content_check_writable(const struct content *c, struct error *err);

/* ---- content_layers.c ---- */

int layer_make(int dir, struct stage *stage, struct layer **ret_layer, struct error *err);
void layer_unref(struct layer *l);
void layers_encode(struct layer *const *layers, size_t count, struct buf *b);
/* Decodes and opens; caller unrefs all and frees the list. */
int layers_open(
	const struct content_options *options, struct layer ***ret_layers, size_t *ret_count, struct error *err);

#endif
