/* SPDX-License-Identifier: MIT */
#include "archive/node.h"

#include <stdlib.h>

#include "archive/node_wire.h"

void node_free(struct node *node)
{
	free(node);
}

static int order_at(const struct node *node, int32_t i, const uint8_t *key, size_t key_len)
{
	if (node->type == NODE_LEAF)
		return node_key_compare(node->list[i].key, node->list[i].key_len, key, key_len);
	return node_key_compare(node->children[i].key, node->children[i].key_len, key, key_len);
}

int32_t node_search(const struct node *node, const uint8_t *key, size_t key_len)
{
	int32_t low = 0, high = (int32_t)node->count;
	/* Below low all keys are <= key, from high on all are greater. */
	while (low < high) {
		int32_t mid = low + (high - low) / 2;
		if (order_at(node, mid, key, key_len) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low - 1;
}

int node_content(const void *plain, size_t len, const uint8_t **ret_content, size_t *ret_len, struct error *err)
{
	struct cursor c = cursor_of(plain, len);
	uint32_t content_len = cursor_u32(&c);
	const uint8_t *content = cursor_bytes(&c, content_len);
	if (!content || len > NODE_PLAIN_MAX)
		return error_set(err, ERR_CORRUPT, "a tree node is cut short or too long");
	*ret_content = content;
	*ret_len = content_len;
	return 0;
}
