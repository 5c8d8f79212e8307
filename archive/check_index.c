/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/segment.h"
#include "base/host.h"

/* A decoded segment that is held against the packs. */
struct checked_segment {
	struct check *c;
	const struct segment *s;
	const struct catalog_chunk **order; /* the chunks by pack, then offset */
	const char *name;
};

static int compare_places(const void *a, const void *b)
{
	const struct catalog_chunk *x = *(const struct catalog_chunk *const *)a;
	const struct catalog_chunk *y = *(const struct catalog_chunk *const *)b;
	int order = memcmp(x->pack, y->pack, sizeof(x->pack));
	return order != 0 ? order : x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* The chunks of a pack in the ordered list. */
static size_t first_of(const struct checked_segment *k, const uint8_t *pack)
{
	size_t low = 0, high = k->s->chunk_count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (memcmp(k->order[mid]->pack, pack, CATALOG_ID_LEN) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool same_row(const struct catalog_chunk *x, const struct pack_row *row)
{
	return memcmp(x->id, row->id.b, sizeof(x->id)) == 0 && x->offset == row->offset && x->stored == row->stored &&
	       x->plain == row->plain && x->depth == row->depth &&
	       (row->depth == 0 || memcmp(x->base, row->base.b, sizeof(x->base)) == 0);
}

static bool same_table(const struct checked_segment *k, const struct catalog_pack *p, const struct check_toc *toc)
{
	size_t first = first_of(k, p->id), i = 0;
	for (; first + i < k->s->chunk_count && memcmp(k->order[first + i]->pack, p->id, CATALOG_ID_LEN) == 0; i++)
		if (i >= toc->count || !same_row(k->order[first + i], &toc->rows[i]))
			return false;
	return i == toc->count;
}

static int check_pack_in(void *arg, const struct catalog_pack *p)
{
	struct checked_segment *k = arg;
	struct check *c = k->c;
	struct error why = ERROR_INIT;
	struct check_toc *toc = NULL;
	uint8_t key[FORMAT_KEY_LEN];
	char name[FORMAT_NAME_MAX];
	struct id id;
	memcpy(id.b, p->id, sizeof(id.b));
	object_name(KIND_DATA_PACK, 0, &id, name);
	struct check_pack *listed = check_pack_find(c, &id);
	if (!listed) {
		if (!id_list_has(&c->dead, &id))
			check_pack_lost(c, &id, k->name);
		return 0;
	}
	atomic_store(&listed->indexed, true);
	if (listed->size != p->size)
		check_tell(c, CHECK_ERROR, name,
			"%llu bytes long, and '%s' says %llu; bring it back from a copy of the repository",
			(unsigned long long)listed->size, k->name, (unsigned long long)p->size);
	int status = check_toc_get(c, &id, &toc, &why);
	if (status != 0) /* told, with the pack */
		return check_is_finding(status) ? 0 : check_stop(c, status, &why);
	if (!same_table(k, p, toc))
		check_tell(c, CHECK_ERROR, k->name, "it does not say of '%s' what the pack's own table says", name);
	status = object_open_wrap(c->repo, toc->kind, &id, p->generation, p->wrap, p->wrap_len, key, &why);
	if (status != 0)
		check_tell(c, CHECK_ERROR, k->name, "the key that it holds of '%s' does not open: %s", name,
			error_text(&why));
	host_wipe(key, sizeof(key));
	check_toc_unref(toc);
	return 0;
}

/* For bases alone, which are found by id. */
static int keep_rows(struct check *c, const struct segment *s, struct error *err)
{
	struct catalog_segment rows = {.domain = s->domain,
		.packs = s->packs,
		.pack_count = s->pack_count,
		.chunks = s->chunks,
		.chunk_count = s->chunk_count};
	memcpy(rows.id, s->id.b, sizeof(rows.id));
	return c->catalog ? catalog_segment_add(c->catalog, &rows, err) : 0;
}

static int check_segment(struct check *c, const struct segment *s, const char *name, struct error *err)
{
	struct checked_segment k = {.c = c, .s = s, .name = name};
	int status = keep_rows(c, s, err);
	if (status != 0)
		return status;
	k.order = calloc(s->chunk_count + 1, sizeof(*k.order));
	if (!k.order)
		return error_no_memory(err, "an index segment");
	for (size_t i = 0; i < s->chunk_count; i++)
		k.order[i] = &s->chunks[i];
	if (s->chunk_count > 1)
		qsort(k.order, s->chunk_count, sizeof(const struct catalog_chunk *), compare_places);
	for (size_t i = 0; status == 0 && i < s->pack_count; i++) {
		status = check_stopped(c);
		if (status == 0)
			status = check_pack_in(&k, &s->packs[i]);
	}
	free(k.order);
	return status;
}

static int take_segment(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	struct check *c = arg;
	const struct id *id = &c->names.index.ids[index];
	struct segment *s = NULL;
	struct error damage = ERROR_INIT;
	char name[FORMAT_NAME_MAX];
	object_name(KIND_INDEX, 0, id, name);
	if (check_stopped(c) != 0)
		return check_stopped(c);
	if (status != 0)
		damage = *why;
	else
		status = segment_decode_by(&c->signers, id, content->data, content->len, &s, &damage);
	if (status == ERR_NOT_FOUND) {
		check_tell(c, CHECK_NOTE, name, "taken away while it was to be checked, as a merge does");
		return 0;
	}
	if (status == ERR_DENIED && content->len > 0) {
		c->index_denied = true;
		check_tell(c, CHECK_WARNING, name, "it does not count: %s", error_text(&damage));
		return 0;
	}
	if (status != 0)
		return check_failed(c, name, status, &damage);
	status = check_segment(c, s, name, &damage);
	segment_free(s);
	return status < 0 && check_stopped(c) == 0 ? check_stop(c, status, &damage) : status;
}

static int add_fresh(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct id_list *l = arg;
	struct id id;
	(void)size;
	const char *slash = strrchr(name, '/');
	if (!slash || !id_parse(slash + 1, &id))
		return 0;
	return id_list_add(l, &id) ? 0 : error_no_memory(err, "the names of the index segments");
}

/* A merge that ran meanwhile: its segment may have come after the list, and what went into it be gone before it. */
int check_index_again(struct check *c, struct error *err)
{
	struct id_list now = {0}, fresh = {0}, *known = &c->names.index;
	int status = store_list(c->repo->store, NULL, "index/", "", add_fresh, &now, err);
	id_list_sort(&now);
	if (status == 0 && !id_list_minus(&fresh, &now, known))
		status = error_no_memory(err, "the names of the index segments");
	if (status == 0 && fresh.count > 0) {
		struct id_list before = *known;
		*known = fresh;
		status = object_get_many(c->repo, KIND_INDEX, fresh.ids, fresh.count, take_segment, c, err);
		*known = before;
	}
	id_list_release(&now);
	id_list_release(&fresh);
	return status;
}

int check_index(struct check *c, struct error *err)
{
	const struct catalog_options options = {.repository = c->repo->config.repository, .log = c->repo->log};
	int status = 0;
	if (atomic_load(&c->has_bases))
		status = catalog_open(&options, &c->catalog, err);
	if (status != 0)
		return status;
	return object_get_many(c->repo, KIND_INDEX, c->names.index.ids, c->names.index.count, take_segment, c, err);
}
