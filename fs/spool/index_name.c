/* SPDX-License-Identifier: MIT */

/* Rows of names, and the walks over them. */

#include <string.h>

#include "fs/spool/index_impl.h"

static int bind_name(struct index *ix, enum index_sql which, uint64_t parent, const char *name, sqlite3_stmt **ret_stmt,
	struct error *err)
{
	size_t len = strlen(name);
	if (len == 0 || len > INDEX_NAME_MAX)
		return error_set(err, ERR_USAGE, "a name of %zu bytes cannot be in the spool's index", len);
	int r = index_stmt(ix, which, ret_stmt, err);
	if (r == 0) {
		index_bind_u64(*ret_stmt, 1, parent);
		index_bind_bytes(*ret_stmt, 2, name, len);
	}
	return r;
}

int index_name(struct index *ix, uint64_t parent, const char *name, uint64_t *ret_ino, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = bind_name(ix, INDEX_SQL_NAME, parent, name, &stmt, err);
	if (r != 0)
		return r;
	r = index_step(ix, stmt, err);
	if (r > 0)
		*ret_ino = index_column_u64(stmt, 0);
	sqlite3_reset(stmt);
	return r > 0 ? 0 : r == 0 ? error_set(err, ERR_NOT_FOUND, "'%s' is not in the spool's index", name) : r;
}

int index_name_put(struct index *ix, uint64_t parent, const char *name, uint64_t ino, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_begin(ix, err);
	if (r == 0)
		r = bind_name(ix, INDEX_SQL_NAME_PUT, parent, name, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(
		stmt, 3, index_count_up(ix, &ix->cookies)); /* unused where the name is there: it keeps its own */
	index_bind_u64(stmt, 4, ino);
	return index_run(ix, stmt, err);
}

int index_name_drop(struct index *ix, uint64_t parent, const char *name, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_begin(ix, err);
	if (r == 0)
		r = bind_name(ix, INDEX_SQL_NAME_DROP, parent, name, &stmt, err);
	return r == 0 ? index_run(ix, stmt, err) : r;
}

int index_names_drop(struct index *ix, uint64_t parent, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_begin(ix, err);
	if (r == 0)
		r = index_stmt(ix, INDEX_SQL_NAMES_DROP, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, parent);
	return index_run(ix, stmt, err);
}

int index_has_names(struct index *ix, uint64_t parent, bool *ret_any, struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_stmt(ix, INDEX_SQL_HAS_NAMES, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, parent);
	r = index_step(ix, stmt, err);
	sqlite3_reset(stmt);
	if (r >= 0)
		*ret_any = r > 0;
	return r < 0 ? r : 0;
}

/* One row told to fn. The name is copied: SQLite's has no NUL, and fn may run statements of its own. */
static int tell(struct index *ix, sqlite3_stmt *stmt, index_name_fn *fn, void *arg, struct error *err)
{
	char name[INDEX_NAME_MAX + 1];
	const void *data = sqlite3_column_blob(stmt, 3);
	size_t len = data ? (size_t)sqlite3_column_bytes(stmt, 3) : 0;
	if (len == 0 || len > INDEX_NAME_MAX || memchr(data, 0, len) || memchr(data, '/', len))
		return index_corrupt(ix, "a name", err);
	memcpy(name, data, len);
	name[len] = 0;
	const struct index_name row = {
		.cookie = index_column_u64(stmt, 0),
		.parent = index_column_u64(stmt, 1),
		.ino = index_column_u64(stmt, 2),
		.name = name,
	};
	return fn(arg, &row, err);
}

static int walk(struct index *ix, enum index_sql which, uint64_t key, uint64_t after, index_name_fn *fn, void *arg,
	struct error *err)
{
	sqlite3_stmt *stmt;
	int r = index_walk_take(ix, which, &stmt, err);
	if (r != 0)
		return r;
	index_bind_u64(stmt, 1, key);
	if (which == INDEX_SQL_LIST)
		index_bind_u64(stmt, 2, after);
	int step;
	do {
		step = index_step(ix, stmt, err);
		r = step > 0 ? tell(ix, stmt, fn, arg, err) : step;
	} while (step > 0 && r == 0);
	index_walk_give(ix, which, stmt);
	return r;
}

int index_list(struct index *ix, uint64_t parent, uint64_t after, index_name_fn *fn, void *arg, struct error *err)
{
	return after > INT64_MAX ? 0 : walk(ix, INDEX_SQL_LIST, parent, after, fn, arg, err);
}

int index_list_sorted(struct index *ix, uint64_t parent, index_name_fn *fn, void *arg, struct error *err)
{
	return walk(ix, INDEX_SQL_LIST_SORTED, parent, 0, fn, arg, err);
}

int index_names_of(struct index *ix, uint64_t ino, index_name_fn *fn, void *arg, struct error *err)
{
	return walk(ix, INDEX_SQL_NAMES_OF, ino, 0, fn, arg, err);
}
