/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/dirlist.h"
#include "base/fileio.h"
#include "base/hex.h"

/* Largest table of contents, and list of large objects, that is looked at. */
enum { TABLE_BYTES = 32 << 20 };

static const char toc_name[] = "toc.dat";
static const char toc_magic[] = "PGDMP";

/* Asked of the folder itself: one of a million large objects is found as fast as one of ten. */
static bool find_in_folder(void *ctx, const char *name, size_t len, uint64_t *ret_size)
{
	const struct folder *folder = ctx;
	char text[ENTRY_NAME_MAX + 1];
	struct stat st;

	if (!entry_name_ok((const uint8_t *)name, len))
		return false;
	memcpy(text, name, len);
	text[len] = '\0';
	if (fstatat(folder->fd, text, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	*ret_size = (uint64_t)st.st_size;
	return true;
}

/* The bytes of a file in the folder; empty when it is not there, cannot be read, or is too large. */
static void slurp_at(const struct folder *folder, const char *name, struct buf *ret)
{
	int fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	size_t got = 0;
	struct stat st;

	buf_clear(ret);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= TABLE_BYTES &&
		buf_reserve(ret, (size_t)st.st_size) &&
		fileio_pread(fd, name, ret->data, (size_t)st.st_size, 0, &got, NULL) == 0)
		ret->len = got;
	close(fd);
}

/* "blobs.toc"; since version 17 of pg_dump there may be several, as "blobs_3012.toc". */
static bool is_blobs_toc(const char *name)
{
	size_t n = strlen(name);

	return strncmp(name, "blobs", 5) == 0 && n > 4 && strcmp(name + n - 4, ".toc") == 0;
}

/* What of a dumped folder lies in it. */
struct dump_folder {
	bool has_toc, has_data, has_blobs;
};

static struct dump_folder look(struct dirlist *list)
{
	const struct dirlist_entry *d;
	struct dump_folder f = {0};

	while (dirlist_next(list, &d, NULL) == 0 && d != NULL) {
		if (d->stat_errno != 0 || !S_ISREG(d->st.st_mode))
			continue;
		f.has_toc = f.has_toc || strcmp(d->name, toc_name) == 0;
		f.has_data = f.has_data || complete_pgdir_name(d->name, strlen(d->name));
		f.has_blobs = f.has_blobs || is_blobs_toc(d->name);
	}
	dirlist_rewind(list);
	return f;
}

/* Each list of large objects, until one is bad. */
static enum complete_verdict judge_blobs(struct folder *folder, struct dirlist *list, struct buf *toc, char *reason)
{
	enum complete_verdict v = COMPLETE_OK;
	const struct dirlist_entry *d;

	while (v == COMPLETE_OK && dirlist_next(list, &d, NULL) == 0 && d != NULL) {
		if (d->stat_errno != 0 || !S_ISREG(d->st.st_mode) || !is_blobs_toc(d->name))
			continue;
		slurp_at(folder, d->name, toc);
		v = complete_pgdir_blobs(toc->data, toc->len, find_in_folder, folder, reason);
	}
	dirlist_rewind(list);
	return v;
}

char *judge_folder_path(const struct buf *prefix)
{
	struct buf path = {0};

	for (size_t i = 0; i + 1 < prefix->len; i++)
		buf_put_u8(&path, prefix->data[i] == 0 ? '/' : prefix->data[i]);
	if (prefix->len == 0)
		buf_put_u8(&path, '.');
	char *text = buf_failed(&path) ? NULL : hex_printable(path.data, path.len);
	buf_release(&path);
	return text;
}

bool judge_folder(
	struct backup *b, struct folder *folder, const struct buf *prefix, struct dirlist *list, bool *ret_known)
{
	struct dump_folder f = look(list);
	struct buf toc = {0};
	char reason[COMPLETE_REASON_MAX];

	if (f.has_toc)
		slurp_at(folder, toc_name, &toc);
	bool is_dump =
		f.has_toc ? toc.len >= sizeof(toc_magic) - 1 && memcmp(toc.data, toc_magic, sizeof(toc_magic) - 1) == 0
			  : f.has_data && f.has_blobs;
	if (is_dump) {
		enum complete_verdict v =
			complete_pgdir(f.has_toc ? toc.data : NULL, toc.len, find_in_folder, folder, reason);
		if (v == COMPLETE_OK && f.has_blobs)
			v = judge_blobs(folder, list, &toc, reason);
		char *text = judge_folder_path(prefix);
		bool top = prefix->len == 0 || memchr(prefix->data, 0, prefix->len - 1) == NULL;
		judge_dump(b, text == NULL ? "?" : text, top, v, reason);
		*ret_known = !top || judged_as_dump(b->parent, text);
		free(text);
	}
	buf_release(&toc);
	return is_dump;
}
