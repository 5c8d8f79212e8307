/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_READER_IMPL_H
#define ARCHIVE_READER_IMPL_H

/*
 * The inside of the reader, shared by its files alone:
 *   reader.c         opening and closing, chunks for callers, statistics
 *   reader_cache.c   the table of slots, pins, what is thrown out
 *   reader_room.c    the cap: charges, buffers that are used again
 *   reader_get.c     one slot: find it, await it, or load it
 *   reader_load.c    from a locator to plain bytes: ranges, keys, chains
 *   reader_grow.c    chunks that are handed out while their rest is still packed
 *   reader_fetch.c   threads that fetch runs and decode ahead
 *   reader_ahead.c   gathering runs for what will be wanted soon
 *   reader_keys.c    the keys of packs
 *   reader_stale.c   where a chunk went whose pack is gone
 *   reader_nodes.c   the same cache as a source of tree nodes
 *   reader_file.c    an open file: mapping, reading, seeking
 *   reader_extents.c what lies where in a file
 *   reader_stream.c  recognising who reads on
 *
 * One lock, r->lock, guards all slots, lists, queues and charges. It is held
 * for some dozens of instructions at a time, never over I/O, decoding, mapping or
 * unmapping memory; so one is enough for the few threads of a mount, and
 * what is thrown out is the right thing over the whole cache. Functions that
 * want it held end in _locked. Keys and the index have locks of their own.
 *
 * A slot's life:
 *   QUEUED   stands in a run that waits for a thread           ahead_add
 *   FETCHED  its sealed bytes are there, waits for decoding     run_fetched
 *   BUSY     one thread fetches or decodes it                   all others wait
 *   GROWING  its first `grown` bytes may be pinned, nobody is at the rest      grow_settle
 *   READY    may be pinned; unpinned it stands in a list and can be evicted
 *   FAILED   is out of the table; who waited reads the error, or tries again
 *
 * The cap: `live` is what is promised or in use, `idle` what lies in buffers kept
 * for the next one. Whoever loads reserves at once all that the loading may
 * take, so nobody holds a part and waits for the rest. live + idle <= cap, but
 * when all of it is pinned and nothing was let go for a while: a reader that
 * waits for memory that others hold for good would never wake, so it goes over.
 */

#include <pthread.h>

#include "archive/chunkcodec.h"
#include "archive/object.h"
#include "archive/reader.h"

struct catalog;

enum {
	CACHE_DEFAULT = 64 << 20,
	CACHE_LEAST = 24 << 20,
	CACHE_BUCKETS = 8192,
	CACHE_CONDS = 16,
	HEAT_MAX = 2,
	ROOM_CLASSES = 96,
	RUN_SLOTS_MAX = 64,
	KITS_KEPT_MAX = 16,
	THREADS_MAX = 64,
};

/* A piece of memory for bytes, sealed or plain. cap 0: none. */
struct room_buf {
	uint8_t *data;
	size_t cap;
};

enum slot_class { SLOT_CHUNK = 0, SLOT_NODE = 1, SLOT_CLASSES = 2 };
enum slot_state { SLOT_QUEUED, SLOT_FETCHED, SLOT_BUSY, SLOT_GROWING, SLOT_READY, SLOT_FAILED };

/* Who asks for a slot says how many of its bytes he needs, from the first on; or all. */
#define SLOT_WHOLE UINT32_MAX

/* Bases are found by place: `id` is the pack's then. All else is found by its own id, with this offset. */
#define SLOT_BY_ID UINT64_MAX

/* A chunk or node of the cache. All but the bytes themselves is guarded by r->lock. */
struct slot {
	struct chunk chunk; /* what the users of a chunk hold */
	struct node view;   /* what the users of a node hold: a copy of *node */
	struct id id;
	uint64_t offset; /* SLOT_BY_ID, or where a base lies */
	enum slot_class class;
	enum slot_state state;
	unsigned refs;    /* pins, who waits, the run: not evicted, not freed */
	unsigned waiters; /* of refs: who sleeps on it */
	unsigned heat;    /* second chances left */
	bool in_table;
	bool spent;   /* read to its end by who reads on: the first to go */
	bool starved; /* BUSY, but its loader waits for room */
	bool ahead;   /* nobody asked for it yet */
	int64_t ahead_since;
	size_t charge; /* its part of `live`: a reservation until READY */
	size_t flight; /* its part of r->flight */
	struct chunk_ref ref;
	struct room_buf buf;
	uint32_t grown;        /* GROWING, BUSY: so many bytes of the chunk are there */
	struct growth *growth; /* of a slot that is GROWING, or BUSY with some bytes there */
	struct node *node;
	struct run *run; /* QUEUED, FETCHED and BUSY by a run */
	uint8_t *sealed; /* FETCHED: in the run's buffer */
	int status;      /* FAILED */
	struct error *why;
	struct slot *hash_next;
	struct slot *prev, *next; /* in the list of its class (READY, no refs), or in a queue (FETCHED, GROWING) */
};

struct slot_list {
	struct slot *first, *last;
	size_t count;
};

/* Neighbours in a pack, fetched by one request. */
struct run {
	struct run *prev, *next; /* in the queue */
	enum object_kind kind;
	bool queued;
	bool chain; /* one slot with bases: loaded as a whole by one thread */
	struct id pack;
	uint64_t from, to;
	size_t spare; /* charged for the range */
	struct room_buf buf;
	unsigned count, left; /* slots; those whose bytes are still wanted */
	struct slot *slots[RUN_SLOTS_MAX];
};

/* What decoding needs, lent for one piece at a time. */
struct kit {
	struct kit *next;
	struct chunk_decoder *decoder;
};

struct keys;
struct stale;

struct reader {
	struct repo *repo;
	bool local; /* no line in between */
	pthread_mutex_t lock;
	/* ---- the cache ---- */
	struct slot **buckets;
	pthread_cond_t conds[CACHE_CONDS]; /* a slot that is awaited settled */
	struct slot_list lists[SLOT_CLASSES];
	size_t bytes[SLOT_CLASSES]; /* charges of READY slots */
	/* ---- the cap ---- */
	size_t cap, live, idle, flight; /* flight: of live, what was reserved to read ahead */
	struct idle *idles[ROOM_CLASSES];
	struct idle *dead_bufs;  /* to be unmapped by who unlocks */
	struct slot *dead_slots; /* to be freed by who unlocks */
	pthread_cond_t room;
	unsigned room_waiters;
	int64_t room_moved; /* when something was last let go, while somebody waited */
	bool map_turn;      /* one reader_file_map() may wait for room while it holds pins */
	pthread_cond_t map_free;
	/* ---- threads ---- */
	pthread_t threads[THREADS_MAX];
	unsigned thread_count, thread_max, sleeping, decoding, fetching, decode_max, fetch_max;
	bool stopping;
	pthread_cond_t work;
	struct run *run_first, *run_last;
	struct slot_list decode_queue, grow_queue;
	unsigned growing; /* chunks with a part of them there */
	struct kit *kits;
	unsigned kit_count;
	struct reader_stats stats;
	/* ---- with locks of their own ---- */
	struct keys *keys;
	struct stale *stale;
	struct node_source source;
};

/* ---- reader_room.c ---- */

/* Takes r->lock. */
void reader_lock(struct reader *r);
/* Also gives back, after unlocking, what was thrown out meanwhile. */
void reader_unlock(struct reader *r);
/* What a buffer for `len` bytes is charged. */
size_t room_charge(size_t len);
/* Reserves `n`, evicting what may go. ahead: for what nobody waits for; it gets only what is easily had. */
bool room_try_locked(struct reader *r, size_t n, bool ahead);
/* Reserves `n`, waiting for what others let go; the lock is let go meanwhile. */
void room_wait_locked(struct reader *r, size_t n);
/* Gives a charge back; who waits for room looks again. */
void room_give_locked(struct reader *r, size_t n);
/*
 * A buffer, paid from *spare; more is taken when that is not enough. `soon`: so many of its bytes are about to be
 * written, and are best touched at once. False without memory. Takes the lock.
 */
bool room_buf_new(struct reader *r, size_t len, size_t soon, size_t *spare, struct room_buf *ret);
/* [from, to) of it is about to be written: touches these pages by one call. Without the lock. */
void room_buf_touch(const struct room_buf *b, size_t from, size_t to);
/* Keeps it for the next one and takes its charge back. An empty one is a no-op. */
void room_buf_free_locked(struct reader *r, struct room_buf *b);
/* The same, taking the lock. */
void room_buf_free(struct reader *r, struct room_buf *b);
/* Unmaps all that is idle. */
void room_release(struct reader *r);

/* ---- reader_cache.c ---- */

/* The slot of that id; or, with an offset, the base that lies there in pack `id`. In any state; no ref is taken. NULL.
 */
struct slot *cache_find_locked(struct reader *r, enum slot_class class, const struct id *id, uint64_t offset);
/* A new slot in the table, BUSY, with one ref. NULL without memory. */
struct slot *cache_add_locked(struct reader *r, enum slot_class class, const struct chunk_ref *ref);
/* One more pin: it is not evicted. */
void cache_ref_locked(struct reader *r, struct slot *s);
/* One less; the last one makes a READY slot evictable, and frees one that is out of the table. */
void cache_unref_locked(struct reader *r, struct slot *s);
/* BUSY to READY: takes the buffer or the node over, pays from *spare. */
void cache_ready_locked(struct reader *r, struct slot *s, struct room_buf *buf, struct node *node, size_t *spare);
/* To FAILED, out of the table; its charge is given back. */
void cache_fail_locked(struct reader *r, struct slot *s, int status, const struct error *why);
/* Who loads it waits for room (or does not any more). */
void cache_starve_locked(struct reader *r, struct slot *s, bool starved);
/* READY, or so much of it that `first` is there. */
static inline bool slot_has(const struct slot *s, uint32_t first)
{
	return s->state == SLOT_READY || first <= s->grown;
}
/* Waits until it has `first`, or is FAILED, or nobody is at it; not patient: no longer than its loader has room. */
void cache_await_locked(struct reader *r, struct slot *s, uint32_t first, bool patient);
/* More of it is there, or it is in another state: who waits looks again. */
void cache_wake_locked(struct reader *r, struct slot *s);
/* Keeps a decoded base, found by its place. The buffer is taken over or freed. */
void cache_keep_base_locked(struct reader *r, const struct locator *loc, struct room_buf *buf);
/* Throws out the one that is wanted least. False: there is none. */
bool cache_evict_locked(struct reader *r, bool ahead);
/* Puts a slot that is in no list into one. */
void slot_list_push(struct slot_list *list, struct slot *s, bool front);
/* Takes it out of the list that it is in. */
void slot_list_remove(struct slot_list *list, struct slot *s);
/* Frees what evicted slots left behind; without the lock. */
void slot_free_list(struct slot *s);
/* At the end: evicts all, of which nothing may be pinned. Takes the lock. */
void cache_release(struct reader *r);

/* ---- reader_get.c ---- */

/*
 * Pins the chunk or node, loading it if need be; of its bytes the `first` ones are there then, or all (SLOT_WHOLE, and
 * always for nodes). ERR_BUSY: not patient, and the cache is full of what is pinned.
 */
int slot_get(struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint32_t first, bool patient,
	struct slot **ret_slot, struct error *err);
/* Gives the pin back. Takes the lock. */
void slot_put(struct reader *r, struct slot *s);
/* Every number in a reference is one that this version can hold. ERR_CORRUPT. */
int ref_check(const struct chunk_ref *ref, struct error *err);

/* ---- reader_load.c ---- */

/* What was made for a slot, on its way into the cache. */
struct loaded {
	struct room_buf buf;
	struct node *node;
	struct room_buf base; /* of a chain: the nearest base, worth keeping */
	size_t spare;         /* charged, and in none of the above */
};

/* The kind of pack that it lies in. */
static inline enum object_kind slot_kind(enum slot_class class)
{
	return class == SLOT_NODE ? KIND_TREE_PACK : KIND_DATA_PACK;
}
/* What loading may take at most, the slot included; sealed: with the ranges themselves. */
size_t load_need(const struct reader *r, enum slot_class class, const struct chunk_ref *ref, bool sealed);
/* Fetches and decodes; l->spare was reserved. On failure l holds nothing but its spare. */
int load_whole(
	struct reader *r, enum slot_class class, const struct chunk_ref *ref, struct loaded *l, struct error *err);
/* Fetches the sealed bytes at `loc` and the key of its pack. *spare pays. On failure there is no buffer. */
int load_fetch(struct reader *r, enum slot_class class, const struct locator *loc, size_t *spare,
	struct room_buf *ret_sealed, uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err);
/* Where a chunk of data lies, for its seal. Borrows loc. */
struct seal_place load_place(const struct reader *r, enum object_kind kind, const struct locator *loc);
/* Wraps *err with which piece of which pack is damaged, unless status is 0 or a lack of memory. Returns status. */
int load_damaged(enum object_kind kind, const struct locator *loc, int status, struct error *err);
/* Decodes what stands alone and was fetched: `sealed` is overwritten. */
int load_sealed(struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint8_t *sealed, struct loaded *l,
	struct error *err);
/* With a key that is given. For root nodes that came inside a snapshot. */
int load_with_key(struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint8_t *sealed,
	const uint8_t key[static FORMAT_KEY_LEN], struct loaded *l, struct error *err);
/* Puts it into its slot, READY or FAILED, and gives back what is left. */
void load_settle_locked(struct reader *r, struct slot *s, int status, struct loaded *l, const struct error *why);
/* One range that must be there whole. */
int load_range(struct reader *r, enum object_kind kind, const struct id *pack, uint64_t off, size_t len, uint8_t *dst,
	struct error *err);
/* A decoder, the caller's until kit_give(). NULL without memory. Takes the lock. */
struct kit *kit_take(struct reader *r, struct error *err);
/* Keeps it for the next one, or frees it. Takes the lock. */
void kit_give(struct reader *r, struct kit *kit);
/* At the end: frees those that are kept. */
void kits_free(struct reader *r);

/* ---- reader_grow.c ---- */

/* Is it worth while to hand out the `first` bytes before the rest? */
bool grow_pays_locked(const struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint32_t first);
/*
 * As load_whole(), but only `first` bytes are unpacked: *ret_growth has the rest before it, l's spare included. NULL:
 * it is all there, in l. Counts in r->growing as of grow_pays_locked().
 */
int grow_begin(struct reader *r, const struct chunk_ref *ref, uint32_t first, struct loaded *l,
	struct growth **ret_growth, struct error *err);
/* Shows what is there of a BUSY slot, and leaves the rest to a thread, or to who needs it first. */
void grow_settle_locked(struct reader *r, struct slot *s, struct growth *growth);
/* Goes on with a GROWING slot until `first` bytes are there; the lock is let go meanwhile. On failure it has FAILED. */
int grow_on_locked(struct reader *r, struct slot *s, uint32_t first, struct error *err);
/* Ends all that wait: they fail. */
void grow_drop_locked(struct reader *r);

/* ---- reader_fetch.c ---- */

/* How many threads there may be; 0: by cores and the store. None is begun yet. */
void fetch_init(struct reader *r, unsigned threads);
/* Ends the threads and drops what is queued. */
void fetch_stop(struct reader *r);
/* Appends a run and sees that a thread takes it. */
void fetch_queue_locked(struct reader *r, struct run *run);
/* Somebody waits for it: it is next. */
void fetch_raise_locked(struct reader *r, struct run *run);
/* Wakes a thread that sleeps, or begins one, as long as there are fewer than pay off. */
void fetch_rouse_locked(struct reader *r);
/* Takes a FETCHED slot out of the queue for decoding; the caller decodes it (BUSY). */
void fetch_claim_locked(struct reader *r, struct slot *s);
/* Decodes a slot that was claimed and settles it. The lock is let go meanwhile. */
int fetch_decode_locked(struct reader *r, struct slot *s, struct error *err);
/* Drops the queued run that is wanted last and awaited by nobody. False: there is none. */
bool fetch_drop_locked(struct reader *r);

/* ---- reader_ahead.c ---- */

/* Queues what will be wanted soon; returns how many of the refs were taken, as reader_prefetch(). Takes the lock. */
size_t ahead_fetch(struct reader *r, enum slot_class class, const struct chunk_ref *refs, size_t count);

/* ---- reader_keys.c ---- */

/* An empty cache of keys in guarded memory. ERR_NO_MEMORY. */
int keys_new(struct repo *repo, struct keys **ret_keys, struct error *err);
/* Wipes them. NULL is a no-op. */
void keys_free(struct keys *k);
/* The key of a pack; who asks for one that is being fetched waits for it. */
int keys_get(struct keys *k, enum object_kind kind, const struct id *pack, uint8_t ret_key[static FORMAT_KEY_LEN],
	struct error *err);
/* Is it there now? */
bool keys_has(struct keys *k, const struct id *pack);
/* A key that came with something else and was checked against the id. */
void keys_put(struct keys *k, const struct id *pack, const uint8_t key[static FORMAT_KEY_LEN]);

/* ---- reader_stale.c ---- */

/* catalog_dir NULL: a catalog of its own, made when it is first needed. ERR_NO_MEMORY. */
int stale_new(struct repo *repo, const char *catalog_dir, struct stale **ret_stale, struct error *err);
/* NULL is a no-op. */
void stale_free(struct stale *s);
/* Where the index says it lies now, if that is another place than ref's. ERR_NOT_FOUND. */
int stale_resolve(struct stale *s, const struct chunk_ref *ref, struct chunk_ref *ret_ref, struct error *err);

/* ---- reader_nodes.c ---- */

/* Makes r->source read from this cache. */
void nodes_source_init(struct reader *r);

/* ---- reader_extents.c ---- */

struct reader_extents;
/* A place in a file, for one thread and one call. Zeroed is at the start; released at the end. */
struct extent_at {
	const struct node *piece; /* pinned */
	uint32_t piece_index;
	uint32_t span;        /* of the file */
	uint32_t index;       /* in the piece */
	uint64_t index_start; /* file offset where extent `index` begins */
	/* the answer: */
	uint64_t left;               /* bytes from the offset asked for */
	const struct chunk_ref *ref; /* NULL: hole */
	uint32_t offset;             /* in the chunk */
};
/* Copies what it needs of the entry. ERR_CORRUPT: its extents do not add up to its size. */
int extents_new(struct reader *r, const struct entry *entry, struct reader_extents **ret_extents, struct error *err);
/* NULL is a no-op. */
void extents_free(struct reader_extents *x);
/* What covers file offset `off` (below the size). */
int extents_at(struct reader_extents *x, uint64_t off, struct extent_at *at, struct error *err);
/* Lets go of what *at pins. */
void extents_at_release(struct reader_extents *x, struct extent_at *at);

/* ---- reader_stream.c ---- */

enum { STREAMS = 4 };
/* Somebody reading on. */
struct stream {
	uint64_t begun;  /* where it was met first */
	uint64_t next;   /* where it goes on */
	uint64_t ahead;  /* what was told to be fetched ends here */
	uint64_t grown;  /* where the window grew last */
	uint64_t window; /* 0: nobody */
	uint64_t used;   /* when it moved last, in calls */
};
struct streams {
	pthread_mutex_t lock;
	struct stream list[STREAMS];
	uint64_t calls;
	uint64_t window_max;
};
/* What to do about a read: fetch [from, to) ahead; sequential: what lies behind it will not be read again. */
struct stream_advice {
	uint64_t from, to;
	bool sequential;
};
/* Nobody reads yet. */
void streams_init(struct streams *s, uint64_t window_max);
/* Frees its lock. */
void streams_release(struct streams *s);
/* Somebody reads [off, off + len) of a file of `size` bytes. Any thread. */
struct stream_advice streams_read(struct streams *s, uint64_t off, uint64_t len, uint64_t size);
/* Only up to `end` was there room for. */
void streams_fetched(struct streams *s, const struct stream_advice *advice, uint64_t end);

#endif
