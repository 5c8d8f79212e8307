/* SPDX-License-Identifier: MIT */
/*
 * A folder written by pg_dump -Fd: toc.dat, one file an entry with data, and
 * for large objects a list of files. pg_dump may compress each file, and then
 * appends to its name what toc.dat does not say.
 */
#include <stdio.h>
#include <string.h>

#include "archive/complete_kind.h"
#include "archive/complete_pgtoc.h"
#include "base/checked.h"

static const char *const suffixes[] = {"", ".gz", ".lz4", ".zst"};

enum { SUFFIX_MAX = 4 };

struct pgdir {
	complete_find_fn *find;
	void *find_ctx;
	bool may_empty; /* large objects, unlike tables, may have no bytes */
	unsigned files, missing, empty;
	char example[PGTOC_FILE_MAX + 1]; /* the first one that is missing or empty */
};

/* Looks for `name` under each suffix. Returns whether it is there; *ret_size is that of the largest. */
static bool find_any(const struct pgdir *d, const char *name, size_t len, uint64_t *ret_size)
{
	char full[PGTOC_FILE_MAX + SUFFIX_MAX];
	bool found = false;

	*ret_size = 0;
	memcpy(full, name, len);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t n = strlen(suffixes[i]);
		uint64_t size = 0;
		memcpy(full + len, suffixes[i], n);
		if (d->find(d->find_ctx, full, len + n, &size)) {
			found = true;
			*ret_size = max_u64(*ret_size, size);
		}
	}
	return found;
}

/* Keeps a name that is to be shown, without what a terminal would act on. */
static void keep_example(struct pgdir *d, const char *name, size_t len)
{
	if (d->example[0] != '\0')
		return;
	for (size_t i = 0; i < len; i++)
		d->example[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
}

/* One file that must be there; `len` is at most PGTOC_FILE_MAX. */
static void want_file(struct pgdir *d, const char *name, size_t len)
{
	uint64_t size = 0;

	d->files++;
	if (memchr(name, '/', len) != NULL || !find_any(d, name, len, &size))
		d->missing++;
	else if (size == 0 && !d->may_empty)
		d->empty++;
	else
		return;
	keep_example(d, name, len);
}

static void on_entry(void *ctx, const struct pgtoc_entry *entry)
{
	struct pgdir *d = ctx;

	if (entry->has_data && entry->file_len > 0)
		want_file(d, entry->file, entry->file_len);
}

static enum complete_verdict bad(char reason[COMPLETE_REASON_MAX], const char *text)
{
	snprintf(reason, COMPLETE_REASON_MAX, "%s", text);
	return COMPLETE_BAD;
}

/* What the search for files found. */
static enum complete_verdict judge_files(const struct pgdir *d, char reason[COMPLETE_REASON_MAX])
{
	if (d->missing > 0)
		snprintf(reason, COMPLETE_REASON_MAX,
			"lacks %u of the %u files that its table of contents names, as '%s'", d->missing, d->files,
			d->example);
	else if (d->empty > 0)
		snprintf(reason, COMPLETE_REASON_MAX, "has %u empty data files, as '%s'", d->empty, d->example);
	return d->missing + d->empty > 0 ? COMPLETE_BAD : COMPLETE_OK;
}

enum complete_verdict complete_pgdir(
	const void *toc, size_t toc_len, complete_find_fn *find, void *ctx, char reason[COMPLETE_REASON_MAX])
{
	struct pgdir d = {.find = find, .find_ctx = ctx};
	struct pgtoc t;

	reason[0] = '\0';
	if (toc == NULL)
		return bad(reason, "has no toc.dat, which pg_dump writes last: the dump was cut short");
	if (toc_len == 0)
		return bad(reason, "has an empty toc.dat: the dump was cut short");
	if (memcmp(toc, PGTOC_MAGIC, min_u64(toc_len, PGTOC_MAGIC_LEN)) != 0)
		return COMPLETE_UNKNOWN;
	pgtoc_init(&t, on_entry, &d);
	size_t used = pgtoc_feed(&t, toc, toc_len);
	/* pg_dump writes PGTOC_TAR into the folders it makes, so that alone says nothing. */
	if (t.state == PGTOC_UNSUPPORTED || (t.state == PGTOC_WHOLE && t.format == PGTOC_CUSTOM))
		return COMPLETE_UNKNOWN;
	if (t.state == PGTOC_READING)
		return bad(reason, "has a toc.dat that was cut short");
	if (t.state == PGTOC_DAMAGED || used < toc_len)
		return bad(reason, "has a damaged toc.dat");
	return judge_files(&d, reason);
}

/* Cuts "NUMBER NAME\n" off the list and returns the name; false when it is not such a line. */
static bool next_blob(const char **p, const char *end, const char **ret_name, size_t *ret_len)
{
	const char *nl = memchr(*p, '\n', (size_t)(end - *p));
	const char *name = *p;

	if (nl == NULL)
		return false;
	while (name < nl && *name >= '0' && *name <= '9')
		name++;
	if (name == *p || name == nl || *name++ != ' ' || name == nl || nl - name > PGTOC_FILE_MAX)
		return false;
	*ret_name = name;
	*ret_len = (size_t)(nl - name);
	*p = nl + 1;
	return true;
}

enum complete_verdict complete_pgdir_blobs(
	const void *toc, size_t toc_len, complete_find_fn *find, void *ctx, char reason[COMPLETE_REASON_MAX])
{
	struct pgdir d = {.find = find, .find_ctx = ctx, .may_empty = true};
	const char *p = toc, *end, *name;
	size_t len;

	reason[0] = '\0';
	if (toc_len == 0)
		return COMPLETE_OK;
	end = p + toc_len;
	while (p < end) {
		if (!next_blob(&p, end, &name, &len))
			return bad(reason, "has a damaged list of large objects");
		want_file(&d, name, len);
	}
	return judge_files(&d, reason);
}

/* Is it `digits` behind `prefix`, and then `ext`? */
static bool is_numbered(const char *name, size_t len, const char *prefix, const char *ext)
{
	size_t at = strlen(prefix), ext_len = strlen(ext);

	if (len <= at + ext_len || memcmp(name, prefix, at) != 0 || memcmp(name + len - ext_len, ext, ext_len) != 0)
		return false;
	for (; at < len - ext_len; at++)
		if (name[at] < '0' || name[at] > '9')
			return false;
	return true;
}

bool complete_pgdir_name(const char *name, size_t name_len)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t n = strlen(suffixes[i]);
		if (name_len <= n || memcmp(name + name_len - n, suffixes[i], n) != 0)
			continue;
		size_t len = name_len - n;
		if (is_numbered(name, len, "", ".dat") || is_numbered(name, len, "blob_", ".dat") ||
			is_numbered(name, len, "blobs_", ".toc") || (len == 9 && memcmp(name, "blobs.toc", len) == 0))
			return true;
	}
	return false;
}

static bool ends_with(const char *name, size_t len, const char *ext)
{
	size_t n = strlen(ext);

	return len > n && memcmp(name + len - n, ext, n) == 0;
}

enum complete_member complete_pgdir_member(
	const char *name, size_t name_len, const struct complete_kind **ret_kind, bool *ret_known)
{
	bool gzip = ends_with(name, name_len, ".gz"), zstd = ends_with(name, name_len, ".zst");

	*ret_kind = gzip ? &complete_kind_gzip : zstd ? &complete_kind_zstd : NULL;
	*ret_known = !ends_with(name, name_len, ".lz4");
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (ends_with(name, name_len, suffixes[i]) &&
			is_numbered(name, name_len - strlen(suffixes[i]), "", ".dat"))
			return MEMBER_TABLE;
	return MEMBER_OTHER;
}

bool complete_pgdir_judged(const char *name, size_t name_len)
{
	const struct complete_kind *kind;
	bool known;

	return complete_pgdir_member(name, name_len, &kind, &known) == MEMBER_TABLE ? known : kind != NULL;
}
