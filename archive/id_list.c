/* SPDX-License-Identifier: MIT */
#include "archive/id_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

bool id_list_add_all(struct id_list *list, const struct id *ids, size_t count)
{
	size_t need = 0;
	if (count == 0)
		return true;
	if (!checked_add_size(list->count, count, &need))
		return false;
	if (need > list->cap) {
		struct id *more = reallocarray(list->ids, need, sizeof(*more));
		if (!more)
			return false;
		list->ids = more;
		list->cap = need;
	}
	memcpy(list->ids + list->count, ids, count * sizeof(*ids));
	list->count = need;
	return true;
}

static int compare(const void *a, const void *b)
{
	return id_compare(a, b);
}

void id_list_sort(struct id_list *list)
{
	size_t kept = 0;
	if (list->count < 2)
		return;
	qsort(list->ids, list->count, sizeof(*list->ids), compare);
	for (size_t i = 1; i < list->count; i++)
		if (!id_equal(&list->ids[kept], &list->ids[i]))
			list->ids[++kept] = list->ids[i];
	list->count = kept + 1;
}

bool id_list_insert(struct id_list *list, const struct id *id)
{
	size_t low = 0, high = list->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (id_compare(&list->ids[middle], id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < list->count && id_equal(&list->ids[low], id))
		return true;
	if (!id_list_add(list, id))
		return false;
	memmove(&list->ids[low + 1], &list->ids[low], (list->count - 1 - low) * sizeof(*id));
	list->ids[low] = *id;
	return true;
}

bool id_list_equal(const struct id_list *a, const struct id_list *b)
{
	return a->count == b->count && (a->count == 0 || memcmp(a->ids, b->ids, a->count * sizeof(*a->ids)) == 0);
}

bool id_list_has_all(const struct id_list *list, const struct id_list *part)
{
	for (size_t i = 0; i < part->count; i++)
		if (!id_list_has(list, &part->ids[i]))
			return false;
	return true;
}

bool id_list_minus(struct id_list *ret, const struct id_list *a, const struct id_list *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (!id_list_has(b, &a->ids[i]) && !id_list_add(ret, &a->ids[i]))
			return false;
	return true;
}

bool id_list_unpack(struct id_list *ret, const uint8_t *data, size_t len)
{
	/* Bytes from a decoder stand at any address; an id is bytes as well, so this is allowed. */
	return len % sizeof(struct id) == 0 && id_list_add_all(ret, (const struct id *)data, len / sizeof(struct id));
}
