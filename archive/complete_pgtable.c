/* SPDX-License-Identifier: MIT */
/*
 * The data of one table in a folder written by pg_dump -Fd. Nothing in it
 * says what it is, so it is only looked for where the folder says so. COPY
 * data ends with a line "\." and two that are empty; what was dumped as
 * INSERTs has no such end, and is not judged.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/complete_kind.h"
#include "base/checked.h"

#define INSERT "INSERT INTO "
#define COPY_END "\n\\.\n\n\n" /* the table has no rows: without the first line end */

enum { HEAD_KEPT = sizeof(INSERT) - 1, TAIL_KEPT = sizeof(COPY_END) - 1 };

struct pgtable {
	struct complete_judgement *j;
	size_t head_len, tail_len;
	uint8_t head[HEAD_KEPT], tail[TAIL_KEPT];
};

/* It stands in place of a magic that there is not: whoever wants this kind names it. */
static enum complete_sniff pgtable_sniff(const struct complete_file *file, const uint8_t *head, size_t len, bool end)
{
	(void)file;
	(void)head;
	(void)len;
	(void)end;
	return SNIFF_NO;
}

static void *pgtable_open(const struct complete_file *file, struct complete_judgement *j)
{
	struct pgtable *d = calloc(1, sizeof(*d));

	(void)file;
	if (d != NULL)
		d->j = j;
	return d;
}

static void pgtable_feed(void *state, const uint8_t *data, size_t len)
{
	struct pgtable *d = state;
	size_t n = (size_t)min_u64(len, HEAD_KEPT - d->head_len);

	memcpy(d->head + d->head_len, data, n);
	d->head_len += n;

	n = (size_t)min_u64(len, TAIL_KEPT);
	size_t keep = (size_t)min_u64(d->tail_len, TAIL_KEPT - n);
	memmove(d->tail, d->tail + d->tail_len - keep, keep);
	memcpy(d->tail + keep, data + len - n, n);
	d->tail_len = keep + n;
}

/* One zero is like another: all but as many as head and tail can hold need not be seen. */
static uint64_t pgtable_zeros(void *state, uint64_t len)
{
	(void)state;
	return len > HEAD_KEPT + TAIL_KEPT ? len - HEAD_KEPT - TAIL_KEPT : 0;
}

static bool ends_as_copy(const struct pgtable *d)
{
	if (d->tail_len == TAIL_KEPT)
		return memcmp(d->tail, COPY_END, TAIL_KEPT) == 0;
	return d->tail_len == TAIL_KEPT - 1 && memcmp(d->tail, &COPY_END[1], TAIL_KEPT - 1) == 0;
}

/* Two line ends are all that a table without rows has. */
static bool begins_as_inserts(const struct pgtable *d)
{
	return memcmp(d->head, INSERT, d->head_len) == 0 || (d->head_len == 2 && memcmp(d->head, "\n\n", 2) == 0);
}

static void pgtable_finish(void *state)
{
	struct pgtable *d = state;

	if (d->head_len == 0)
		complete_bad(d->j, "is empty");
	else if (ends_as_copy(d))
		complete_good(d->j);
	else if (begins_as_inserts(d))
		complete_unjudged(d->j);
	else
		complete_bad(d->j, "ends in the middle of its table's data: it was cut short or damaged");
}

const struct complete_kind complete_kind_pgtable = {
	.name = COMPLETE_KIND_TABLE,
	.sniff = pgtable_sniff,
	.open = pgtable_open,
	.feed = pgtable_feed,
	.zeros = pgtable_zeros,
	.finish = pgtable_finish,
	.free = free,
};
