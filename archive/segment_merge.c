/* SPDX-License-Identifier: MIT */
/*
 * A log-structured merge over a store: when 16 segments of about one size
 * stand, they become one of the next size, which is put first and names them;
 * then they are deleted. Cut anywhere, both stand, which is double but right,
 * and the next merge finishes the deleting. Two hosts that merge at once make
 * two segments of the same rows: again double, and right.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/object.h"
#include "archive/object_delete.h"
#include "archive/segment_internal.h"

enum {
	FAN_IN = 16,          /* as many of a tier are merged; tiers are apart by this factor */
	TIERS = 4,            /* what has grown beyond these stays as it is */
	ROW_BYTES = 44,       /* about what a chunk takes in a segment */
	MERGED_MAX = 1 << 17, /* chunks; bounds the memory of a merge */
	INPUTS_MIN = 4,       /* fewer are not worth it, where a full merge would be too large */
};

struct listed {
	struct id id;
	uint64_t chunks; /* as its size lets one guess */
};

struct listing {
	struct listed *list;
	size_t count, cap;
};

struct merging {
	struct repo *repo;
	struct catalog *catalog;
	const struct id_list *inputs; /* being fetched */
	struct segment out;
	size_t pack_cap, chunk_cap;
	struct id_list done, ancestors;
	struct error err;
};

static int take_name(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct listing *l = arg;
	struct listed one = {.chunks = size / ROW_BYTES + 1};
	if (!object_name_parse(name, "index/", &one.id))
		return 0;
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct listed *more = reallocarray(l->list, cap, sizeof(*more));
		if (!more)
			return error_no_memory(err, "the index");
		l->list = more;
		l->cap = cap;
	}
	l->list[l->count++] = one;
	return 0;
}

static unsigned tier_of(uint64_t chunks)
{
	unsigned tier = 0;
	for (; chunks >= FAN_IN; chunks /= FAN_IN)
		tier++;
	return tier;
}

/* Chooses what to merge in a tier: at least FAN_IN stand there, and the sum stays bounded. */
static int choose(const struct listing *l, unsigned tier, struct id_list *ret, struct error *err)
{
	uint64_t sum = 0;
	size_t standing = 0;
	for (size_t i = 0; i < l->count; i++) {
		if (tier_of(l->list[i].chunks) != tier)
			continue;
		standing++;
		if (sum + l->list[i].chunks > MERGED_MAX)
			continue;
		sum += l->list[i].chunks;
		if (!id_list_add(ret, &l->list[i].id))
			return error_no_memory(err, "the index");
	}
	if (standing < FAN_IN || ret->count < INPUTS_MIN)
		ret->count = 0;
	return 0;
}

/* Makes room for `more` elements behind `count`. */
static bool room(void **list, size_t *cap, size_t count, size_t more, size_t size)
{
	if (count + more <= *cap)
		return true;
	size_t want = *cap ? *cap : 64;
	while (want < count + more)
		want *= 2;
	void *bigger = reallocarray(*list, want, size);
	if (!bigger)
		return false;
	*list = bigger;
	*cap = want;
	return true;
}

static bool append(struct merging *m, const struct segment *s)
{
	struct segment *out = &m->out;
	if (!room((void **)&out->packs, &m->pack_cap, out->pack_count, s->pack_count, sizeof(*s->packs)) ||
		!room((void **)&out->chunks, &m->chunk_cap, out->chunk_count, s->chunk_count, sizeof(*s->chunks)))
		return false;
	if (s->pack_count > 0)
		memcpy(out->packs + out->pack_count, s->packs, s->pack_count * sizeof(*s->packs));
	if (s->chunk_count > 0)
		memcpy(out->chunks + out->chunk_count, s->chunks, s->chunk_count * sizeof(*s->chunks));
	out->pack_count += s->pack_count;
	out->chunk_count += s->chunk_count;
	return id_list_add(&m->done, &s->id) && id_list_add_all(&m->ancestors, s->inputs, s->input_count) &&
	       id_list_add_all(&m->ancestors, s->ancestors, s->ancestor_count);
}

/* What does not open, was merged by another host, or is of another domain stays where it is. */
static int take_one(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	struct merging *m = arg;
	struct segment *s = NULL;
	if (error_is_retryable(status) || status == ERR_CANCELLED || status == ERR_NO_MEMORY)
		return error_set(&m->err, (enum error_code)status, "%s", error_text(why));
	if (status == 0)
		status = segment_decode(m->repo, &m->inputs->ids[index], content->data, content->len, &s, NULL);
	if (status != 0)
		return 0;
	bool fits = s->domain == 0 && m->out.chunk_count + s->chunk_count <= SEGMENT_CHUNKS_MAX &&
		    m->out.pack_count + s->pack_count <= SEGMENT_PACKS_MAX;
	bool ok = !fits || append(m, s);
	segment_free(s);
	return ok ? 0 : error_no_memory(&m->err, "merging the index");
}

static int put_merged(struct merging *m)
{
	struct segment *out = &m->out;
	id_list_sort(&m->done);
	id_list_sort(&m->ancestors);
	out->inputs = m->done.ids;
	out->input_count = m->done.count;
	out->ancestors = m->ancestors.ids;
	out->ancestor_count = m->ancestors.count;
	if (out->input_count + out->ancestor_count > SEGMENT_ANCESTORS_MAX)
		out->ancestor_count = 0;
	return segment_put(m->repo, out, &m->err);
}

static int take_known(void *arg, const uint8_t *id)
{
	return id_list_add(arg, (const struct id *)id) ? 0 : ERR_NO_MEMORY;
}

/*
 * The catalog hears of the merged segment and loses the inputs, if it knew them all. If anything fails here, the next
 * sync finds out by itself.
 */
static void tell_catalog(struct merging *m)
{
	struct id_list known = {0};
	if (!m->catalog)
		return;
	bool ok = catalog_segments(m->catalog, take_known, &known, NULL) == 0;
	id_list_sort(&known);
	segment_inputs_keep(m->repo, m->catalog, &m->out);
	if (ok && id_list_has_all(&known, &m->done))
		catalog_segment_note(m->catalog, m->out.id.b, NULL);
	id_list_release(&known);
}

static int delete_inputs(struct repo *repo, struct catalog *catalog, const struct id_list *inputs, struct error *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < inputs->count; i++) {
		rc = object_delete(repo, KIND_INDEX, &inputs->ids[i], err);
		if (rc == 0 && catalog)
			catalog_segment_forget(catalog, inputs->ids[i].b, NULL);
	}
	return rc;
}

static int merge(struct repo *repo, struct catalog *catalog, const struct id_list *inputs, struct error *err)
{
	struct merging m = {.repo = repo, .catalog = catalog, .inputs = inputs};
	int rc = object_get_many(repo, KIND_INDEX, inputs->ids, inputs->count, take_one, &m, &m.err);
	if (rc == 0 && m.done.count >= 2) {
		rc = put_merged(&m);
		if (rc == 0) {
			tell_catalog(&m);
			rc = delete_inputs(repo, catalog, &m.done, &m.err);
		}
	}
	free(m.out.packs);
	free(m.out.chunks);
	id_list_release(&m.done);
	id_list_release(&m.ancestors);
	return rc == 0 ? 0 : error_set(err, (enum error_code)rc, "%s", error_text(&m.err));
}

/* Carries on a merge that was cut off between putting and deleting, as far as the catalog remembers. */
static int finish_earlier(struct repo *repo, struct catalog *catalog, const struct listing *l, struct error *err)
{
	struct id_list listed = {0}, inputs = {0}, left = {0};
	bool ok = true;
	for (size_t i = 0; ok && catalog && i < l->count; i++)
		ok = id_list_add(&listed, &l->list[i].id) &&
		     segment_inputs_recall(repo, catalog, &l->list[i].id, &inputs);
	id_list_sort(&listed);
	id_list_sort(&inputs);
	for (size_t i = 0; ok && i < inputs.count; i++)
		ok = !id_list_has(&listed, &inputs.ids[i]) || id_list_add(&left, &inputs.ids[i]);
	int rc = ok ? delete_inputs(repo, catalog, &left, err) : error_no_memory(err, "the index");
	id_list_release(&listed);
	id_list_release(&inputs);
	id_list_release(&left);
	return rc;
}

static int list_index(struct repo *repo, struct listing *l, struct error *err)
{
	l->count = 0;
	return store_list(repo->store, NULL, "index/", "", take_name, l, err);
}

int segment_merge(struct repo *repo, struct catalog *catalog, struct error *err)
{
	struct listing l = {0};
	int rc = list_index(repo, &l, err);
	if (rc == 0 && l.count > 1) {
		rc = finish_earlier(repo, catalog, &l, err);
		if (rc == 0)
			rc = list_index(repo, &l, err);
	}
	for (unsigned tier = 0; rc == 0 && tier < TIERS; tier++) {
		struct id_list inputs = {0};
		rc = choose(&l, tier, &inputs, err);
		if (rc == 0 && inputs.count > 0)
			rc = merge(repo, catalog, &inputs, err);
		id_list_release(&inputs);
	}
	free(l.list);
	return rc == 0 ? 0 : error_wrap(err, rc, "merging the index");
}
