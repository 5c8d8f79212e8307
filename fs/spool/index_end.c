/* SPDX-License-Identifier: MIT */

/* Transactions, the room they need, and the counters that they carry. */

#include <errno.h>
#include <fcntl.h>

#include "base/checked.h"
#include "fs/spool/index_impl.h"

enum {
	LOG_HEADER = 32,
	LOG_FRAME = INDEX_PAGE + 24,
	ROOM_LEAST = 2 << 20,      /* behind the log before a transaction begins, and for what is urgent */
	ROOM_STEP = 8 << 20,       /* asked for at a time */
	ROOM_EACH = 5 * LOG_FRAME, /* what a change may add to a transaction */
	ROOM_CHECKED = 64,         /* looked at again after so many changes */
	COUNTER_STEP = 4096,       /* numbers that one write of the counters lets be given out */
	COUNTERS_LEN = 4 * 8,
};

static const char counters_name[] = ".counters";

static int allocate(struct index *ix, uint64_t from, uint64_t len)
{
	int r;
	do
		r = fallocate(ix->wal, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)len);
	while (r != 0 && errno == EINTR);
	return r == 0 ? 0 : errno;
}

/*
 * Sees to allocated space behind the log: twice what is promised to the transaction that is open or begins, so that
 * what is urgent finds the other half on a full disk.
 */
static int see_to_room(struct index *ix, struct error *err)
{
	uint64_t end = LOG_HEADER + atomic_load_explicit(&ix->log_pages, memory_order_relaxed) * LOG_FRAME;
	uint64_t used = end + (uint64_t)ix->changed * ROOM_EACH;
	uint64_t need = used + ROOM_LEAST + (uint64_t)ROOM_CHECKED * ROOM_EACH;
	if (ix->no_room || ix->room >= need || (ix->urgent && ix->room >= used + ROOM_LEAST / 2))
		return 0;
	uint64_t from = max_u64(ix->room, end);
	uint64_t want = need + ROOM_STEP;
	int e = allocate(ix, from, want - from);
	if (e == ENOSPC || e == EDQUOT || e == EFBIG) {
		want = need;
		e = allocate(ix, from, want - from);
	}
	if (e == 0) {
		ix->room = want;
		return 0;
	}
	if (e != ENOSPC && e != EDQUOT && e != EFBIG) {
		ix->no_room = true; /* not every file system can; then a full disk shows at index_end() */
		return 0;
	}
	if (ix->urgent)
		return 0;
	return error_set(err, ERR_NO_SPACE, "no space left for the spool index '%s': free some", ix->path);
}

int index_begin(struct index *ix, struct error *err)
{
	sqlite3_stmt *stmt;
	if (ix->frozen)
		return error_set(err, ERR_BUG, "a frozen spool index was to be changed");
	if (ix->open && ++ix->changed % ROOM_CHECKED != 0)
		return 0;
	int r = see_to_room(ix, err);
	if (r != 0 || ix->open)
		return r;
	r = index_stmt(ix, INDEX_SQL_BEGIN, &stmt, err);
	if (r == 0)
		r = index_run(ix, stmt, err);
	if (r == 0) {
		ix->open = true;
		ix->changed = 1;
	}
	return r;
}

void index_urgent(struct index *ix, bool urgent)
{
	ix->urgent = urgent;
}

int index_end(struct index *ix, struct error *err)
{
	sqlite3_stmt *stmt;
	if (!ix->open)
		return 0;
	int r = ix->counters_moved ? index_counters_put(ix, false, err) : 0;
	if (r == 0)
		r = index_stmt(ix, INDEX_SQL_COMMIT, &stmt, err);
	if (r == 0)
		r = index_run(ix, stmt, err);
	if (r != 0)
		return r;
	ix->open = false;
	ix->counters_moved = false;
	atomic_fetch_add_explicit(&ix->ended, 1, memory_order_release);
	uint64_t bytes = atomic_load_explicit(&ix->log_pages, memory_order_relaxed) * LOG_FRAME;
	if (bytes > INDEX_LOG_MOST)
		index_tidy(ix);
	return 0;
}

/* The next number; that its bound must be written shows in counters_moved. */
uint64_t index_count_up(struct index *ix, struct index_counter *counter)
{
	if (counter->last == counter->bound) {
		counter->bound += COUNTER_STEP;
		ix->counters_moved = true;
	}
	return ++counter->last;
}

uint64_t index_next_change(struct index *ix)
{
	return index_count_up(ix, &ix->changes);
}

uint64_t index_changes(const struct index *ix)
{
	return ix->changes.last;
}

int index_new_ino(struct index *ix, uint64_t *ret_ino, struct error *err)
{
	int r = index_begin(ix, err);
	if (r == 0)
		*ret_ino = index_count_up(ix, &ix->inos);
	return r;
}

int index_counters_put(struct index *ix, bool clean, struct error *err)
{
	uint8_t raw[COUNTERS_LEN];
	struct buf b = {.data = raw, .cap = sizeof(raw)};
	if (clean && ix->inos.bound == ix->inos.last && ix->cookies.bound == ix->cookies.last &&
		ix->changes.bound == ix->changes.last)
		return 0; /* nothing was given out since the file was written */
	if (clean)
		ix->counters_moved = false;
	buf_put_u64(&b, clean ? ix->inos.last : ix->inos.bound);
	buf_put_u64(&b, clean ? ix->cookies.last : ix->cookies.bound);
	buf_put_u64(&b, clean ? ix->changes.last : ix->changes.bound);
	buf_put_u64(&b, clean);
	return index_fact_put(ix, counters_name, raw, sizeof(raw), err);
}

int index_counters_load(struct index *ix, struct error *err)
{
	struct buf raw = {0};
	ix->inos.last = INDEX_NEW - 1;
	int r = index_fact(ix, counters_name, &raw, err);
	if (r == 0) {
		struct cursor c = cursor_of(raw.data, raw.len);
		ix->inos.last = cursor_u64(&c);
		ix->cookies.last = cursor_u64(&c);
		ix->changes.last = cursor_u64(&c);
		ix->unclean = cursor_u64(&c) != 1;
		if (!cursor_done(&c) || ix->inos.last < INDEX_NEW - 1 || ix->inos.last > INT64_MAX / 2 ||
			ix->cookies.last > INT64_MAX / 2 || ix->changes.last > INT64_MAX / 2)
			r = index_corrupt(ix, "its row of counters", err);
	}
	if (r == ERR_NOT_FOUND) {
		error_clear(err);
		r = 0;
	}
	ix->inos.bound = ix->inos.last;
	ix->cookies.bound = ix->cookies.last;
	ix->changes.bound = ix->changes.last;
	ix->opened_at = ix->changes.last;
	buf_release(&raw);
	return r;
}
