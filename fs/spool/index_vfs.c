/* SPDX-License-Identifier: MIT */

/*
 * Gathering what SQLite writes to its log. The log's format is in SQLite's documentation of its files, section 4.
 *
 * A write of the size of a frame's header that continues the log begins a frame, and the write behind it is its page.
 * Elsewhere such a write may be a header whose checksum SQLite corrects, after the frame of the commit, where a
 * transaction overwrote a frame of its own: no page follows it, and it must not wait. It always stands before the end
 * of what this connection wrote last, so only writes at that very end are gathered, and where the end is not known
 * (at first, or after a rollback) a frame is written as it comes.
 */

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fs/spool/index_vfs.h"

enum {
	FRAME_HEADER = 24,
	COMMIT_AT = 4, /* in it: pages of the database after the commit, in 4 bytes; zero where the frame is none */
	/* The largest page there is. Much more would be cut by SQLite's unix layer, which counts in 17 bits. */
	GATHER_MOST = 64 << 10,
};

static const char layer_name[] = "drfs-spool", below_name[] = "unix-excl";

/* The layer: `base` is a copy of the one below but for its name, its size and how it opens. */
struct layer {
	sqlite3_vfs base;
	sqlite3_vfs *below;
};

struct log {
	sqlite3_file base;
	uint8_t *gather; /* GATHER_MOST; NULL: nothing is gathered */
	int gathered;
	sqlite3_int64 start; /* where the gathered bytes go, and with none the end of the log; -1: not known */
	sqlite3_int64 page;  /* where the page belongs whose header was written as it came; -1: none */
	bool in_frame;       /* a header was gathered, its page is next */
	bool commits;        /* and it is the commit's */
	uint64_t below[];    /* the layer's below own object */
};

static sqlite3_file *below_of(sqlite3_file *file)
{
	return (sqlite3_file *)((struct log *)file)->below;
}

/* What failed stays gathered: SQLite was told that it is written. */
static int flush(struct log *log)
{
	sqlite3_file *below = below_of(&log->base);
	if (log->gathered == 0)
		return SQLITE_OK;
	int rc = below->pMethods->xWrite(below, log->gather, log->gathered, log->start);
	if (rc == SQLITE_OK) {
		log->start += log->gathered;
		log->gathered = 0;
	}
	return rc;
}

static bool is_commit(const void *header)
{
	static const uint8_t none[4];
	return memcmp((const uint8_t *)header + COMMIT_AT, none, sizeof(none)) != 0;
}

/* A header, or the page of the header before. Failed: as if it had not been called. */
static int take(struct log *log, const void *data, int n)
{
	int rc = log->gathered + n > GATHER_MOST ? flush(log) : SQLITE_OK;
	if (rc != SQLITE_OK)
		return rc;
	memcpy(log->gather + log->gathered, data, (size_t)n);
	log->gathered += n;
	if (!log->in_frame) {
		log->in_frame = true;
		log->commits = is_commit(data);
		return SQLITE_OK;
	}
	rc = log->commits ? flush(log) : SQLITE_OK;
	if (rc != SQLITE_OK)
		log->gathered -= n; /* the commit failed: it must not be completed by a later write */
	else
		log->in_frame = false;
	return rc;
}

/* Learns from what was written as it came where the log ends: behind its own header and behind a whole frame. */
static void note_end(struct log *log, int n, sqlite3_int64 at)
{
	if (at == 0 || at == log->page)
		log->start = at + n;
	log->page = n == FRAME_HEADER ? at + n : -1;
}

static int write_through(struct log *log, const void *data, int n, sqlite3_int64 at)
{
	sqlite3_file *below = below_of(&log->base);
	int rc = flush(log);
	if (rc != SQLITE_OK)
		return rc;
	log->in_frame = false;
	rc = below->pMethods->xWrite(below, data, n, at);
	if (rc == SQLITE_OK)
		note_end(log, n, at);
	else
		log->start = log->page = -1;
	return rc;
}

static int log_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
	struct log *log = (struct log *)file;
	/* Going back to before what is gathered, SQLite undid the transaction. No checksum is corrected meanwhile: that
	 * follows a commit, after which nothing is gathered. */
	if (log->gathered > 0 && n == FRAME_HEADER && at <= log->start) {
		log->gathered = 0;
		log->start = -1;
	}
	if (log->gather && log->start >= 0 && at == log->start + log->gathered && n <= GATHER_MOST &&
		(log->in_frame || n == FRAME_HEADER)) {
		log->page = -1;
		return take(log, data, n);
	}
	return write_through(log, data, n, at);
}

/* What was rolled back is not read, and must not fail a read on a full disk. */
static int log_read(sqlite3_file *file, void *data, int n, sqlite3_int64 at)
{
	struct log *log = (struct log *)file;
	sqlite3_file *below = below_of(file);
	int rc = at < log->start + log->gathered && at + n > log->start ? flush(log) : SQLITE_OK;
	return rc == SQLITE_OK ? below->pMethods->xRead(below, data, n, at) : rc;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = flush((struct log *)file);
	return rc == SQLITE_OK ? below_of(file)->pMethods->xTruncate(below_of(file), size) : rc;
}

static int log_sync(sqlite3_file *file, int flags)
{
	int rc = flush((struct log *)file);
	return rc == SQLITE_OK ? below_of(file)->pMethods->xSync(below_of(file), flags) : rc;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	int rc = flush((struct log *)file);
	return rc == SQLITE_OK ? below_of(file)->pMethods->xFileSize(below_of(file), ret_size) : rc;
}

/* What is gathered now was never committed. */
static int log_close(sqlite3_file *file)
{
	sqlite3_free(((struct log *)file)->gather);
	return below_of(file)->pMethods->xClose(below_of(file));
}

static int log_lock(sqlite3_file *file, int level)
{
	return below_of(file)->pMethods->xLock(below_of(file), level);
}

static int log_unlock(sqlite3_file *file, int level)
{
	return below_of(file)->pMethods->xUnlock(below_of(file), level);
}

static int log_check_lock(sqlite3_file *file, int *ret_reserved)
{
	return below_of(file)->pMethods->xCheckReservedLock(below_of(file), ret_reserved);
}

static int log_control(sqlite3_file *file, int op, void *arg)
{
	return below_of(file)->pMethods->xFileControl(below_of(file), op, arg);
}

static int log_sector(sqlite3_file *file)
{
	return below_of(file)->pMethods->xSectorSize(below_of(file));
}

static int log_device(sqlite3_file *file)
{
	return below_of(file)->pMethods->xDeviceCharacteristics(below_of(file));
}

/* Version 1: SQLite neither maps a log nor shares memory by it. */
static const sqlite3_io_methods log_methods = {
	.iVersion = 1,
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_check_lock,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_device,
};

static int layer_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
	sqlite3_vfs *below = ((struct layer *)vfs)->below;
	struct log *log = (struct log *)file;
	if (!(flags & SQLITE_OPEN_WAL))
		return below->xOpen(below, path, file, flags, ret_flags);
	memset(log, 0, (size_t)vfs->szOsFile);
	int rc = below->xOpen(below, path, below_of(file), flags, ret_flags);
	if (rc != SQLITE_OK) {
		if (below_of(file)->pMethods)
			below_of(file)->pMethods->xClose(below_of(file));
		return rc;
	}
	log->gather = sqlite3_malloc(GATHER_MOST);
	log->start = log->page = -1;
	file->pMethods = &log_methods;
	return SQLITE_OK;
}

/* The unix layers' other calls look at nothing of what they are called by but fields that are copied. */
static void register_layer(void)
{
	static struct layer layer; /* SQLite links it into its list for the life of the process */
	layer.below = sqlite3_vfs_find(below_name);
	if (!layer.below)
		return;
	layer.base = *layer.below;
	layer.base.pNext = NULL;
	layer.base.zName = layer_name;
	layer.base.szOsFile = (int)sizeof(struct log) + layer.below->szOsFile;
	layer.base.xOpen = layer_open;
	(void)sqlite3_vfs_register(&layer.base, 0);
}

const char *index_vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	return pthread_once(&once, register_layer) == 0 && sqlite3_vfs_find(layer_name) ? layer_name : below_name;
}
