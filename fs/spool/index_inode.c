/* SPDX-License-Identifier: MIT */

/* Rows of inodes, of other links, and small facts. */

#include <string.h>

#include "base/checked.h"
#include "fs/spool/index_impl.h"

enum { STAGED_PAGE = 64 };

static void empty(struct index_inode *inode)
{
	buf_clear(&inode->content_key);
	buf_clear(&inode->layers);
	buf_clear(&inode->target);
	buf_clear(&inode->xattrs);
}

static int decode(struct index *ix, uint64_t nlink, uint64_t changed, const void *data, size_t len,
	struct index_inode *ret, struct error *err)
{
	ret->changed = changed;
	ret->nlink = (uint32_t)nlink;
	if (index_inode_decode(data, len, ret) && nlink <= UINT32_MAX)
		return 0;
	bool memory = buf_failed(&ret->content_key) || buf_failed(&ret->layers) || buf_failed(&ret->target) ||
		      buf_failed(&ret->xattrs);
	return memory ? error_no_memory(err, "an inode of the spool") : index_corrupt(ix, "a row of an inode", err);
}

/* Columns from `at` on: nlink, changed, data. */
static int inode_of_row(struct index *ix, sqlite3_stmt *stmt, int at, struct index_inode *ret, struct error *err)
{
	const void *data = sqlite3_column_blob(stmt, at + 2);
	size_t len = (size_t)sqlite3_column_bytes(stmt, at + 2);
	return decode(ix, index_column_u64(stmt, at), index_column_u64(stmt, at + 1), data, data ? len : 0, ret, err);
}

/* 1: it is there; 0: it is not; both are kept. */
static int fetch(struct index *ix, uint64_t ino, struct index_inode *ret, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_stmt(ix, INDEX_SQL_GET, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, ino);
	r = index_step(ix, stmt, err);
	if (r > 0) {
		int decoded = inode_of_row(ix, stmt, 0, ret, err);
		r = decoded < 0 ? decoded : r;
	}
	if (r > 0)
		index_rows_keep(ix, ino, index_column_u64(stmt, 0), index_column_u64(stmt, 1),
			sqlite3_column_blob(stmt, 2), (size_t)sqlite3_column_bytes(stmt, 2));
	else if (r == 0)
		index_rows_keep(ix, ino, 0, 0, NULL, 0);
	sqlite3_reset(stmt);
	return r;
}

int index_get(struct index *ix, uint64_t ino, struct index_inode *ret, struct error *err)
{
	const struct index_row *row = index_rows_find(ix, ino);
	int r;
	empty(ret);
	if (row && row->there)
		r = decode(ix, row->nlink, row->changed, row->data.data, row->data.len, ret, err);
	else
		r = row ? 0 : fetch(ix, ino, ret, err);
	if (r < 0)
		return r;
	if (r == 0 && (!row || !row->there))
		return error_set(err, ERR_NOT_FOUND, "inode %llu is not in the spool's index", (unsigned long long)ino);
	ret->ino = ino;
	return 0;
}

int index_put(struct index *ix, const struct index_inode *inode, struct error *err)
{
	sqlite3_stmt *stmt;
	buf_clear(&ix->scratch);
	index_inode_encode(inode, &ix->scratch);
	if (buf_failed(&ix->scratch))
		return error_no_memory(err, "an inode of the spool");
	int r = index_begin(ix, err);
	if (r == 0)
		r = index_stmt(ix, INDEX_SQL_PUT, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, inode->ino);
	index_bind_u64(stmt, 2, inode->nlink);
	index_bind_u64(stmt, 3, inode->changed);
	index_bind_u64(stmt, 4, inode->layers.len > 0);
	index_bind_bytes(stmt, 5, ix->scratch.data, ix->scratch.len);
	r = index_run(ix, stmt, err);
	if (r == 0)
		index_rows_keep(ix, inode->ino, inode->nlink, inode->changed, ix->scratch.data, ix->scratch.len);
	else
		index_rows_forget(ix, inode->ino);
	return r;
}

int index_drop(struct index *ix, uint64_t ino, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_begin(ix, err);
	if (r == 0)
		r = index_stmt(ix, INDEX_SQL_DROP, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, ino);
	index_rows_forget(ix, ino);
	return index_run(ix, stmt, err);
}

struct staged_page {
	struct index_inode inodes[STAGED_PAGE];
	size_t count;
};

static int read_page(struct index *ix, uint64_t after, struct staged_page *page, struct error *err)
{
	sqlite3_stmt *stmt;
	page->count = 0;
	int r = index_stmt(ix, INDEX_SQL_STAGED, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, after);
	index_bind_u64(stmt, 2, STAGED_PAGE);
	while (page->count < STAGED_PAGE && (r = index_step(ix, stmt, err)) > 0) {
		struct index_inode *inode = &page->inodes[page->count];
		empty(inode);
		inode->ino = index_column_u64(stmt, 0);
		r = inode_of_row(ix, stmt, 1, inode, err);
		if (r != 0)
			break;
		page->count++;
	}
	sqlite3_reset(stmt);
	return r > 0 ? 0 : r;
}

int index_staged(struct index *ix, index_inode_fn *fn, void *arg, struct error *err)
{
	struct staged_page page = {0};
	uint64_t after = INDEX_NONE; /* -1: before the root */
	int r;
	do {
		r = read_page(ix, after, &page, err);
		for (size_t i = 0; r == 0 && i < page.count; i++)
			r = fn(arg, &page.inodes[i], err);
		if (page.count > 0)
			after = page.inodes[page.count - 1].ino;
	} while (r == 0 && page.count == STAGED_PAGE);
	for (size_t i = 0; i < STAGED_PAGE; i++)
		index_inode_release(&page.inodes[i]);
	return r;
}

/* The first column of a statement's only row; ERR_NOT_FOUND without a message where there is none. */
static int one_number(struct index *ix, sqlite3_stmt *stmt, uint64_t *ret, struct error *err)
{
	int r = index_step(ix, stmt, err);
	if (r > 0)
		*ret = index_column_u64(stmt, 0);
	sqlite3_reset(stmt);
	return r > 0 ? 0 : r == 0 ? ERR_NOT_FOUND : r;
}

int index_count(struct index *ix, uint64_t *ret_inodes, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_stmt(ix, INDEX_SQL_COUNT, &stmt, err);
	return r == 0 ? one_number(ix, stmt, ret_inodes, err) : r;
}

int index_changed_after(struct index *ix, uint64_t change, bool *ret_any, struct error *err)
{
	sqlite3_stmt *stmt;
	uint64_t any;
	if (ix->changes.last <= change || !ix->unclean || ix->changes.last > ix->opened_at) {
		*ret_any = ix->changes.last > change;
		return 0;
	}
	/* The counter only knows a bound: what the run that was cut short left tells. */
	int r = index_stmt(ix, INDEX_SQL_CHANGED_AFTER, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, change);
	r = one_number(ix, stmt, &any, err);
	if (r == 0 || r == ERR_NOT_FOUND)
		*ret_any = r == 0;
	return r == ERR_NOT_FOUND ? 0 : r;
}

int index_alias(struct index *ix, uint64_t rank, uint64_t *ret_ino, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_stmt(ix, INDEX_SQL_ALIAS, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, rank);
	r = one_number(ix, stmt, ret_ino, err);
	return r == ERR_NOT_FOUND ? error_set(err, r, "rank %llu has no other number", (unsigned long long)rank) : r;
}

int index_alias_put(struct index *ix, uint64_t rank, uint64_t ino, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_begin(ix, err);
	if (r == 0)
		r = index_stmt(ix, INDEX_SQL_ALIAS_PUT, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, rank);
	index_bind_u64(stmt, 2, ino);
	return index_run(ix, stmt, err);
}

int index_fact(struct index *ix, const char *name, struct buf *ret, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_stmt(ix, INDEX_SQL_FACT, &stmt, err);
	if (r != 0)
		return r;
	index_bind_bytes(stmt, 1, name, strlen(name));
	r = index_step(ix, stmt, err);
	if (r == 0) {
		r = error_set(err, ERR_NOT_FOUND, "the spool's index has no '%s'", name);
	} else if (r > 0) {
		const void *data = sqlite3_column_blob(stmt, 0);
		buf_clear(ret);
		buf_put(ret, data, data ? (size_t)sqlite3_column_bytes(stmt, 0) : 0);
		r = buf_failed(ret) ? error_no_memory(err, "a fact of the spool") : 0;
	}
	sqlite3_reset(stmt);
	return r;
}

int index_fact_put(struct index *ix, const char *name, const void *data, size_t len, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_begin(ix, err);
	if (r == 0)
		r = index_stmt(ix, INDEX_SQL_FACT_PUT, &stmt, err);
	if (r != 0)
		return r;
	index_bind_bytes(stmt, 1, name, strlen(name));
	index_bind_bytes(stmt, 2, data, len);
	return index_run(ix, stmt, err);
}

int index_clear(struct index *ix, struct error *err)
{
	static const enum index_sql which[] = {INDEX_SQL_CLEAR_INODES, INDEX_SQL_CLEAR_NAMES, INDEX_SQL_CLEAR_ALIASES};
	int r = index_begin(ix, err);
	index_rows_forget_all(ix);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(which); i++) {
		sqlite3_stmt *stmt;
		r = index_stmt(ix, which[i], &stmt, err);
		if (r == 0)
			r = index_run(ix, stmt, err);
	}
	return r;
}
