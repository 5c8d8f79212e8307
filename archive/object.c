/* SPDX-License-Identifier: MIT */
#include "archive/object.h"

#include <string.h>
#include <zstd.h>

#include "archive/object_part.h"
#include "archive/wave.h"
#include "base/host.h"

enum {
	BODY_HEAD_LEN = 1 + 8 + 8,
	OBJECT_LEVEL = 3,
	BODY_PLAIN = 0,
	BODY_ZSTD = 1,
};

void object_draw(
	const struct repo *repo, enum object_kind kind, uint8_t ret_key[static FORMAT_KEY_LEN], struct id *ret_id)
{
	host_random(ret_key, FORMAT_KEY_LEN);
	seal_object_id(kind, repo->config.repository, repo->config.cipher, ret_key, ret_id);
}

static struct seal_place body_place(const struct repo *repo, enum object_kind kind, const struct id *id)
{
	return (struct seal_place){.cipher = repo->config.cipher,
		.kind = kind,
		.repository = repo->config.repository,
		.object = id,
		.offset = FORMAT_HEADER_LEN};
}

/* Appends the unsealed body: head, content (compressed where that is shorter), zeros. */
static bool body_put(struct buf *b, const void *content, size_t len)
{
	size_t start = b->len, bound = ZSTD_compressBound(len);
	buf_put_u8(b, BODY_ZSTD);
	buf_put_u64(b, len);
	buf_put_u64(b, 0);
	if (!buf_reserve(b, bound))
		return false;
	size_t stored = ZSTD_compress(b->data + b->len, bound, content, len, OBJECT_LEVEL);
	if (ZSTD_isError(stored) || stored >= len) {
		b->data[start] = BODY_PLAIN;
		stored = len;
		buf_put(b, content, len);
	} else {
		b->len += stored;
	}
	if (buf_failed(b))
		return false;
	for (unsigned i = 0; i < 8; i++)
		b->data[start + 9 + i] = (uint8_t)((uint64_t)stored >> (8 * i));
	size_t used = b->len - start;
	buf_put_zeros(b, (size_t)format_padme(used) - used);
	return !buf_failed(b);
}

/* What was sealed is opened again and compared before anyone sees it: memory that lies is found here, not in a
 * disaster. */
static int seal_check(const struct repo *repo, enum object_kind kind, const struct id *id,
	const uint8_t key[static FORMAT_KEY_LEN], const struct buf *object, const void *content, size_t len,
	struct error *err)
{
	struct buf opened = {0};
	int rc = object_unseal(repo, kind, id, key, object->data, object->len, &opened, err);
	if (rc == 0 && (opened.len != len || (len > 0 && memcmp(opened.data, content, len) != 0)))
		rc = error_set(err, ERR_BUG,
			"what was sealed does not open to what it was: this machine's memory or "
			"processor may be failing");
	buf_release(&opened);
	return rc;
}

int object_seal(const struct repo *repo, enum object_kind kind, const struct id *id,
	const uint8_t key[static FORMAT_KEY_LEN], const void *content, size_t len, struct buf *ret, struct error *err)
{
	struct object_header header = {.kind = (uint8_t)kind,
		.version = FORMAT_VERSION,
		.trailer = (uint8_t)repo->config.trailer,
		.cipher = (uint8_t)repo->config.cipher};
	struct seal_place place = body_place(repo, kind, id);
	if (len > OBJECT_MAX)
		return error_set(err, ERR_BUG, "a small object of %zu bytes", len);
	buf_clear(ret);
	object_header_put(ret, &header);
	if (!body_put(ret, content, len) || !buf_reserve(ret, FORMAT_TAG_LEN))
		return error_no_memory(err, "an object");
	uint8_t *body = ret->data + FORMAT_HEADER_LEN;
	int rc = seal_bytes(key, &place, body, ret->len - FORMAT_HEADER_LEN, body, err);
	if (rc != 0)
		return rc;
	ret->len += FORMAT_TAG_LEN;
	object_trailer_put(ret, repo->config.trailer);
	if (buf_failed(ret))
		return error_no_memory(err, "an object");
	return seal_check(repo, kind, id, key, ret, content, len, err);
}

/* Unpacks an opened body, appended to *ret (empty before). */
static int body_read(const struct buf *body, const char *name, struct buf *ret, struct error *err)
{
	struct cursor c = cursor_of(body->data, body->len);
	uint8_t compression = cursor_u8(&c);
	uint64_t content = cursor_u64(&c), stored = cursor_u64(&c);
	if (cursor_failed(&c) || content > OBJECT_MAX || stored > cursor_left(&c))
		return error_set(err, ERR_CORRUPT, "'%s' is not well-formed", name);
	const uint8_t *bytes = cursor_bytes(&c, (size_t)stored);
	if (compression > BODY_ZSTD)
		return error_set(err, ERR_UNSUPPORTED, "'%s' is compressed in an unknown way (%u)", name, compression);
	if (compression == BODY_PLAIN && stored != content)
		return error_set(err, ERR_CORRUPT, "'%s' is not well-formed", name);
	if (!buf_reserve(ret, (size_t)content))
		return error_no_memory(err, "an object");
	if (compression == BODY_PLAIN) {
		buf_put(ret, bytes, (size_t)content);
		return 0;
	}
	size_t got = ZSTD_decompress(ret->data, (size_t)content, bytes, (size_t)stored);
	if (ZSTD_isError(got) || got != content)
		return error_set(err, ERR_CORRUPT, "'%s' does not unpack", name);
	ret->len = got;
	return 0;
}

int object_unseal(const struct repo *repo, enum object_kind kind, const struct id *id,
	const uint8_t key[static FORMAT_KEY_LEN], const void *object, size_t len, struct buf *ret, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	struct object_header header;
	struct seal_place place = body_place(repo, kind, id);
	struct buf body = {0};
	object_name(kind, 0, id, name);
	int rc = object_verify(object, len, (int)kind, name, &header, err);
	if (rc != 0)
		return rc;
	size_t sealed = len - FORMAT_HEADER_LEN - FORMAT_TRAILER_LEN;
	if (header.cipher != repo->config.cipher || sealed < FORMAT_TAG_LEN + BODY_HEAD_LEN || len > OBJECT_STORED_MAX)
		return error_set(err, ERR_CORRUPT, "'%s' is not well-formed", name);
	if (!buf_reserve(&body, sealed))
		return error_no_memory(err, "an object");
	rc = seal_open(key, &place, (const uint8_t *)object + FORMAT_HEADER_LEN, sealed, body.data, err);
	if (rc != 0) {
		error_wrap(err, rc, "'%s'", name);
	} else {
		body.len = sealed - FORMAT_TAG_LEN;
		buf_clear(ret);
		rc = body_read(&body, name, ret, err);
	}
	buf_release(&body);
	return rc;
}

int object_put(struct repo *repo, enum object_kind kind, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN],
	const void *content, size_t len, struct store_reply *reply, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	struct buf object = {0};
	int rc = object_seal(repo, kind, id, key, content, len, &object, err);
	if (rc == 0)
		rc = object_put_wrap(repo, id, key, err);
	object_name(kind, 0, id, name);
	if (rc == 0)
		rc = store_put_mem(repo->store, NULL, name, object.data, object.len, reply, err);
	buf_release(&object);
	return rc;
}

void object_parts_fetch(struct object_parts *p, size_t part)
{
	char name[FORMAT_NAME_MAX];
	if (part == OBJECT_PART_KEY) {
		p->status[part] = object_get_key(p->repo, p->kind, &p->id, p->key, &p->err[part]);
		return;
	}
	object_name(p->kind, 0, &p->id, name);
	p->status[part] = store_get_all(p->repo->store, NULL, name, OBJECT_STORED_MAX, &p->object, &p->err[part]);
}

int object_parts_open(struct object_parts *p, struct buf *ret, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	object_name(p->kind, 0, &p->id, name);
	const int *status = p->status;
	if (status[OBJECT_PART_BODY] != 0)
		return error_set(
			err, (enum error_code)status[OBJECT_PART_BODY], "%s", error_text(&p->err[OBJECT_PART_BODY]));
	/* Who sees the object can open it: the wrap was put first. One that is missing now is damage, not absence. */
	if (status[OBJECT_PART_KEY] == ERR_NOT_FOUND)
		return error_set(err, ERR_CORRUPT, "the wrapped key of '%s' is missing: %s", name,
			error_text(&p->err[OBJECT_PART_KEY]));
	if (status[OBJECT_PART_KEY] != 0)
		return error_set(err, (enum error_code)status[OBJECT_PART_KEY], "the key of '%s': %s", name,
			error_text(&p->err[OBJECT_PART_KEY]));
	return object_unseal(p->repo, p->kind, &p->id, p->key, p->object.data, p->object.len, ret, err);
}

void object_parts_reset(struct object_parts *p)
{
	buf_release(&p->object);
	host_wipe(p->key, sizeof(p->key));
	error_clear(&p->err[0]);
	error_clear(&p->err[1]);
}

static void object_get_part(void *arg, size_t index)
{
	object_parts_fetch(arg, index);
}

int object_get(struct repo *repo, enum object_kind kind, const struct id *id, struct buf *ret, struct error *err)
{
	struct object_parts p = {.repo = repo, .kind = kind, .id = *id};
	wave_run(wave_threads(repo->store), OBJECT_PARTS, object_get_part, &p);
	int rc = object_parts_open(&p, ret, err);
	object_parts_reset(&p);
	return rc;
}
