/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/object_cache.h"
#include "archive/snapset_internal.h"
#include "archive/snapshot_void.h"

/* Does this error speak of the one object, so that all others can go on without it? */
static bool is_of_object(int status)
{
	return status == ERR_CORRUPT || status == ERR_UNSUPPORTED || status == ERR_NOT_FOUND || status == ERR_IO;
}

/* How much of a snapshot's object to keep: without its root node, when there are very many. */
static size_t kept_len(const struct fetch *f, const struct buf *content)
{
	enum { ENOUGH = 8 << 20 };
	struct cursor c = cursor_of(content->data, content->len);
	struct signed_view view;
	if (f->kind != KIND_SNAPSHOT || f->bytes < ENOUGH || !signed_split(&c, content->len, &view))
		return content->len;
	return view.whole;
}

/* Makes the content the item's own. False without memory. */
static bool take_content(struct fetch *f, struct fetched *item, const struct buf *content)
{
	buf_put(&item->content, content->data, kept_len(f, content));
	f->bytes += item->content.len;
	item->status = 0;
	return !buf_failed(&item->content);
}

static bool take_failure(struct fetched *item, int status, const struct error *why)
{
	item->status = status;
	item->why = strdup(error_text(why));
	return item->why != NULL;
}

static int take_one(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	struct fetch *f = arg;
	/* Items are in the order of `want` less what the catalog had; those lie behind. */
	struct fetched *item = &f->items[index];
	bool ok;
	if (status == 0) {
		object_cache_put(f->repo, f->catalog, f->kind, &item->id, content->data, content->len);
		ok = take_content(f, item, content);
	} else if (is_of_object(status)) {
		ok = take_failure(item, status, why);
	} else {
		return error_set(&f->err, (enum error_code)status, "%s", error_text(why));
	}
	return ok ? 0 : error_no_memory(&f->err, "reading the snapshots");
}

/* Asks the catalog first: *missing gets what it has not, whose items then stand first. */
static bool fetch_kept(struct fetch *f, struct id_list *missing)
{
	struct buf content = {0};
	size_t end = f->want.count;
	bool ok = true;
	for (size_t i = 0; ok && i < f->want.count; i++) {
		const struct id *id = &f->want.ids[i];
		if (!object_cache_get(f->repo, f->catalog, f->kind, id, &content)) {
			f->items[missing->count].id = *id;
			ok = id_list_add(missing, id);
			continue;
		}
		f->items[--end].id = *id;
		ok = take_content(f, &f->items[end], &content);
	}
	buf_release(&content);
	return ok;
}

/* What does not open as a snapshot may be a void, which is sealed under another key. */
static int fetch_voids(struct fetch *f, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct fetched *item = &f->items[i];
		struct error err = ERROR_INIT;
		struct buf content = {0};
		if (item->status != ERR_CORRUPT)
			continue;
		int rc = snapshot_void_get(f->repo, f->signers, &item->id, &content, &err);
		bool ok = true;
		if (rc == 0) {
			object_cache_put(f->repo, f->catalog, f->kind, &item->id, content.data, content.len);
			ok = take_content(f, item, &content);
		}
		buf_release(&content);
		if (!ok)
			return error_no_memory(&f->err, "reading the snapshots");
		if (rc != 0 && !is_of_object(rc))
			return error_set(&f->err, (enum error_code)rc, "%s", error_text(&err));
	}
	return 0;
}

void fetch_run(struct fetch *f)
{
	struct id_list missing = {0};
	if (f->want.count == 0)
		return;
	f->items = calloc(f->want.count, sizeof(*f->items));
	if (!f->items) {
		f->status = error_no_memory(&f->err, "reading the snapshots");
		return;
	}
	f->count = f->want.count;
	if (!fetch_kept(f, &missing))
		f->status = error_no_memory(&f->err, "reading the snapshots");
	if (f->status == 0 && missing.count > 0)
		f->status = object_get_many(f->repo, f->kind, missing.ids, missing.count, take_one, f, &f->err);
	if (f->status == 0 && f->kind == KIND_SNAPSHOT)
		f->status = fetch_voids(f, missing.count);
	id_list_release(&missing);
}

void fetch_release(struct fetch *f)
{
	for (size_t i = 0; i < f->count; i++) {
		buf_release(&f->items[i].content);
		free(f->items[i].why);
	}
	free(f->items);
	f->items = NULL;
	f->count = 0;
	id_list_release(&f->want);
}
