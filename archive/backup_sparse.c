/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/feed_impl.h"

void sparse_next(int fd, uint64_t at, uint64_t size, uint64_t *ret_begin, uint64_t *ret_end)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

	*ret_begin = *ret_end = size;
	if (data < 0 && errno == ENXIO) /* a hole up to the end */
		return;
	hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (data < (off_t)at || hole <= data) { /* no maps here, or the file is changing: all is read */
		*ret_begin = at;
		return;
	}
	*ret_begin = min_u64((uint64_t)data, size);
	*ret_end = min_u64((uint64_t)hole, size);
}

int sparse_next_of(const struct item *item, int fd, uint64_t at, uint64_t size, uint64_t *ret_begin, uint64_t *ret_end,
	struct error *err)
{
	if (item->told != NULL)
		return told_next(item->told, at, size, ret_begin, ret_end, err);
	sparse_next(fd, at, size, ret_begin, ret_end);
	return 0;
}

static int add_run(struct item *item, uint64_t off, uint64_t len, struct error *err)
{
	struct segment_run *bigger = reallocarray(item->runs, item->run_count + 1, sizeof(*bigger));

	if (bigger == NULL)
		return error_no_memory(err, "a sparse file's map");
	item->runs = bigger;
	item->runs[item->run_count++] = (struct segment_run){.off = off, .len = len};
	return 0;
}

static bool zeros(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* Whether the runs leave out zeros only. The map and the bytes were asked for at two moments. */
static bool holes_are_empty(const struct item *item)
{
	uint64_t at = 0;

	for (size_t i = 0; i < item->run_count; i++) {
		const struct segment_run *run = &item->runs[i];
		if (!zeros(item->data + at, (size_t)(run->off - at)))
			return false;
		at = run->off + run->len;
	}
	return zeros(item->data + at, (size_t)(item->data_len - at));
}

int sparse_find(struct item *item, int fd, struct error *err)
{
	uint64_t size = item->data_len, begin, end;
	int r = 0;

	free(item->runs);
	item->runs = NULL;
	item->run_count = 0;
	for (uint64_t at = 0; r == 0 && at < size; at = end) {
		r = sparse_next_of(item, fd, at, size, &begin, &end, err);
		if (r == 0 && begin < end)
			r = add_run(item, begin, end - begin, err);
	}
	if (r == 0 && item->run_count == 0 && size > 0)
		r = add_run(item, size, 0, err); /* a hole from end to end */
	if (r == 0 && item->run_count > 0 && !holes_are_empty(item)) {
		free(item->runs);
		item->runs = NULL;
		item->run_count = 0;
	}
	return r;
}
