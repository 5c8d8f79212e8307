/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_FAULT_H
#define BACKENDS_FAULT_H

/*
 * A store that misbehaves on order, laid over another. Tests of every later
 * layer stand on it. Calls are numbered from 1 in the order they arrive (the
 * number is drawn before the call goes down). Thread-safe.
 *
 * It keeps a history of the puts and deletes that took effect, so that a test
 * can build a fresh memory store holding exactly what was durable after the
 * first n of them: a crash at any call, without killing anything. For tests
 * that do kill, FAULT_KILL ends the process (SIGKILL to itself) before or after the call;
 * the environment variable DRFS_FAULT ("kill-before=N", "kill-after=N", "fail=N", "delay=MS", joined by commas) lays
 * this layer over what store_open() returns: for tests of the real command.
 */

#include "backends/store.h"

enum fault_kind {
	FAULT_FAIL,        /* the call does nothing and returns `code` */
	FAULT_DELAY,       /* sleeps delay_ms, then works */
	FAULT_TRUNCATE,    /* get: half of the bytes; put: half is stored, and the call fails */
	FAULT_CORRUPT,     /* get: one bit flipped; put: one bit flipped in what is stored */
	FAULT_LOSE_REPLY,  /* the call works, and ERR_TIMEOUT is returned */
	FAULT_KILL_BEFORE, /* SIGKILL before it */
	FAULT_KILL_AFTER,  /* SIGKILL after it */
};

enum fault_ops { FAULT_GET = 1, FAULT_PUT = 2, FAULT_DEL = 4, FAULT_LIST = 8, FAULT_STAT = 16, FAULT_ALL = 31 };

struct fault_rule {
	enum fault_kind kind;
	unsigned ops;       /* enum fault_ops; which calls count and are hit */
	uint64_t nth;       /* the nth such call (from 1); 0: every one, whatever count says */
	uint64_t count;     /* how many from then on; 0 means 1 */
	const char *prefix; /* only names that begin so; NULL: all. Copied. */
	int code;           /* for FAULT_FAIL; 0: ERR_UNAVAILABLE */
	unsigned delay_ms;
};

/* Takes `below` over: closing the layer closes it. */
int store_fault_open(struct store *below, struct store **ret_store, struct error *err);
/* From now on; counting begins at this call. Several rules may stand. */
int store_fault_add(struct store *store, const struct fault_rule *rule, struct error *err);
void store_fault_clear(struct store *store);
/* Calls of these kinds so far. */
uint64_t store_fault_calls(struct store *store, unsigned ops);
/* Puts and deletes that took effect so far. */
size_t store_fault_history(struct store *store);
/*
 * A memory store as it stood after the first `n` of them, with what `below` held before the layer was laid.
 * No call may be under way. ERR_USAGE: there were fewer.
 */
int store_fault_cut(struct store *store, size_t n, struct store **ret_store, struct error *err);
/*
 * Lays the layer over *store as DRFS_FAULT says; nothing when it is not set. This layer keeps no history, since a
 * real backup would not fit in memory. On failure *store stays the caller's to close.
 */
int store_fault_from_env(struct store **store, struct error *err);

#endif
