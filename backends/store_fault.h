/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_STORE_FAULT_H
#define BACKENDS_STORE_FAULT_H

/*
 * The fault layer's own parts, shared by its files only.
 *
 *   store_fault.c          the calls: draw a plan, then do or misdo
 *   store_fault_rules.c    rules, counting, and which of them hit a call
 *   store_fault_history.c  what took effect, and a store cut from it
 *   store_fault_env.c      DRFS_FAULT
 */

#include <pthread.h>

#include "backends/fault.h"

enum { FAULT_KINDS = 5 }; /* get, put, del, list, stat: bits of enum fault_ops */

/* A rule that stands, and how many calls of its kind there were since. */
struct fault_entry {
	struct fault_rule rule; /* its prefix is owned */
	uint64_t seen;
	struct fault_entry *next;
};

/* An object put (data not NULL) or a name deleted. */
struct fault_event {
	char name[STORE_NAME_MAX + 1];
	uint8_t *data; /* owned */
	size_t len;
};

struct fault_events {
	struct fault_event *list;
	size_t count;
	size_t cap;
};

struct store_fault {
	struct store base;
	struct store *below;  /* owned */
	bool recording;       /* false when laid by DRFS_FAULT: a history holds all that was put */
	pthread_mutex_t lock; /* guards what follows; not held over calls to below */
	struct fault_entry *rules;
	uint64_t calls[FAULT_KINDS];
	struct fault_events history;
	struct fault_events before; /* objects older than the layer that were deleted through it */
};

/* What is to happen to one call. */
struct fault_plan {
	uint64_t number; /* of the call, among all */
	unsigned delay_ms;
	int fail; /* code to return without doing anything, or 0 */
	bool truncate;
	bool corrupt;
	bool lose_reply;
	bool kill_before;
	bool kill_after;
};

static inline struct store_fault *store_fault_of(struct store *store)
{
	return (struct store_fault *)store;
}

/* Counts a call and draws what the rules say about it. `name`: of the object, or the prefix listed. */
struct fault_plan fault_plan_draw(struct store_fault *f, enum fault_ops op, const char *name);

/* As store_fault_open(), with or without a history. */
int fault_open(struct store *below, bool recording, struct store **ret_store, struct error *err);

/* Notes that `data` (NULL: a deletion) took effect under `name`; data is copied. */
int fault_note(struct store_fault *f, const char *name, const uint8_t *data, size_t len, struct error *err);

/* Before a deletion: keeps a copy of an object that the layer never saw put, so that a cut can still show it. */
int fault_keep(struct store_fault *f, const struct store_call *call, const char *name, struct error *err);

void fault_events_release(struct fault_events *events);

#endif
