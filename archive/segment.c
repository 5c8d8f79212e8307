/* SPDX-License-Identifier: MIT */
#include "archive/segment.h"

#include "archive/object.h"
#include "archive/signed.h"
#include "base/host.h"

int segment_put(struct repo *repo, struct segment *s, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct buf statement = {0}, content = {0};
	object_draw(repo, KIND_INDEX, key, &s->id);
	int rc = segment_encode(repo, s, &statement, err);
	if (rc == 0)
		rc = signed_put(repo, KIND_INDEX, false, &statement, &content, err);
	buf_release(&statement);
	if (rc == 0)
		rc = object_put(repo, KIND_INDEX, &s->id, key, content.data, content.len, NULL, err);
	host_wipe(key, sizeof(key));
	buf_release(&content);
	return rc == 0 ? 0 : error_wrap(err, rc, "putting an index segment");
}
