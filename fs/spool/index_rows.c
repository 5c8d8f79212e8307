/* SPDX-License-Identifier: MIT */

/* Rows of inodes that were read or written last, so that asking for one again costs no statement. */

#include "fs/spool/index_impl.h"

static struct index_row *slot_of(struct index *ix, uint64_t ino)
{
	return &ix->rows[ino % INDEX_ROWS_KEPT];
}

const struct index_row *index_rows_find(const struct index *ix, uint64_t ino)
{
	const struct index_row *row = &ix->rows[ino % INDEX_ROWS_KEPT];
	return row->known && row->ino == ino ? row : NULL;
}

void index_rows_keep(struct index *ix, uint64_t ino, uint64_t nlink, uint64_t changed, const void *data, size_t len)
{
	struct index_row *row = slot_of(ix, ino);
	buf_clear(&row->data);
	if (data)
		buf_put(&row->data, data, len);
	row->known = len <= INDEX_ROW_LARGE && !buf_failed(&row->data);
	row->there = data != NULL;
	row->ino = ino;
	row->nlink = nlink;
	row->changed = changed;
	if (!row->known)
		buf_release(&row->data);
}

void index_rows_forget(struct index *ix, uint64_t ino)
{
	struct index_row *row = slot_of(ix, ino);
	if (row->ino == ino)
		row->known = false;
}

void index_rows_forget_all(struct index *ix)
{
	for (size_t i = 0; i < INDEX_ROWS_KEPT; i++)
		ix->rows[i].known = false;
}

void index_rows_free(struct index *ix)
{
	for (size_t i = 0; i < INDEX_ROWS_KEPT; i++)
		buf_release(&ix->rows[i].data);
}
