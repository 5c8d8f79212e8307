/* SPDX-License-Identifier: MIT */

/* The store interface's own part: what callers get above the table, and what drivers share below it. */

#include <stdlib.h>
#include <string.h>

#include "backends/driver.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/fileio.h"

/* What store_get_all() asks for at first: most objects read whole fit, and so take one round trip. */
enum { FIRST_READ = 64 * 1024 };

bool store_name_ok(const char *name)
{
	size_t len = strnlen(name, STORE_NAME_MAX + 1);

	if (len == 0 || len > STORE_NAME_MAX)
		return false;
	for (size_t at = 0; at <= len;) {
		size_t n = strcspn(name + at, "/");

		if (n == 0 || strspn(name + at, "abcdefghijklmnopqrstuvwxyz0123456789.-") != n)
			return false;
		if (name[at] == '.' && (n == 1 || (n == 2 && name[at + 1] == '.')))
			return false;
		at += n + 1;
	}
	return true;
}

int store_tmpfile(struct store *store, const char *name, int *ret_fd, struct error *err)
{
	if (!store->ops->tmpfile) {
		*ret_fd = -1;
		return 0;
	}
	return store->ops->tmpfile(store, name, ret_fd, err);
}

int store_free_space(struct store *store, uint64_t *ret_bytes, struct error *err)
{
	if (!store->ops->free_space) {
		*ret_bytes = UINT64_MAX;
		return 0;
	}
	return store->ops->free_space(store, ret_bytes, err);
}

/* One get of up to `len` bytes from where *ret ends. *ret_full: as many came as were asked for. */
static int get_more(struct store *store, const struct store_call *call, const char *name, size_t len, struct buf *ret,
	bool *ret_full, struct error *err)
{
	size_t n;

	if (!buf_reserve(ret, len))
		return error_no_memory(err, name);
	int rc = store_get(store, call, name, ret->len, len, ret->data + ret->len, &n, err);
	if (rc < 0)
		return rc;
	ret->len += n;
	*ret_full = n == len;
	return 0;
}

static int too_large(const struct store *store, const char *name, size_t max, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "object '%s' in '%s' is larger than the %zu bytes it may have", name,
		store->url, max);
}

int store_get_all(struct store *store, const struct store_call *call, const char *name, size_t max, struct buf *ret,
	struct error *err)
{
	/* One byte more than may be there, so that a full read shows that there is more. */
	size_t first = max < FIRST_READ ? max + 1 : FIRST_READ;
	uint64_t size;
	bool full = false;

	buf_clear(ret);
	int rc = get_more(store, call, name, first, ret, &full, err);
	if (rc < 0 || !full)
		return rc;
	if (max < first)
		return too_large(store, name, max, err);
	rc = store_stat(store, call, name, &size, err);
	if (rc < 0)
		return rc;
	if (size > max)
		return too_large(store, name, max, err);
	if (size <= ret->len)
		return 0;
	rc = get_more(store, call, name, (size_t)size - ret->len, ret, &full, err);
	if (rc == 0 && !full)
		rc = error_set(err, ERR_CORRUPT, "object '%s' in '%s' ends before the %zu bytes that its size says",
			name, store->url, (size_t)size);
	return rc;
}

int store_put_mem(struct store *store, const struct store_call *call, const char *name, const void *data, size_t len,
	struct store_reply *ret_reply, struct error *err)
{
	/* NULL would mean "from fd" to a driver. */
	struct store_body body = {.data = data ? data : "", .fd = -1, .len = len};

	return store_put(store, call, name, &body, ret_reply, err);
}

void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}

int store_go_on(const struct store_call *call, const char *name, struct error *err)
{
	if (!call)
		return 0;
	if (call->cancel && atomic_load(call->cancel))
		return error_set(err, ERR_CANCELLED, "work on '%s' was cancelled", name);
	if (call->deadline && clock_monotonic() >= call->deadline)
		return error_set(err, ERR_TIMEOUT, "no time is left for '%s'", name);
	return 0;
}

int store_begin(const struct store *store, const struct store_call *call, const char *name, struct error *err)
{
	if (name && !store_name_ok(name))
		return error_set(err, ERR_USAGE, "'%.*s' cannot be the name of an object in '%s'", STORE_NAME_MAX, name,
			store->url);
	return store_go_on(call, name ? name : store->url, err);
}

int store_body_read(
	const struct store_body *body, const char *name, uint64_t off, void *dst, size_t len, struct error *err)
{
	size_t n;

	if (off > body->len || len > body->len - off)
		return error_set(err, ERR_BUG, "read past the end of what is put as '%s'", name);
	if (body->data) {
		memcpy(dst, (const uint8_t *)body->data + off, len);
		return 0;
	}
	int rc = fileio_pread(body->fd, name, dst, len, off, &n, err);
	if (rc < 0)
		return rc;
	if (n < len)
		return error_set(err, ERR_IO, "the file to be stored as '%s' is shorter than the %llu bytes announced",
			name, (unsigned long long)body->len);
	return 0;
}

int store_body_load(const struct store_body *body, const char *name, uint8_t **ret_data, struct error *err)
{
	if (body->len >= SIZE_MAX)
		return error_no_memory(err, name);
	uint8_t *data = malloc(body->len ? (size_t)body->len : 1);
	if (!data)
		return error_no_memory(err, name);
	int rc = store_body_read(body, name, 0, data, (size_t)body->len, err);
	if (rc < 0) {
		free(data);
		return rc;
	}
	*ret_data = data;
	return 0;
}

size_t store_tail_len(uint64_t size)
{
	return (size_t)min_u64(size, STORE_HASH_LEN);
}

int store_body_tail(
	const struct store_body *body, const char *name, uint8_t dst[static STORE_HASH_LEN], struct error *err)
{
	size_t len = store_tail_len(body->len);

	return store_body_read(body, name, body->len - len, dst, len, err);
}

int store_taken(const struct store *store, const char *name, struct error *err)
{
	return error_set(err, ERR_EXISTS, "'%s' in '%s' is already there and holds something else", name, store->url);
}

int store_missing(const struct store *store, const char *name, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "there is no object '%s' in '%s'", name, store->url);
}

void store_release(struct store *store)
{
	free(store->url);
	free(store->local_path);
}
