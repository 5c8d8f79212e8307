/* SPDX-License-Identifier: MIT */
#include "archive/summary.h"

#include <stdlib.h>
#include <string.h>

#include "archive/signed.h"

enum summary_tag {
	TAG_INPUTS = 1,
	TAG_ENTRY = 2 | TLV_CRITICAL, /* id, then the content of snapshots/<id>; once a snapshot */
};

bool summary_put_entry(struct buf *b, const struct summary_entry *entry, bool with_root)
{
	struct cursor c = cursor_of(entry->data, entry->len);
	struct signed_view view;
	struct buf value = {0};
	if (!signed_split(&c, entry->len, &view))
		return false;
	buf_put(&value, &entry->id, sizeof(entry->id));
	buf_put(&value, entry->data, with_root ? entry->len : view.whole);
	if (buf_failed(&value))
		b->failed = true;
	else
		tlv_put(b, TAG_ENTRY, value.data, value.len);
	buf_release(&value);
	return true;
}

void summary_put_inputs(struct buf *b, const struct id_list *inputs)
{
	if (inputs->count > 0)
		tlv_put(b, TAG_INPUTS, inputs->ids, inputs->count * sizeof(struct id));
}

static int take_entry(struct summary *s, struct cursor *value, struct error *err)
{
	struct summary_entry entry;
	cursor_copy(value, &entry.id, sizeof(entry.id));
	if (cursor_failed(value) || s->count >= SUMMARY_ENTRIES_MAX)
		return error_set(err, ERR_CORRUPT, "a summary is malformed");
	entry.data = value->p;
	entry.len = cursor_left(value);
	if ((s->count & (s->count - 1)) == 0) {
		struct summary_entry *more = reallocarray(s->entries, s->count ? s->count * 2 : 1, sizeof(*more));
		if (!more)
			return error_no_memory(err, "a summary");
		s->entries = more;
	}
	s->entries[s->count++] = entry;
	return 0;
}

int summary_decode(const void *data, size_t len, struct summary *ret, struct error *err)
{
	struct summary s = {0};
	struct cursor c = cursor_of(data, len), value;
	uint16_t tag = 0;
	int rc = 0;
	while (rc == 0 && tlv_next(&c, &tag, &value)) {
		if (tag == TAG_ENTRY)
			rc = take_entry(&s, &value, err);
		else if (tag != TAG_INPUTS)
			rc = tlv_unknown(tag, "a summary", err);
		else if (cursor_left(&value) > SUMMARY_INPUTS_MAX * sizeof(struct id) ||
			 !id_list_unpack(&s.inputs, value.p, cursor_left(&value)))
			rc = error_set(err, ERR_CORRUPT, "a summary is malformed");
	}
	if (rc == 0 && !cursor_done(&c))
		rc = error_set(err, ERR_CORRUPT, "a summary is cut off");
	if (rc != 0) {
		summary_release(&s);
		return rc;
	}
	id_list_sort(&s.inputs);
	*ret = s;
	return 0;
}

void summary_release(struct summary *s)
{
	free(s->entries);
	id_list_release(&s->inputs);
	*s = (struct summary){0};
}
