/* SPDX-License-Identifier: MIT */

/* Small objects as the store holds them, by name. */

#include <stdlib.h>
#include <string.h>

#include "catalog/catalog_db.h"

enum { OBJECT_MAX = 1 << 20 };

int catalog_object_put(struct catalog *catalog, const char *name, const void *data, size_t len, struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	if (len > OBJECT_MAX)
		return 0;
	int r = catalog_use_writer(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_OBJECT_PUT, &stmt, err);
	if (r != 0)
		goto out;
	stmt->driver->bind_bytes(stmt, 1, name, strlen(name));
	stmt->driver->bind_bytes(stmt, 2, data, len);
	stmt->driver->bind_int(stmt, 3, catalog_digest_object(use.db, name, data, len));
	r = stmt->driver->step(stmt, err);
	stmt->driver->reset(stmt);
out:
	return catalog_use_end(&use, r);
}

static int take_object(
	const struct catalog_db *db, struct sql_stmt *stmt, const char *name, struct buf *ret, struct error *err)
{
	size_t len;
	const void *data = stmt->driver->column_bytes(stmt, 0, &len);
	if (len > OBJECT_MAX || stmt->driver->column_int(stmt, 1) != catalog_digest_object(db, name, data, len))
		return error_set(err, ERR_CORRUPT, "the catalog's copy of '%s' is damaged", name);
	buf_clear(ret);
	buf_put(ret, data, len);
	return buf_failed(ret) ? error_no_memory(err, "an object of the catalog") : 0;
}

int catalog_object_get(struct catalog *catalog, const char *name, struct buf *ret, struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	int r = catalog_use_reader(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_OBJECT_GET, &stmt, err);
	if (r != 0)
		goto out;
	stmt->driver->bind_bytes(stmt, 1, name, strlen(name));
	r = stmt->driver->step(stmt, err);
	if (r == 1)
		r = take_object(use.db, stmt, name, ret, err);
	else if (r == 0)
		r = error_set(err, ERR_NOT_FOUND, "the catalog has no copy of '%s'", name);
	stmt->driver->reset(stmt);
out:
	return catalog_use_end(&use, r);
}

/* Names as C strings, one behind the other. */
struct names {
	struct buf text;
	size_t count;
};

/* Appends the names from `from` on that begin with `prefix`, one page of them. */
static int page_of_names(
	struct catalog *catalog, const struct buf *from, const char *prefix, struct names *names, struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	size_t len, prefix_len = strlen(prefix);
	int r = catalog_use_reader(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_OBJECT_PAGE, &stmt, err);
	if (r != 0)
		goto out;
	stmt->driver->bind_bytes(stmt, 1, from->data, from->len);
	while ((r = stmt->driver->step(stmt, err)) == 1) {
		const void *name = stmt->driver->column_bytes(stmt, 0, &len);
		if (len < prefix_len || memcmp(name, prefix, prefix_len) != 0)
			break;
		if (memchr(name, 0, len)) {
			r = error_set(err, ERR_CORRUPT, "the catalog holds an object whose name is damaged");
			break;
		}
		buf_put(&names->text, name, len);
		buf_put_u8(&names->text, 0);
		names->count++;
	}
	stmt->driver->reset(stmt);
	if (r >= 0)
		r = buf_failed(&names->text) ? error_no_memory(err, "names in the catalog") : 0;
out:
	return catalog_use_end(&use, r);
}

static int drop_object(struct catalog *catalog, const char *name, struct error *err)
{
	struct catalog_use use;
	int r = catalog_use_writer(catalog, &use, err);
	return r == 0 ? catalog_use_end(&use, catalog_use_run(&use, STMT_OBJECT_DROP, name, strlen(name), NULL, err))
		      : r;
}

int catalog_objects_sweep(struct catalog *catalog, const char *prefix, bool (*keep)(void *arg, const char *name),
	void *arg, struct error *err)
{
	struct buf from = {0};
	struct names names = {0};
	int r = 0;
	buf_put(&from, prefix, strlen(prefix));
	do {
		buf_clear(&names.text);
		names.count = 0;
		if (buf_failed(&from))
			r = error_no_memory(err, "names in the catalog");
		if (r == 0)
			r = page_of_names(catalog, &from, prefix, &names, err);
		const char *name = (const char *)names.text.data;
		for (size_t i = 0; r == 0 && i < names.count; i++, name += strlen(name) + 1) {
			if (!keep(arg, name))
				r = drop_object(catalog, name, err);
			/* The least name behind this one has one more byte, a zero. */
			buf_clear(&from);
			buf_put(&from, name, strlen(name) + 1);
		}
	} while (r == 0 && names.count == CATALOG_PAGE);
	buf_release(&names.text);
	buf_release(&from);
	return r;
}
