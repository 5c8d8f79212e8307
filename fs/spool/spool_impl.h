/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_SPOOL_IMPL_H
#define FS_SPOOL_SPOOL_IMPL_H

/*
 * What the parts of the spool share. Private to them and to their tests.
 *
 *   spool.c           opening and closing, the epoch, snapshots by id
 *   spool_copies.c    the list of working copies: found, opened, made, removed
 *   spool_policy.c    when a commit is due, and when it is tried again
 *   spool_commit.c    a working copy's committer: its thread and one commit
 *   spool_requests.c  commits that were asked for, and who waits too long
 *   spool_status.c    what status.json shows
 *
 * Locks: `lock` guards everything but what is said to be fixed; it is held
 * for moments, and never while a working copy, the repository or a callback
 * is called. `known_lock` guards the epoch and the known snapshots, and
 * nothing is called under it: working copies ask for snapshots while they
 * hold their own.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "fs/spool/commit.h"
#include "fs/spool/spool.h"

#define SPOOL_PATIENCE (30 * CLOCK_SECOND)
#define SPOOL_CLOSE_WAIT (2 * CLOCK_SECOND)
/* Between two files of one program less time passes. */
#define SPOOL_MOVE_WAIT (2 * CLOCK_SECOND)
#define SPOOL_RETRY_FIRST CLOCK_SECOND
#define SPOOL_RETRY_MOST (300 * CLOCK_SECOND)
/* An overlay of such a weight (commit.h) moves to what it committed, when it can. */
enum { SPOOL_GROWN = 100000, SPOOL_TEXT_MAX = ERROR_TEXT_MAX };

/* A commit that was asked for. */
struct spool_wait {
	struct spool_wait *next;
	uint64_t change;
	char *description; /* owned; NULL: none */
	char **tags;       /* owned */
	size_t tag_count;
	spool_done_fn *done;
	void *arg;
	int64_t since; /* clock_monotonic() */
	bool taken;    /* a commit under way covers it */
	bool told;     /* timed out: nobody waits any more, but it is to be committed */
};

/* A working copy. Lives until spool_close(). */
struct spool_copy {
	struct spool *s;
	char *name, *dir;  /* fixed */
	struct work *work; /* NULL: not open yet; fixed from then on */
	bool opening, removing, removed;
	bool running; /* it has a thread */
	bool busy;    /* which is committing or moving */
	bool shown;   /* look whether there is something to move to */
	bool grown, held;
	uint64_t events;   /* counted up whenever its thread is to look again */
	int64_t asleep;    /* until when its thread waits (INT64_MAX: to be woken); 0: it does not */
	int64_t calm;      /* how long after a close a commit may be due, by its rule; INT64_MAX: never */
	int64_t closed;    /* first close that is not committed yet; 0: none */
	int64_t next_try;  /* after a failure; 0 */
	int64_t hold_try;  /* likewise for the hold mark */
	unsigned failures; /* in a row */
	struct spool_wait *waits;
	atomic_uint_fast64_t progress;
	uint64_t progress_seen;
	int64_t progress_at;
	const struct snapshot *last; /* made last; of the known ones */
	int64_t last_commit;         /* host's clock; 0: none in this run */
	char last_error[SPOOL_TEXT_MAX], size_warning[SPOOL_TEXT_MAX], crossed[SPOOL_TEXT_MAX];
};

struct spool {
	struct spool_options o; /* fixed */
	char *dir;              /* fixed: of this repository */
	int lock_fd;
	int64_t patience; /* fixed; SPOOL_PATIENCE but in tests */
	uint64_t grown;   /* fixed; SPOOL_GROWN but in tests */
	pthread_mutex_t lock;
	pthread_cond_t cond; /* of everything, by CLOCK_MONOTONIC */
	struct spool_copy **copies;
	size_t copy_count, copy_cap;
	struct catalog *catalog; /* opened by the first commit, and kept */
	unsigned threads;        /* running ones, the watcher among them */
	bool watching, closing;
	bool opening;    /* no thread starts before the spool's owner has it */
	bool last_round; /* while closing: what is due by policy is committed still */
	volatile int cancel;
	pthread_mutex_t known_lock;
	const struct epoch *epoch;
	struct snapshot **known; /* copies: what working copies stand on and point to; they stay */
	size_t known_count, known_cap;
};

/* ---- spool.c ---- */

void spool_wait_until(struct spool *s, int64_t deadline); /* with the lock; INT64_MAX: for ever */
/* The epoch of now, with a reference. */
const struct epoch *spool_epoch(struct spool *s);
/* Of the known ones; NULL: it is gone. `arg` is the spool. */
const struct snapshot *spool_find(void *arg, const struct id *id);
/* Makes it one of the known ones. NULL without memory. */
const struct snapshot *spool_keep(struct spool *s, const struct snapshot *snapshot);
/* The newest of a dataset that can be stood on, of the known ones; NULL: none. */
const struct snapshot *spool_newest(struct spool *s, const char *dataset);
/* Starts a thread that belongs to nobody and is counted; with the lock held. False: it cannot. */
bool spool_thread(struct spool *s, void *(*main)(void *arg), void *arg);

/* ---- spool_copies.c ---- */

/* The folder's name for a dataset and back; the caller frees. NULL: without memory, or it is none. */
char *spool_folder_name(const char *dataset);
char *spool_dataset_name(const char *folder);
/* The copy of that name; NULL: none. With the lock. */
struct spool_copy *spool_copy_of(struct spool *s, const char *dataset);
struct spool_copy *spool_copy_of_work(struct spool *s, const struct work *w);
/* Opens all that have a folder. Those that cannot be opened are told in the log. */
int spool_take_up(struct spool *s, struct error *err);
void spool_copy_free(struct spool_copy *c);

/* ---- spool_policy.c ---- */

/* The soonest that a close makes a commit due, from then on; INT64_MAX: it never does. */
int64_t spool_calm(const struct spool_rule *rule);
/* When a commit is due, by clock_monotonic(); INT64_MAX: not before something happens. `closed`: the first close that
 * is not committed, 0: none. */
int64_t spool_due(const struct spool_rule *rule, const struct work_state *state, int64_t closed, int64_t now);
/* From when on it counts as quiet. */
int64_t spool_quiet(const struct spool_rule *rule, const struct work_state *state);
/* From when on nobody seems to be at work between two files, so that it may move to another base. */
int64_t spool_movable(const struct spool_rule *rule, const struct work_state *state);
/* How long to wait after so many failures in a row (from 1), drawn at random. */
int64_t spool_backoff(unsigned failures);

/* ---- spool_commit.c ---- */

/* Something happened to it: its thread looks, and is started where there is none. With the lock. */
void spool_wake(struct spool_copy *c);
/* work.h's callback; `arg` is the copy. */
void spool_changed(void *arg, bool closed);

/* ---- spool_requests.c ---- */

/* What a commit is made with for those who asked: takes all that wait, of the last the description, of all the tags.
 * Strings are the waits'. With the lock. */
struct spool_asked {
	const char *description;
	char **tags; /* the array is owned */
	size_t tag_count;
};
void spool_take_waits(struct spool_copy *c, struct spool_asked *ret);
/* Off the list, with the lock: those that are answered by a commit up to `change`. */
struct spool_wait *spool_answered(struct spool_copy *c, uint64_t change);
/* Off the list, with the lock: those that a commit took; with `all` everyone. */
struct spool_wait *spool_refused(struct spool_copy *c, bool all);
/* Tells each and frees; without the lock. */
void spool_answer(struct spool_wait *list, int status, const struct snapshot *made, const struct error *why);

#endif
