/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/writer_impl.h"
#include "base/host.h"

/* A root node larger than this does not travel inside its snapshot. */
enum { ROOT_CARRIED_MAX = 64 << 10 };

/* Keeps the sealed bytes of the node stored last: the last one of a tree is its root. */
static int remember_root(struct writer *w, const struct open_pack *pack, const struct id *id, const struct buf *sealed,
	struct error *err)
{
	pthread_mutex_lock(&w->lock);
	buf_clear(&w->root_sealed);
	buf_put(&w->root_sealed, sealed->data, sealed->len);
	bool failed = buf_failed(&w->root_sealed);
	w->root_id = *id;
	memcpy(w->root_key, pack_writer_key(pack->pack), FORMAT_KEY_LEN);
	pthread_mutex_unlock(&w->lock);
	return failed ? error_no_memory(err, "a root node") : 0;
}

static int store_new(struct writer *w, struct worker_kit *kit, const struct id *id, const void *plain, size_t len,
	struct locator *ret_loc, struct error *err)
{
	struct open_pack *pack = NULL;
	int r = chunk_encode(kit->node_encoder, plain, len, &kit->opened, NULL, err);
	bool carried = kit->opened.len + FORMAT_TAG_LEN <= ROOT_CARRIED_MAX;

	if (r == 0)
		r = packs_reserve(w, KIND_TREE_PACK, id, (uint32_t)(kit->opened.len + FORMAT_TAG_LEN), (uint32_t)len,
			&pack, ret_loc, err);
	if (r < 0)
		return r;
	buf_clear(&kit->sealed);
	r = pack_writer_fill(pack->pack, ret_loc, kit->opened.data, kit->opened.len, plain, len, kit->decoder,
		&kit->scratch, carried ? &kit->sealed : NULL, err);
	if (r == 0)
		r = remember_root(w, pack, id, &kit->sealed, err);
	if (r < 0)
		writer_fail(w, r, err);
	packs_filled(w, pack);
	return r;
}

/* The node is in no table of this session: found in the catalog, or stored now. */
static int settle_node(struct writer *w, const struct id *id, const void *plain, size_t len, struct chunk_ref *ret_ref,
	struct error *err)
{
	int r = 0;
	bool is_new = writer_lookup(w, id, ret_ref, NULL) < 0;

	if (is_new) {
		struct worker_kit *kit = writer_kit_take(w, err);
		*ret_ref = (struct chunk_ref){.id = *id};
		r = kit == NULL ? ERR_NO_MEMORY : store_new(w, kit, id, plain, len, &ret_ref->chain[0], err);
		if (kit != NULL)
			writer_kit_give(w, kit);
	}
	known_settle(&w->known, id, r, &ret_ref->chain[0], is_new);
	return r;
}

static int sink_store(struct node_sink *sink, const struct id *id, const void *plain, size_t len,
	struct chunk_ref *ret_ref, struct error *err)
{
	struct writer *w = (struct writer *)((char *)sink - offsetof(struct writer, sink));
	enum known_answer answer;
	struct chunk_ref ref = {.id = *id};
	int r = writer_status(w, err);

	if (r == 0)
		r = known_ask(&w->known, id, NULL, NULL, &ref.chain[0], &answer, err);
	if (r == 0 && answer == KNOWN_NEW)
		r = settle_node(w, id, plain, len, &ref, err);
	if (r == 0)
		*ret_ref = ref;
	return r;
}

int nodes_init(struct writer *w, struct error *err)
{
	w->sink.store = sink_store;
	w->root_key = host_secret_alloc(FORMAT_KEY_LEN);
	return w->root_key == NULL ? error_no_memory(err, "a key") : 0;
}

void nodes_release(struct writer *w)
{
	buf_release(&w->root_sealed);
	host_secret_free(w->root_key);
}

struct node_sink *writer_node_sink(struct writer *w)
{
	return &w->sink;
}

bool writer_root_node(
	struct writer *w, const struct id *node, struct buf *ret_sealed, uint8_t ret_key[static FORMAT_KEY_LEN])
{
	if (!id_equal(&w->root_id, node) || w->root_sealed.len == 0)
		return false;
	buf_put(ret_sealed, w->root_sealed.data, w->root_sealed.len);
	memcpy(ret_key, w->root_key, FORMAT_KEY_LEN);
	return !buf_failed(ret_sealed);
}
