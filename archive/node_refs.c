/* SPDX-License-Identifier: MIT */
#include "archive/node_refs.h"

/* Ids are keyed hashes or drawn at random: any four bytes of them are a hash. */
static uint32_t id_hash(const struct id *id)
{
	uint32_t h;
	memcpy(&h, id->b, sizeof(h));
	return h;
}

static int refs_grow(struct node_refs *r, struct error *err)
{
	if (r->count < r->cap)
		return 0;
	uint32_t cap = r->cap ? r->cap * 2 : 64;
	struct chunk_ref *list = reallocarray(r->list, cap, sizeof(*list));
	if (!list)
		return error_no_memory(err, "a node's references");
	r->list = list;
	r->cap = cap;
	return 0;
}

int node_refs_add(struct node_refs *r, const struct chunk_ref *ref, uint32_t *ret_index, struct error *err)
{
	uint32_t hash = id_hash(&ref->id), at = hash, index;
	/* Neighbours share chunks: the last one is the likeliest. */
	if (r->count > 0 && memcmp(&r->list[r->count - 1].id, &ref->id, NODE_ID_LEN) == 0) {
		*ret_index = r->count - 1;
		return 0;
	}
	while (node_table_next(&r->table, hash, &at, &index)) {
		if (memcmp(&r->list[index].id, &ref->id, NODE_ID_LEN) == 0) {
			*ret_index = index;
			return 0;
		}
	}
	if (ref->depth > CHUNK_DEPTH_MAX)
		return error_set(err, ERR_BUG, "a reference claims a chain of %u", ref->depth);
	int status = refs_grow(r, err);
	if (status == 0)
		status = node_table_reserve(&r->table, err);
	if (status != 0)
		return status;
	r->list[r->count] = *ref;
	node_table_put(&r->table, hash, r->count);
	*ret_index = r->count++;
	return 0;
}

void node_refs_put_ids(const struct node_refs *r, struct buf *b)
{
	if (!buf_reserve(b, (size_t)r->count * NODE_ID_LEN))
		return;
	for (uint32_t i = 0; i < r->count; i++)
		buf_put(b, &r->list[i].id, NODE_ID_LEN);
}

/* The packs that the locators name, each once, in order of first use. */
struct pack_list {
	struct node_table table;
	const struct id **ids;
	uint32_t count;
};

static int packs_add(struct pack_list *p, const struct id *pack, uint32_t *ret_index, struct error *err)
{
	uint32_t hash = id_hash(pack), at = hash, index;
	if (p->count > 0 && memcmp(p->ids[p->count - 1], pack, NODE_ID_LEN) == 0) {
		*ret_index = p->count - 1;
		return 0;
	}
	while (node_table_next(&p->table, hash, &at, &index)) {
		if (memcmp(p->ids[index], pack, NODE_ID_LEN) == 0) {
			*ret_index = index;
			return 0;
		}
	}
	int status = node_table_reserve(&p->table, err);
	if (status != 0)
		return status;
	p->ids[p->count] = pack;
	node_table_put(&p->table, hash, p->count);
	*ret_index = p->count++;
	return 0;
}

static int put_chains(const struct node_refs *r, struct pack_list *packs, struct buf *links, struct error *err)
{
	for (uint32_t i = 0; i < r->count; i++) {
		const struct chunk_ref *ref = &r->list[i];
		uint8_t raw[1 + (CHUNK_DEPTH_MAX + 1) * 4 * NODE_VARINT_MAX], *p = raw;
		*p++ = ref->depth;
		for (unsigned k = 0; k <= ref->depth; k++) {
			uint32_t pack;
			int status = packs_add(packs, &ref->chain[k].pack, &pack, err);
			if (status != 0)
				return status;
			p = wire_put_varint(p, pack);
			p = wire_put_varint(p, ref->chain[k].offset);
			p = wire_put_varint(p, ref->chain[k].stored);
			p = wire_put_varint(p, ref->chain[k].plain);
		}
		buf_put(links, raw, (size_t)(p - raw));
	}
	return 0;
}

int node_refs_put_locators(const struct node_refs *r, struct buf *b, struct error *err)
{
	int status = 0;
	struct pack_list packs = {0};
	struct buf links = {0};
	packs.ids = reallocarray(NULL, (size_t)r->count * (CHUNK_DEPTH_MAX + 1) + 1, sizeof(*packs.ids));
	if (!packs.ids)
		return error_no_memory(err, "a node's packs");
	status = put_chains(r, &packs, &links, err);
	if (status != 0)
		goto out;
	buf_put_varint(b, packs.count);
	for (uint32_t i = 0; i < packs.count; i++)
		buf_put(b, packs.ids[i], NODE_ID_LEN);
	buf_put(b, links.data, links.len);
	if (buf_failed(&links))
		status = error_no_memory(err, "a node's locators");
out:
	buf_release(&links);
	node_table_release(&packs.table);
	free(packs.ids);
	return status;
}

void node_refs_clear(struct node_refs *r)
{
	r->count = 0;
	node_table_clear(&r->table);
}

void node_refs_release(struct node_refs *r)
{
	free(r->list);
	node_table_release(&r->table);
	*r = (struct node_refs){0};
}
