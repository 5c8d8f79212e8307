/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"
#include "archive/wave.h"
#include "base/host.h"

/* A decoded node takes so many times its bytes at most, as a rule; what it really takes is charged then. */
enum { NODE_GROWTH = 8 };

/* One link of a chain on its way: its range and its key. */
struct part {
	const struct locator *loc;
	struct room_buf sealed;
	uint8_t *key; /* of the array in struct fetch */
	int status[2];
	struct error err[2];
};

/* Ranges and keys of one chain, fetched at once where a line lies in between. */
struct fetch {
	struct reader *r;
	enum object_kind kind;
	unsigned count;
	struct part parts[CHUNK_DEPTH_MAX + 1];
	uint8_t keys[CHUNK_DEPTH_MAX + 1][FORMAT_KEY_LEN]; /* wiped */
};

size_t load_need(const struct reader *r, enum slot_class class, const struct chunk_ref *ref, bool sealed)
{
	size_t n = sizeof(struct slot) + room_charge(ref->chain[0].plain), base = 0;

	for (unsigned i = 0; i <= ref->depth; i++) {
		n += sealed || ref->depth > 0 ? room_charge(ref->chain[i].stored) : 0;
		if (i > 0 && ref->chain[i].plain > base)
			base = ref->chain[i].plain;
	}
	/* While a chain is decoded two bases lie there at most. */
	if (ref->depth > 0)
		n += room_charge(base) * (ref->depth > 1 ? 2 : 1);
	if (class == SLOT_NODE)
		n += (size_t)ref->chain[0].plain * NODE_GROWTH;
	return n < r->cap ? n : r->cap;
}

struct kit *kit_take(struct reader *r, struct error *err)
{
	reader_lock(r);
	struct kit *kit = r->kits;
	if (kit != NULL) {
		r->kits = kit->next;
		r->kit_count--;
	}
	reader_unlock(r);
	if (kit != NULL)
		return kit;
	kit = calloc(1, sizeof(*kit));
	if (kit == NULL || chunk_decoder_new(&kit->decoder, err) != 0) {
		free(kit);
		(void)error_no_memory(err, "a decoder");
		return NULL;
	}
	return kit;
}

static void kit_free(struct kit *kit)
{
	chunk_decoder_free(kit->decoder);
	free(kit);
}

void kit_give(struct reader *r, struct kit *kit)
{
	reader_lock(r);
	bool keep = r->kit_count < KITS_KEPT_MAX;
	if (keep) {
		kit->next = r->kits;
		r->kits = kit;
		r->kit_count++;
	}
	reader_unlock(r);
	if (!keep)
		kit_free(kit);
}

void kits_free(struct reader *r)
{
	while (r->kits != NULL) {
		struct kit *next = r->kits->next;
		kit_free(r->kits);
		r->kits = next;
	}
}

int load_range(struct reader *r, enum object_kind kind, const struct id *pack, uint64_t off, size_t len, uint8_t *dst,
	struct error *err)
{
	char name[FORMAT_NAME_MAX];
	size_t got = 0;

	object_name(kind, 0, pack, name);
	int status = store_get(r->repo->store, NULL, name, off, len, dst, &got, err);
	if (status == 0 && got != len)
		status = error_set(err, ERR_CORRUPT, "'%s' is shorter than it was", name);
	reader_lock(r);
	r->stats.requests++;
	r->stats.fetched_bytes += got;
	reader_unlock(r);
	return status;
}

/* Even: the range of a part; odd: its key. */
static void fetch_one(void *arg, size_t index)
{
	struct fetch *f = arg;
	struct part *p = &f->parts[index / 2];
	struct error *err = &p->err[index % 2];

	if (index % 2 == 0)
		p->status[0] =
			load_range(f->r, f->kind, &p->loc->pack, p->loc->offset, p->loc->stored, p->sealed.data, err);
	else
		p->status[1] = keys_get(f->r->keys, f->kind, &p->loc->pack, p->key, err);
}

/* All parts; on a local store, or when only one thing is missing, without further threads. */
static int fetch_parts(struct fetch *f, struct error *err)
{
	bool wave = !f->r->local && (f->count > 1 || !keys_has(f->r->keys, &f->parts[0].loc->pack));

	wave_run(wave ? 2 * f->count : 1, 2 * (size_t)f->count, fetch_one, f);
	for (unsigned i = 0; i < 2 * f->count; i++) {
		struct part *p = &f->parts[i / 2];
		if (p->status[i % 2] == 0)
			continue;
		if (err != NULL)
			*err = p->err[i % 2];
		return p->status[i % 2];
	}
	return 0;
}

struct seal_place load_place(const struct reader *r, enum object_kind kind, const struct locator *loc)
{
	return (struct seal_place){.cipher = r->repo->config.cipher,
		.kind = kind,
		.repository = r->repo->config.repository,
		.object = &loc->pack,
		.offset = loc->offset};
}

int load_damaged(enum object_kind kind, const struct locator *loc, int status, struct error *err)
{
	char name[FORMAT_NAME_MAX];

	if (status == 0 || status == ERR_NO_MEMORY)
		return status;
	object_name(kind, 0, &loc->pack, name);
	return error_wrap(err, status, "'%s' at %llu is damaged", name, (unsigned long long)loc->offset);
}

static int decode(struct reader *r, enum object_kind kind, const struct locator *loc, uint8_t *sealed,
	const uint8_t key[static FORMAT_KEY_LEN], const void *base, size_t base_len, size_t *spare,
	struct room_buf *ret, struct error *err)
{
	struct seal_place place = load_place(r, kind, loc);
	struct kit *kit = kit_take(r, err);

	if (kit == NULL)
		return ERR_NO_MEMORY;
	int status = room_buf_new(r, loc->plain, loc->plain, spare, ret) ? 0 : error_no_memory(err, "a chunk");
	if (status == 0) {
		status = chunk_decode(
			kit->decoder, key, &place, sealed, loc->stored, base, base_len, ret->data, loc->plain, err);
		if (status != 0)
			room_buf_free(r, ret);
	}
	kit_give(r, kit);
	return load_damaged(kind, loc, status, err);
}

static int part_room(struct reader *r, struct part *p, size_t *spare, struct error *err)
{
	size_t len = p->loc->stored;

	return room_buf_new(r, len, len, spare, &p->sealed) ? 0 : error_no_memory(err, "the bytes of a chunk");
}

int load_fetch(struct reader *r, enum slot_class class, const struct locator *loc, size_t *spare,
	struct room_buf *ret_sealed, uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err)
{
	struct fetch f = {.r = r, .kind = slot_kind(class), .count = 1, .parts = {{.loc = loc, .key = ret_key}}};
	int status = part_room(r, &f.parts[0], spare, err);

	if (status == 0)
		status = fetch_parts(&f, err);
	if (status != 0)
		room_buf_free(r, &f.parts[0].sealed);
	*ret_sealed = f.parts[0].sealed;
	return status;
}

/* From the farthest base to the chunk itself. `base`, if any, is that of the last part. */
static int decode_chain(struct fetch *f, const struct slot *base, struct loaded *l, struct error *err)
{
	struct room_buf above = {0};
	const uint8_t *prefix = base != NULL ? base->chunk.data : NULL;
	size_t prefix_len = base != NULL ? base->chunk.len : 0;
	int status = 0;

	for (unsigned i = f->count; status == 0 && i-- > 0;) {
		struct part *p = &f->parts[i];
		struct room_buf plain = {0};
		status = decode(
			f->r, f->kind, p->loc, p->sealed.data, p->key, prefix, prefix_len, &l->spare, &plain, err);
		if (i == 0 && status == 0) {
			l->buf = plain;
			l->base = above;
			return 0;
		}
		room_buf_free(f->r, &above);
		above = plain;
		prefix = plain.data;
		prefix_len = p->loc->plain;
	}
	room_buf_free(f->r, &above);
	return status;
}

/* The nearest base that is decoded already, pinned; *ret_count: how many links are to be fetched. */
static struct slot *find_base(struct reader *r, const struct chunk_ref *ref, unsigned *ret_count)
{
	struct slot *s = NULL;
	unsigned i = 1;

	reader_lock(r);
	for (; i <= ref->depth; i++) {
		s = cache_find_locked(r, SLOT_CHUNK, &ref->chain[i].pack, ref->chain[i].offset);
		if (s != NULL && s->state == SLOT_READY && s->chunk.len == ref->chain[i].plain) {
			cache_ref_locked(r, s);
			break;
		}
		s = NULL;
	}
	reader_unlock(r);
	*ret_count = s != NULL ? i : ref->depth + 1u;
	return s;
}

static int load_plain(
	struct reader *r, enum slot_class class, const struct chunk_ref *ref, struct loaded *l, struct error *err)
{
	struct fetch f = {.r = r, .kind = slot_kind(class)};
	struct slot *base = find_base(r, ref, &f.count);
	int status = 0;

	for (unsigned i = 0; status == 0 && i < f.count; i++) {
		f.parts[i].loc = &ref->chain[i];
		f.parts[i].key = f.keys[i];
		status = part_room(r, &f.parts[i], &l->spare, err);
	}
	if (status == 0)
		status = fetch_parts(&f, err);
	if (status == 0)
		status = decode_chain(&f, base, l, err);
	for (unsigned i = 0; i < f.count; i++)
		room_buf_free(r, &f.parts[i].sealed);
	if (base != NULL)
		slot_put(r, base);
	host_wipe(f.keys, sizeof(f.keys));
	return status;
}

/* The plain bytes of a node become the node. */
static int make_node(
	struct reader *r, enum slot_class class, const struct chunk_ref *ref, struct loaded *l, struct error *err)
{
	char name[FORMAT_NAME_MAX];

	if (class != SLOT_NODE)
		return 0;
	int status = node_decode(l->buf.data, ref->chain[0].plain, &l->node, err);
	room_buf_free(r, &l->buf);
	if (status == 0)
		return 0;
	object_name(KIND_TREE_PACK, 0, &ref->chain[0].pack, name);
	return error_wrap(err, status, "'%s' at %llu", name, (unsigned long long)ref->chain[0].offset);
}

int load_whole(
	struct reader *r, enum slot_class class, const struct chunk_ref *ref, struct loaded *l, struct error *err)
{
	int status = load_plain(r, class, ref, l, err);

	return status == 0 ? make_node(r, class, ref, l, err) : status;
}

int load_with_key(struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint8_t *sealed,
	const uint8_t key[static FORMAT_KEY_LEN], struct loaded *l, struct error *err)
{
	int status = decode(r, slot_kind(class), &ref->chain[0], sealed, key, NULL, 0, &l->spare, &l->buf, err);

	return status == 0 ? make_node(r, class, ref, l, err) : status;
}

int load_sealed(struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint8_t *sealed, struct loaded *l,
	struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	int status = keys_get(r->keys, slot_kind(class), &ref->chain[0].pack, key, err);

	if (status == 0)
		status = load_with_key(r, class, ref, sealed, key, l, err);
	host_wipe(key, sizeof(key));
	return status;
}

void load_settle_locked(struct reader *r, struct slot *s, int status, struct loaded *l, const struct error *why)
{
	if (status == 0) {
		r->stats.decoded_bytes += s->ref.chain[0].plain;
		cache_ready_locked(r, s, &l->buf, l->node, &l->spare);
		if (s->ref.depth > 0)
			cache_keep_base_locked(r, &s->ref.chain[1], &l->base);
	} else {
		cache_fail_locked(r, s, status, why);
	}
	room_buf_free_locked(r, &l->base);
	room_give_locked(r, l->spare);
	l->spare = 0;
}
