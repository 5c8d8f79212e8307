/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "archive/object.h"
#include "base/host.h"

enum { WRAP_OBJECT_LEN = FORMAT_HEADER_LEN + SEAL_WRAP_LEN + FORMAT_TRAILER_LEN };

int object_make_wrap(const struct repo *repo, const uint8_t key[static FORMAT_KEY_LEN],
	uint8_t dst[static SEAL_WRAP_LEN], uint32_t *ret_generation, struct error *err)
{
	const struct wrap_key *w = repo_wrap_current(repo);
	int rc = seal_wrap(w->public_key, key, dst, err);
	if (rc == 0)
		*ret_generation = w->generation;
	return rc;
}

int object_put_wrap(struct repo *repo, const struct id *id, const uint8_t key[static FORMAT_KEY_LEN], struct error *err)
{
	uint8_t wrap[SEAL_WRAP_LEN];
	uint32_t generation;
	char name[FORMAT_NAME_MAX];
	struct buf object = {0};
	struct object_header header = {
		.kind = KIND_WRAP, .version = FORMAT_VERSION, .trailer = (uint8_t)repo->config.trailer};
	int rc = repo_may_write(repo, err);
	if (rc == 0)
		rc = object_make_wrap(repo, key, wrap, &generation, err);
	if (rc != 0)
		return rc;
	object_header_put(&object, &header);
	buf_put(&object, wrap, sizeof(wrap));
	object_trailer_put(&object, repo->config.trailer);
	object_name(KIND_WRAP, generation, id, name);
	rc = buf_failed(&object) ? error_no_memory(err, "a wrapped key")
				 : store_put_mem(repo->store, NULL, name, object.data, object.len, NULL, err);
	buf_release(&object);
	return rc;
}

int object_open_wrap(const struct repo *repo, enum object_kind kind, const struct id *id, uint32_t generation,
	const void *wrap, size_t len, uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct id fits;
	const struct wrap_key *w = repo_wrap_key(repo, generation);
	if (!w)
		return error_set(err, ERR_DENIED, "this key slot has no wrapping key of generation %u", generation);
	int rc = seal_unwrap(w->public_key, w->secret_key, wrap, len, key, err);
	if (rc != 0)
		return rc;
	/* An id commits to its key, so it does not matter who brought the wrap. */
	seal_object_id(kind, repo->config.repository, repo->config.cipher, key, &fits);
	if (id_equal(&fits, id))
		memcpy(ret_key, key, sizeof(key));
	else
		rc = error_set(err, ERR_CORRUPT, "a wrapped key is not the one of the object it stands for");
	host_wipe(key, sizeof(key));
	return rc;
}

static int object_get_wrap(struct repo *repo, enum object_kind kind, const struct id *id, uint32_t generation,
	uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err)
{
	uint8_t object[WRAP_OBJECT_LEN + 1];
	char name[FORMAT_NAME_MAX];
	size_t len;
	struct object_header header;
	object_name(KIND_WRAP, generation, id, name);
	int rc = store_get(repo->store, NULL, name, 0, sizeof(object), object, &len, err);
	if (rc == 0)
		rc = object_verify(object, len, KIND_WRAP, name, &header, err);
	if (rc == 0 && (len != WRAP_OBJECT_LEN || header.cipher != CIPHER_NONE))
		rc = error_set(err, ERR_CORRUPT, "'%s' has not the form of a wrapped key", name);
	if (rc != 0)
		return rc;
	rc = object_open_wrap(repo, kind, id, generation, object + FORMAT_HEADER_LEN, SEAL_WRAP_LEN, ret_key, err);
	return rc == 0 ? 0 : error_wrap(err, rc, "'%s'", name);
}

int object_get_key(struct repo *repo, enum object_kind kind, const struct id *id,
	uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err)
{
	struct error first = ERROR_INIT;
	for (unsigned i = repo->sec->wrap_count; i-- > 0;) {
		struct error why = ERROR_INIT;
		int rc = object_get_wrap(repo, kind, id, repo->sec->wraps[i].generation, ret_key, &why);
		if (rc == 0)
			return 0;
		/* That it is damaged in one generation says more than that another has none. */
		if (first.code == 0 || (first.code == ERR_NOT_FOUND && rc != ERR_NOT_FOUND))
			first = why;
	}
	return error_set(err, first.code, "%s", error_text(&first));
}
