/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_ID_LIST_H
#define ARCHIVE_ID_LIST_H

/*
 * What can be asked of two lists of ids: which of these are new, which are
 * gone, are all of them known. The list itself stands in repo_listing.h. All
 * but the first two want their lists sorted. A list belongs to one thread
 * while it changes.
 */

#include "archive/repo_listing.h"

/* Appends many. False without memory. */
bool id_list_add_all(struct id_list *list, const struct id *ids, size_t count);
/* Sorts and drops doubles. */
void id_list_sort(struct id_list *list);
/* Puts one where it belongs in a sorted list; one that is there stays alone. False without memory. */
bool id_list_insert(struct id_list *list, const struct id *id);
/* Do they hold the same? */
bool id_list_equal(const struct id_list *a, const struct id_list *b);
/* Is all of `part` in `list`? */
bool id_list_has_all(const struct id_list *list, const struct id_list *part);
/* Appends to *ret what is in `a` and not in `b`. False without memory. */
bool id_list_minus(struct id_list *ret, const struct id_list *a, const struct id_list *b);
/* Appends ids from packed bytes. False when len is no multiple of 32, or without memory. */
bool id_list_unpack(struct id_list *ret, const uint8_t *data, size_t len);

#endif
