/* SPDX-License-Identifier: MIT */

/* Copying between files here, and from snapshots: by taking the content over where that is all of it. */

#include <stdlib.h>

#include "base/checked.h"
#include "fs/spool/work_impl.h"

enum { PIECE = 1 << 20 };

/* A file of a snapshot, all of it, that could be taken over. */
struct whole {
	bool is;
	struct id at;
	struct buf key;
	uint64_t size;
};

static void whole_of(struct work *w, const struct work_copy *from, struct whole *ret)
{
	struct active *a = from->from != NULL ? from->from->a : NULL;
	if (a == NULL) {
		ret->is = true;
		ret->at = from->snapshot->id;
		ret->size = from->entry->size;
		buf_put(&ret->key, from->entry->key, from->entry->key_len);
		return;
	}
	pthread_rwlock_rdlock(&a->swap);
	work_lock(w);
	ret->is = !a->layered && !content_dirty(a->content) && !id_is_zero(&a->under) && !a->again;
	ret->at = a->under;
	ret->size = content_size(a->content);
	buf_put(&ret->key, a->under_key.data, a->under_key.len);
	work_unlock(w);
	pthread_rwlock_unlock(&a->swap);
}

static uint64_t size_now(struct active *a)
{
	pthread_rwlock_rdlock(&a->swap);
	uint64_t size = content_size(a->content);
	pthread_rwlock_unlock(&a->swap);
	return size;
}

static int open_from(struct work *w, const struct work_copy *from, const struct whole *x, struct reader_file **ret,
	struct error *err)
{
	if (from->from == NULL)
		return reader_file_open(view_reader(w->view), from->entry, ret, err);
	return work_under_open(w, &x->at, &x->key, ret, err);
}

/* ERR_BUSY: bytes have to be copied. */
static int share(struct work_file *to, const struct work_copy *from, uint64_t to_off, uint64_t len, uint64_t *ret_len,
	struct error *err)
{
	struct work *w = to->w;
	struct whole x = {0};
	struct content *content = NULL;
	int rc = ERR_BUSY;
	if (from->off != 0 || to_off != 0 || size_now(to->a) != 0)
		return rc;
	whole_of(w, from, &x);
	if (!x.is || x.size == 0 || len < x.size || buf_failed(&x.key) ||
		(from->from != NULL && from->from->a == to->a))
		goto out;
	rc = work_active_ready(w, to->a, err);
	struct content_options o = {.dir = w->data, .stage = w->stage, .size = x.size};
	if (rc == 0)
		rc = open_from(w, from, &x, &o.under, err);
	if (rc == 0)
		rc = content_open(&o, &content, err);
	if (rc == 0)
		rc = work_active_share(w, to->a, content, &x.at, &x.key, err);
	if (rc == 0) {
		work_file_wrote(to);
		*ret_len = x.size;
	}
out:
	buf_release(&x.key);
	return rc;
}

/* One of the two is NULL. */
static int copy_bytes(struct work_file *to, struct work_file *from, struct reader_file *file, const uint64_t offs[2],
	uint64_t len, uint64_t *ret_len, struct error *err)
{
	uint8_t *piece = malloc(PIECE);
	uint64_t done = 0;
	int rc = piece == NULL ? error_no_memory(err, "copying a file") : 0;
	while (rc == 0 && done < len) {
		size_t want = (size_t)min_u64(len - done, PIECE), got = 0;
		rc = from != NULL ? work_read(from, offs[0] + done, piece, want, &got, err)
				  : reader_file_read(file, offs[0] + done, piece, want, &got, err);
		if (rc == 0 && got > 0)
			rc = work_write(to, offs[1] + done, piece, got, false, err);
		if (rc < 0 || got == 0)
			break;
		done += got;
	}
	free(piece);
	if (done > 0) /* as write(2): what went is told, the error comes with the next call */
		rc = 0;
	if (rc == 0)
		*ret_len = done;
	return rc;
}

int work_copy_range(struct work_file *to, const struct work_copy *from, uint64_t to_off, uint64_t len,
	uint64_t *ret_len, struct error *err)
{
	struct reader_file *file = NULL;
	const uint64_t offs[2] = {from->off, to_off};
	struct work *w = to->w;
	uint64_t apart = from->off > to_off ? from->off - to_off : to_off - from->off;
	uint64_t size = from->from == NULL ? from->entry->size : size_now(from->from->a);
	len = min_u64(len, size - min_u64(size, from->off));
	if (from->from != NULL && from->from->a == to->a && apart < len)
		return work_fail(err, WORK_EINVAL, "a stretch cannot be copied over itself");
	work_enter(w);
	int rc = share(to, from, to_off, len, ret_len, err);
	if (rc == ERR_BUSY) {
		error_clear(err);
		rc = from->from == NULL ? reader_file_open(view_reader(w->view), from->entry, &file, err) : 0;
		if (rc == 0)
			rc = copy_bytes(to, from->from, file, offs, len, ret_len, err);
		reader_file_close(file);
	}
	work_leave(w);
	return rc;
}
