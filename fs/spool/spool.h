/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_SPOOL_H
#define FS_SPOOL_SPOOL_H

/*
 * All working copies of a mount, and when they are committed. The first mount
 * of a repository on a host has the spool: a flock on its folder says so.
 *
 * Folder: SPOOL_DIR/<repository id in hex>/ with `lock` and one folder a
 * dataset, its name with '%' and what a file name does not like as %XX.
 *
 * One thread a dataset that has changes commits it by its policy: idle (no
 * handle with unsaved writes and no change for that long, or unrest for
 * idle_max), close (2 s after a close, all in one commit), manual; and when it
 * is asked to. A store that fails is tried again, waiting longer each time (1
 * s to 5 min, full jitter); what is staged stays. At start every dataset with
 * uncommitted changes is taken up. Once a dataset has nothing to commit,
 * has been quiet for its idle time, and another host's snapshot is newer than
 * its base, it moves there; likewise to its own commit when the overlay has
 * grown large.
 *
 * Threads: all calls by any thread. No lock is held over I/O.
 */

#include "archive/repo.h"
#include "base/jsonout.h"
#include "base/log.h"
#include "fs/epoch.h"
#include "fs/spool/work.h"

struct spool;

enum spool_policy { SPOOL_IDLE, SPOOL_CLOSE, SPOOL_MANUAL };
enum spool_durability { SPOOL_LOCAL, SPOOL_POWER, SPOOL_REMOTE };

/* How a dataset is committed; by configuration. */
struct spool_rule {
	enum spool_policy policy;
	enum spool_durability durability;
	int64_t idle_ns, idle_max_ns; /* 10 s, 10 min */
	int compression;
	const char *check; /* command; NULL: none */
};

struct spool_options {
	struct repo *repo;
	const char *dir;         /* spool_dir; NULL: the default state folder */
	const char *catalog_dir; /* may be NULL */
	struct view *view;
	/* The rule of a dataset; by any thread; what it points to stays. */
	struct spool_rule (*rule)(void *arg, const char *dataset);
	void *rule_arg;
	/* A snapshot was committed: mounts of this host are to show it before this returns. */
	void (*made)(void *arg, const struct snapshot *snapshot);
	void *made_arg;
	/* The working copy is to move to another base: from true on the caller keeps every request out of it, until
	 * moved() or stayed(). False: not now. Both may be NULL. */
	bool (*moving)(void *arg, const char *dataset);
	void (*stayed)(void *arg, const char *dataset);
	/* It moved: every inode of it has a new number. */
	void (*moved)(void *arg, const char *dataset);
	void *moved_arg;
	struct log *log;
};
/* ERR_BUSY: another mount of this host has it (the mount goes on without a spool, and says so). */
int spool_open(
	const struct spool_options *options, const struct epoch *epoch, struct spool **ret_spool, struct error *err);
/*
 * Stops: running commits are finished, or cut short after `wait_ns` (they resume at the next open). With wait_ns > 0
 * what is not committed yet is tried once, but for datasets whose policy is manual; 0 parks it. What is left is told in
 * the log, and in the folder (parked.h). Who still waits for a commit is told ERR_CANCELLED. NULL is a no-op.
 */
void spool_close(struct spool *s, int64_t wait_ns);
/* The folder that holds the working copies of this repository. Borrowed until spool_close(). */
const char *spool_folder(const struct spool *s);
/* Newly seen snapshots: datasets appear, untouched working copies move on. */
void spool_show(struct spool *s, const struct epoch *epoch);

/* Datasets by name, in order: all of the repository's, and those made here. Caller frees names and list with
 * spool_names_free(). */
int spool_datasets(struct spool *s, char ***ret_names, size_t *ret_count, struct error *err);
void spool_names_free(char **names, size_t count);
/* The working copy, opened at first use and kept. ERR_NOT_FOUND: no such dataset. Borrowed until spool_close(). */
int spool_work(struct spool *s, const char *dataset, struct work **ret_work, struct error *err);
/* Makes a new dataset. ERR_EXISTS, ERR_USAGE (the name, see snapshot_dataset_ok()). */
int spool_make(
	struct spool *s, const char *dataset, struct work_owner owner, struct work **ret_work, struct error *err);
/* Removes one that has no snapshot and nothing in it. WORK_ENOTEMPTY, WORK_EPERM (it has snapshots). */
int spool_remove(struct spool *s, const char *dataset, struct error *err);

/* How a commit that was asked for ended: 0 and the snapshot (NULL when nothing had changed), or why not. */
typedef void spool_done_fn(void *arg, int status, const struct snapshot *made, const struct error *why);
struct spool_request {
	const char *description; /* NULL: none */
	char *const *tags;
	size_t tag_count;
	uint64_t change;     /* at least up to this one; 0: everything now */
	spool_done_fn *done; /* called once, by any thread; NULL: nobody waits */
	void *arg;
};
/*
 * Commits now; returns at once. Strings are copied. All who wait when a commit begins share it, and its snapshot bears
 * their tags, and the description of the last. done() is told ERR_TIMEOUT after 30 s without progress (a store that
 * fails makes none), and at once what trying again does not mend; the work goes on either way.
 */
void spool_commit(struct spool *s, struct work *w, const struct spool_request *request);

/*
 * For status.json: an array of {dataset, state, pending_changes, staged_bytes, open_files, last_commit, last_snapshot,
 * last_state, last_error, next_try, crossed, size_warning}. state: unopened, clean, pending, committing, retrying.
 * Times are null where there is none, texts too. crossed: the host whose snapshot is not in ours, until we move to
 * another base.
 */
int spool_status(struct spool *s, json_t **ret_array, struct error *err);

#endif
