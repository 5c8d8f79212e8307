/* SPDX-License-Identifier: MIT */
#include "archive/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "archive/snapshot_codec.h"
#include "base/checked.h"
#include "base/hex.h"

#define MEMBER(m) offsetof(struct snapshot, m)

/* In the order in which they are written. */
const struct field snapshot_fields[] = {
	{SNAP_ID, FIELD_ID, MEMBER(id), 0},
	{SNAP_SLOT, FIELD_ID, MEMBER(slot), 0},
	{SNAP_DATASET, FIELD_STR, MEMBER(dataset), SNAPSHOT_DATASET_MAX},
	{SNAP_NAME, FIELD_STR, MEMBER(name), SNAPSHOT_NAME_MAX - 1},
	{SNAP_NUMBER, FIELD_U32, MEMBER(number), SNAPSHOT_NUMBER_MAX},
	{SNAP_TIME, FIELD_S64, MEMBER(time), 0},
	{SNAP_STATE, FIELD_U32, MEMBER(state), SNAPSHOT_PARTIAL},
	{SNAP_SEQ, FIELD_U64, MEMBER(seq), UINT64_MAX - 1},
	{SNAP_PREVIOUS, FIELD_ID, MEMBER(previous), 0},
	{SNAP_HOST_TIME, FIELD_S64, MEMBER(host_time), 0},
	{SNAP_STORE_DATE, FIELD_S64, MEMBER(store_date), 0},
	{SNAP_STARTED, FIELD_S64, MEMBER(started), 0},
	{SNAP_PARENT, FIELD_ID, MEMBER(parent), 0},
	{SNAP_HOST, FIELD_STR, MEMBER(host), SNAPSHOT_TEXT_MAX},
	{SNAP_USER, FIELD_STR, MEMBER(user), SNAPSHOT_TEXT_MAX},
	{SNAP_FILES, FIELD_U64, MEMBER(files), UINT64_MAX},
	{SNAP_DIRS, FIELD_U64, MEMBER(dirs), UINT64_MAX},
	{SNAP_OTHERS, FIELD_U64, MEMBER(others), UINT64_MAX},
	{SNAP_BYTES, FIELD_U64, MEMBER(bytes), UINT64_MAX},
	{SNAP_NEW_BYTES, FIELD_U64, MEMBER(new_bytes), UINT64_MAX},
	{SNAP_STORED_BYTES, FIELD_U64, MEMBER(stored_bytes), UINT64_MAX},
	{SNAP_ARCHIVE_BYTES, FIELD_U64, MEMBER(archive_bytes), UINT64_MAX},
	{SNAP_DESCRIPTION, FIELD_STR, MEMBER(description), SNAPSHOT_TEXT_MAX},
	{SNAP_LINK_MAX, FIELD_U64, MEMBER(link_max), UINT64_MAX},
};
const size_t snapshot_field_count = ARRAY_LEN(snapshot_fields);

const struct field snapshot_top_fields[] = {
	{TOP_MODE, FIELD_U32, offsetof(struct entry, mode), UINT32_MAX},
	{TOP_UID, FIELD_U32, offsetof(struct entry, uid), UINT32_MAX},
	{TOP_GID, FIELD_U32, offsetof(struct entry, gid), UINT32_MAX},
	{TOP_USER, FIELD_STR, offsetof(struct entry, user), SNAPSHOT_TEXT_MAX},
	{TOP_GROUP, FIELD_STR, offsetof(struct entry, group), SNAPSHOT_TEXT_MAX},
	{TOP_MTIME, FIELD_TIME, offsetof(struct entry, mtime), 0},
	{TOP_CTIME, FIELD_TIME, offsetof(struct entry, ctime), 0},
	{TOP_INODE, FIELD_U64, offsetof(struct entry, inode), UINT64_MAX},
};
const size_t snapshot_top_field_count = ARRAY_LEN(snapshot_top_fields);

const struct snapshot_texts snapshot_texts[3] = {
	{SNAP_PATH, MEMBER(paths), MEMBER(path_count), SNAPSHOT_LIST_MAX},
	{SNAP_NOTE, MEMBER(notes), MEMBER(note_count), SNAPSHOT_NOTES_MAX},
	{SNAP_TAG, MEMBER(tags), MEMBER(tag_count), SNAPSHOT_LIST_MAX},
};

struct snapshot *snapshot_new(void)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->dataset = strdup("");
	s->name = strdup("");
	s->host = strdup("");
	s->user = strdup("");
	s->description = strdup("");
	s->stated_name = strdup("");
	s->top.user = strdup("");
	s->top.group = strdup("");
	s->top.xattr_ref = EXTENT_HOLE;
	if (!s->dataset || !s->name || !s->host || !s->user || !s->description || !s->stated_name || !s->top.user ||
		!s->top.group) {
		snapshot_free(s);
		return NULL;
	}
	return s;
}

static void free_texts(char **list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

static void free_checks(struct snapshot *s)
{
	for (unsigned i = 0; i < s->check_count; i++) {
		free(s->checks[i].path);
		free(s->checks[i].kind);
		free(s->checks[i].reason);
	}
	free(s->checks);
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < snapshot_field_count; i++)
		if (snapshot_fields[i].type == FIELD_STR)
			free(*(char **)((char *)s + snapshot_fields[i].offset));
	free(s->stated_name);
	free((char *)s->top.user);
	free((char *)s->top.group);
	free((uint8_t *)s->top.xattrs);
	free_texts(s->paths, s->path_count);
	free_texts(s->notes, s->note_count);
	free_texts(s->tags, s->tag_count);
	free_checks(s);
	free(s->seen);
	buf_wipe(&s->root_sealed);
	free(s);
}

/* Replaces a borrowed text by one of its own. */
static bool own_text(char **text)
{
	*text = strdup(*text ? *text : "");
	return *text != NULL;
}

static bool copy_texts(char ***list, unsigned *count, char *const *from, unsigned n)
{
	*count = 0;
	*list = n ? calloc(n, sizeof(**list)) : NULL;
	if (n && !*list)
		return false;
	for (; *count < n; (*count)++)
		if (!((*list)[*count] = strdup(from[*count])))
			return false;
	return true;
}

static bool copy_checks(struct snapshot *to, const struct snapshot *from)
{
	to->check_count = 0;
	to->checks = from->check_count ? calloc(from->check_count, sizeof(*to->checks)) : NULL;
	if (from->check_count && !to->checks)
		return false;
	for (unsigned i = 0; i < from->check_count; i++) {
		struct snapshot_check *c = &to->checks[to->check_count++];
		*c = from->checks[i];
		bool ok = own_text(&c->path);
		ok &= own_text(&c->kind);
		ok &= own_text(&c->reason);
		if (!ok)
			return false;
	}
	return true;
}

static bool copy_bytes(const void **bytes, size_t len)
{
	const void *from = *bytes;
	void *to = len ? malloc(len) : NULL;
	*bytes = to;
	if (len && !to)
		return false;
	if (len)
		memcpy(to, from, len);
	return true;
}

struct snapshot *snapshot_copy(const struct snapshot *from)
{
	struct snapshot *s = malloc(sizeof(*s));
	bool ok = true;
	if (!s)
		return NULL;
	*s = *from;
	s->root_sealed = (struct buf){0};
	memset(s->root_key, 0, sizeof(s->root_key));
	/* Every pointer is replaced before the outcome is looked at, so that a copy that failed can be freed. */
	for (size_t i = 0; i < snapshot_field_count; i++)
		if (snapshot_fields[i].type == FIELD_STR)
			ok &= own_text((char **)((char *)s + snapshot_fields[i].offset));
	ok &= own_text(&s->stated_name);
	ok &= own_text((char **)&s->top.user);
	ok &= own_text((char **)&s->top.group);
	ok &= copy_bytes((const void **)&s->top.xattrs, s->top.xattrs_len);
	ok &= copy_texts(&s->paths, &s->path_count, from->paths, from->path_count);
	ok &= copy_texts(&s->notes, &s->note_count, from->notes, from->note_count);
	ok &= copy_texts(&s->tags, &s->tag_count, from->tags, from->tag_count);
	ok &= copy_checks(s, from);
	ok &= copy_bytes((const void **)&s->seen, s->seen_count * sizeof(*s->seen));
	if (!ok) {
		snapshot_free(s);
		return NULL;
	}
	return s;
}

const char *snapshot_state_name(enum snapshot_state state)
{
	static const char *const names[] = {"whole", "incomplete", "partial", "damaged"};
	return (unsigned)state < ARRAY_LEN(names) ? names[state] : "unknown";
}

static bool is_reserved(const char *name)
{
	return strcmp(name, "at") == 0 || strcmp(name, "spool") == 0 || strcmp(name, "clones") == 0;
}

int snapshot_dataset_ok(const char *name, struct error *err)
{
	char shown[120];
	size_t len = strlen(name);
	hex_printable_to(name, len, shown, sizeof(shown));
	if (len == 0)
		return error_set(err, ERR_USAGE, "a dataset's name must not be empty");
	if (len > SNAPSHOT_DATASET_MAX)
		return error_set(err, ERR_USAGE, "'%s' is too long for a dataset's name: %d bytes at most", shown,
			SNAPSHOT_DATASET_MAX);
	if (name[0] == '.')
		return error_set(err, ERR_USAGE, "'%s' is no name for a dataset: it must not begin with a dot", shown);
	if (is_reserved(name))
		return error_set(
			err, ERR_USAGE, "'%s' is no name for a dataset: the mounted tree needs it itself", shown);
	for (size_t i = 0; i < len;) {
		size_t n = hex_utf8_length(name + i, len - i);
		if (n == 0)
			return error_set(err, ERR_USAGE, "'%s' is no name for a dataset: it is not valid UTF-8", shown);
		if (name[i] == '/')
			return error_set(
				err, ERR_USAGE, "'%s' is no name for a dataset: it must not hold a slash", shown);
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return error_set(
				err, ERR_USAGE, "'%s' is no name for a dataset: it holds a control character", shown);
		i += n;
	}
	return 0;
}
