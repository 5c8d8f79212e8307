/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_STORE_H
#define BACKENDS_STORE_H

/*
 * Where bytes lie: a flat space of named, immutable objects.
 *
 * What is asked of a store, and all that is asked: create-only put, ranged
 * get, list, delete, stat. Names are ASCII, of [a-z0-9./-], at most 200
 * bytes, no empty, "." or ".." component. A store never sees a plaintext byte or a key
 * and knows nothing of the archive's formats but this: an object's last 32
 * bytes are a hash over what comes before, so two objects with the same name,
 * length and last 32 bytes are the same object.
 *
 * Threads: every call may be made by any thread, many at once; all block.
 * Layers (fault, cache, mirror) are stores themselves: one file each.
 * Errors: ERR_NOT_FOUND, ERR_EXISTS, ERR_DENIED, ERR_THROTTLED, ERR_UNAVAILABLE,
 * ERR_CORRUPT, ERR_TIMEOUT, ERR_CANCELLED, ERR_NO_SPACE, ERR_IO; each text names the object.
 * Callers use the inline wrappers below, never the table.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"

struct store;

enum { STORE_NAME_MAX = 200, STORE_HASH_LEN = 32 };

/* How long and under which flag a call may go on. NULL where one is taken: the store's own limits. */
struct store_call {
	int64_t deadline;          /* clock_monotonic() moment, 0: none */
	const atomic_bool *cancel; /* when it turns true, ERR_CANCELLED soon; may be NULL */
};

/* What is put: `len` bytes in memory, or, when data is NULL, of the file `fd` from 0 on. */
struct store_body {
	const void *data;
	int fd;
	uint64_t len;
};

/* What the store said beside the outcome. */
struct store_reply {
	int64_t date; /* the store's own clock, ns since 1970; 0: not told */
};

enum store_features {
	STORE_CREATE_ONLY = 1u << 0,    /* a second create of a name is refused */
	STORE_LIST_AFTER_PUT = 1u << 1, /* what was put is listed at once */
	STORE_LOCAL = 1u << 2,          /* no line in between: short reads cost next to nothing */
};

/* Called for each object in the order of names (bytewise). Non-zero stops the listing and is returned. */
typedef int store_list_fn(void *arg, const char *name, uint64_t size, struct error *err);

struct store_ops {
	/*
	 * Reads up to `len` bytes from `off` to dst. *ret_len < len only where the
	 * object ends; off past the end gives 0 bytes. ERR_NOT_FOUND: no such object.
	 */
	int (*get)(struct store *store, const struct store_call *call, const char *name, uint64_t off, size_t len,
		void *dst, size_t *ret_len, struct error *err);
	/*
	 * Creates the object: after 0 it is durable and seen by get, stat and list.
	 * ERR_EXISTS: the name holds something else (same length and trailing hash
	 * count as success: a put may be repeated). After any other error the
	 * object may or may not be there, whole; never in part.
	 */
	int (*put)(struct store *store, const struct store_call *call, const char *name, const struct store_body *body,
		struct store_reply *ret_reply, struct error *err);
	/* Removes it; a name that is not there is success. */
	int (*del)(struct store *store, const struct store_call *call, const char *name, struct error *err);
	/* All names that begin with `prefix` (may be "") and are greater than `after` ("" for all). */
	int (*list)(struct store *store, const struct store_call *call, const char *prefix, const char *after,
		store_list_fn *fn, void *arg, struct error *err);
	int (*stat)(struct store *store, const struct store_call *call, const char *name, uint64_t *ret_size,
		struct error *err);
	/*
	 * Optional. An unnamed file that a later put of `fd`, with len its whole size, takes over without copying: it
	 * is not written to after that. The caller closes it in any case. -1 in *ret_fd: none, use a temporary folder.
	 */
	int (*tmpfile)(struct store *store, const char *name, int *ret_fd, struct error *err);
	/* Optional. Bytes that can still be stored; UINT64_MAX where no limit is known. */
	int (*free_space)(struct store *store, uint64_t *ret_bytes, struct error *err);
	/* Gives everything back. No call may be under way. */
	void (*close)(struct store *store);
};

/* First member of every driver's own struct. */
struct store {
	const struct store_ops *ops;
	unsigned features; /* enum store_features; a driver may take one back when it finds out: store_features() */
	unsigned parallel; /* gets at once that pay off: 4 local, dozens remote */
	char *url;         /* for messages, owned, no secrets in it */
	char *local_path;  /* the folder of a file store, canonical; else NULL. Owned. */
};

static inline unsigned store_features(const struct store *s)
{
	return __atomic_load_n(&s->features, __ATOMIC_RELAXED);
}

static inline int store_get(struct store *s, const struct store_call *call, const char *name, uint64_t off, size_t len,
	void *dst, size_t *ret_len, struct error *err)
{
	return s->ops->get(s, call, name, off, len, dst, ret_len, err);
}

static inline int store_put(struct store *s, const struct store_call *call, const char *name,
	const struct store_body *body, struct store_reply *ret_reply, struct error *err)
{
	return s->ops->put(s, call, name, body, ret_reply, err);
}

static inline int store_del(struct store *s, const struct store_call *call, const char *name, struct error *err)
{
	return s->ops->del(s, call, name, err);
}

static inline int store_list(struct store *s, const struct store_call *call, const char *prefix, const char *after,
	store_list_fn *fn, void *arg, struct error *err)
{
	return s->ops->list(s, call, prefix, after, fn, arg, err);
}

static inline int store_stat(
	struct store *s, const struct store_call *call, const char *name, uint64_t *ret_size, struct error *err)
{
	return s->ops->stat(s, call, name, ret_size, err);
}

/* -1 in *ret_fd where the store has no place of its own. */
int store_tmpfile(struct store *store, const char *name, int *ret_fd, struct error *err);
/* UINT64_MAX where nothing is known. */
int store_free_space(struct store *store, uint64_t *ret_bytes, struct error *err);
/* The whole object appended to *ret (cleared first). More than `max` bytes: ERR_CORRUPT. */
int store_get_all(struct store *store, const struct store_call *call, const char *name, size_t max, struct buf *ret,
	struct error *err);
/* Put of bytes in memory. */
int store_put_mem(struct store *store, const struct store_call *call, const char *name, const void *data, size_t len,
	struct store_reply *ret_reply, struct error *err);
/* True for a name that the contract above allows. */
bool store_name_ok(const char *name);
void store_close(struct store *store); /* NULL is a no-op */

/* How a store is opened. Zero is the default. */
struct store_options {
	bool create; /* make the repository's own folder or prefix (init only); never its parents */
	struct log *log;
	/* What an environment variable holds, NULL: it is not set. NULL instead of a function: getenv(). */
	const char *(*env)(void *arg, const char *name);
	void *env_arg;
};

/*
 * Opens what `url` names: "/path", "file:///path"; "memory:" for tests. "s3://" and "gs://" have
 * their place here. ERR_NO_REPO: the folder is not there (and create is not set). ERR_USAGE: not a URL that is known.
 */
int store_open(const char *url, const struct store_options *options, struct store **ret_store, struct error *err);

/* Drivers, opened by store_open(); tests may call them. */
int store_file_open(const char *path, const struct store_options *options, struct store **ret_store, struct error *err);
int store_memory_open(struct store **ret_store, struct error *err);
int store_s3_open(const char *url, const struct store_options *options, struct store **ret_store, struct error *err);

#endif
