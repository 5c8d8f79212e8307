/* SPDX-License-Identifier: MIT */
/* Any bytes as a tree node: refused, or a node that holds together, so that a leaf encodes again to an equal one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static struct buf encoded(const struct node *leaf)
{
	struct node_encoder *e = node_encoder_new(NODE_LEAF, 0);
	struct buf b = {0};
	size_t at, len;
	for (uint32_t i = 0; i < leaf->count; i++)
		must(node_encoder_entry(e, &leaf->list[i], NULL) == 0);
	must(node_encoder_finish(e, &b, &at, &len, NULL) == 0);
	node_encoder_free(e);
	return b;
}

static void check_leaf(const struct node *leaf)
{
	struct buf first = encoded(leaf);
	struct node *again;
	must(node_decode(first.data, first.len, &again, NULL) == 0);
	must(again->entries == leaf->entries && again->dirs == leaf->dirs && again->bytes == leaf->bytes);
	struct buf second = encoded(again);
	must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	for (uint32_t i = 0; i < leaf->count; i++)
		must(node_search(again, leaf->list[i].key, leaf->list[i].key_len) == (int32_t)i);
	node_free(again);
	buf_release(&first);
	buf_release(&second);
}

static void check(const struct node *node)
{
	uint64_t sum = 0;
	must(node->count > 0);
	for (uint32_t i = 0; i < node->ref_count; i++)
		must(node->refs[i].depth <= CHUNK_DEPTH_MAX);
	for (uint32_t i = 0; node->type == NODE_INNER && i < node->count; i++) {
		must(node->children[i].before == sum && node->children[i].ref < node->ref_count);
		sum += node->children[i].entries;
		must(node_search(node, node->children[i].key, node->children[i].key_len) == (int32_t)i);
	}
	for (uint32_t i = 0; node->type == NODE_EXTENTS && i < node->count; i++)
		must(node->extents[i].ref == EXTENT_HOLE || node->extents[i].ref < node->ref_count);
	must(node->type != NODE_XATTRS || xattrs_ok(node->xattrs, node->xattrs_len));
	if (node->type == NODE_LEAF)
		check_leaf(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct node *node = NULL;
	int status = node_decode(data, size, &node, &err);
	if (status == 0)
		check(node);
	else
		must(status == ERR_CORRUPT && err.code == ERR_CORRUPT && !node);
	node_free(node);
	return 0;
}
