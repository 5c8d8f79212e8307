/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/feed_impl.h"

int told_next(
	const struct told *told, uint64_t at, uint64_t size, uint64_t *ret_begin, uint64_t *ret_end, struct error *err)
{
	const struct feed_reader *reader = &told->reader;
	struct error why = ERROR_INIT;
	uint64_t data = at, hole = size;

	if (reader->seek != NULL) {
		int r = reader->seek(reader->arg, at, true, &data, &why);
		if (r == ERR_NOT_FOUND)
			data = size;
		else if (r == 0 && data < size)
			r = reader->seek(reader->arg, data, false, &hole, &why);
		if (r < 0 && r != ERR_NOT_FOUND) {
			if (err != NULL)
				*err = why;
			return r;
		}
	}
	if (data < at || (data < size && hole <= data))
		return error_set(err, ERR_BUG, "a file's map of holes runs backwards");
	*ret_begin = min_u64(data, size);
	*ret_end = data < size ? min_u64(hole, size) : size;
	return 0;
}

/* What was told is a state that stands still: less than it said is a fault, and nothing that could be kept. */
static int check_size(const struct item *item, uint64_t got, struct error *err)
{
	if (got == item->entry.size)
		return 0;
	return error_set(err, ERR_IO, "'%s' ended after %llu of %llu bytes", item->name, (unsigned long long)got,
		(unsigned long long)item->entry.size);
}

static int read_all(const struct feed_reader *reader, uint8_t *dst, size_t len, size_t *ret_got, struct error *err)
{
	size_t done = 0;
	int r = 0;

	while (r == 0 && done < len) {
		size_t got = 0;
		r = reader->read(reader->arg, done, dst + done, len - done, &got, err);
		if (r == 0 && got == 0)
			break;
		done += got;
	}
	*ret_got = done;
	return r;
}

static int read_small(struct backup *b, struct item *item, struct error *err)
{
	const struct feed_reader *reader = &item->told->reader;
	size_t size = (size_t)item->entry.size;

	item->data = malloc(size + 1); /* one more, so that an empty file has some too */
	if (item->data == NULL)
		return error_no_memory(err, "a small file");
	int r = read_all(reader, item->data, size, &item->data_len, err);
	if (r == 0)
		r = check_size(item, item->data_len, err);
	if (r == 0 && reader->seek != NULL)
		r = sparse_find(item, -1, err);
	return r == 0 ? small_finish(b, item, err) : r;
}

static int read_large(struct backup *b, struct item *item, struct error *err)
{
	struct complete *judge = NULL;
	uint64_t size = 0;
	int r = judge_begin(b, item, &judge, err);

	if (r == 0)
		r = stream_read(
			b, item, -1, item->name, item->entry.size, item->told->reader.seek != NULL, judge, &size, err);
	judge_end(b, item, judge, r == 0);
	return r == 0 ? check_size(item, size, err) : r;
}

int told_read(struct backup *b, struct item *item, struct error *err)
{
	int r = item->told->judged         ? judge_taken(b, item, err)
		: item->told->old != NULL  ? patch_read(b, item, err)
		: item->work == WORK_SMALL ? read_small(b, item, err)
					   : read_large(b, item, err);

	told_close(b, item->told); /* now: the item may wait long for its turn */
	return r;
}
