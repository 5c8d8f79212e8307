/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/complete.h"
#include "archive/dirlist.h"
#include "base/fileio.h"
#include "base/hex.h"

void backup_note(struct backup *b, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	pthread_mutex_lock(&b->lock);
	char **bigger =
		b->note_count < SNAPSHOT_NOTES_MAX ? reallocarray(b->notes, b->note_count + 1, sizeof(char *)) : NULL;
	if (bigger != NULL) {
		b->notes = bigger;
		b->notes[b->note_count++] = text;
		text = NULL;
	}
	pthread_mutex_unlock(&b->lock);
	free(text);
}

/* The entry's path in the dataset, as text that a note may hold. Caller frees. */
static char *path_of(const uint8_t *key, size_t len)
{
	struct buf path = {0};

	entry_key_to_path(&path, key, len);
	char *text = buf_failed(&path) ? NULL : hex_printable(path.data, path.len);
	buf_release(&path);
	return text;
}

static void add_check(struct backup *b, const char *path, const char *kind, bool ok, const char *reason)
{
	struct snapshot_check check = {.path = strdup(path), .kind = strdup(kind), .ok = ok, .reason = strdup(reason)};

	pthread_mutex_lock(&b->lock);
	struct snapshot_check *bigger = check.path == NULL || check.kind == NULL || check.reason == NULL
						? NULL
						: reallocarray(b->checks, b->check_count + 1, sizeof(*bigger));
	if (bigger != NULL) {
		b->checks = bigger;
		b->checks[b->check_count++] = check;
	}
	b->bad = b->bad || !ok; /* also when it could not be written down */
	pthread_mutex_unlock(&b->lock);
	if (bigger == NULL) {
		free(check.path);
		free(check.kind);
		free(check.reason);
	}
	if (!ok && b->options->warn != NULL)
		b->options->warn(b->options->warn_arg, path, reason);
}

static void take_verdict(struct backup *b, const char *path, bool top, enum complete_verdict verdict, const char *kind,
	const char *reason)
{
	if (verdict == COMPLETE_UNKNOWN)
		return;
	if (top)
		add_check(b, path, kind, verdict == COMPLETE_OK, reason);
	else if (verdict == COMPLETE_BAD)
		backup_note(b, "%s: %s: %s", path, kind, reason);
}

int judge_begin(struct backup *b, const struct item *item, struct complete **ret_judge, struct error *err)
{
	(void)b;
	return complete_new(item->name, strlen(item->name), item->entry.size, ret_judge, err);
}

void judge_end(struct backup *b, const struct item *item, struct complete *judge)
{
	const char *kind, *reason;
	enum complete_verdict verdict = complete_finish(judge, &kind, &reason);

	if (verdict != COMPLETE_UNKNOWN) {
		char *path = path_of(item->key.data, item->key.len);
		take_verdict(b, path == NULL ? item->name : path, item->top, verdict, kind, reason);
		free(path);
	}
	complete_free(judge);
}

void judge_unchanged(struct backup *b, const struct item *item)
{
	const struct snapshot *parent = b->parent;

	if (!item->top || parent == NULL || parent->check_count == 0)
		return;
	char *path = path_of(item->key.data, item->key.len);
	for (unsigned i = 0; path != NULL && i < parent->check_count; i++) {
		const struct snapshot_check *c = &parent->checks[i];
		if (strcmp(c->path, path) == 0)
			add_check(b, path, c->kind, c->ok, c->reason);
	}
	free(path);
}

/* ---- a folder written by pg_dump -Fd ---- */

static bool find_in_list(void *ctx, const char *name, size_t len, uint64_t *ret_size)
{
	struct dirlist *list = ctx;
	const struct dirlist_entry *d;

	dirlist_rewind(list);
	while (dirlist_next(list, &d, NULL) == 0 && d != NULL) {
		if (strlen(d->name) == len && memcmp(d->name, name, len) == 0) {
			*ret_size = (uint64_t)d->st.st_size;
			return d->stat_errno == 0 && S_ISREG(d->st.st_mode);
		}
	}
	return false;
}

/* The bytes of a file in the folder; empty when it is not there or cannot be read. */
static void slurp_at(struct folder *folder, const char *name, struct buf *ret)
{
	int fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	size_t got = 0;

	buf_clear(ret);
	if (fd < 0)
		return;
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= CHECK_FOLDER_BYTES &&
		buf_reserve(ret, (size_t)st.st_size) &&
		fileio_pread(fd, name, ret->data, (size_t)st.st_size, 0, &got, NULL) == 0)
		ret->len = got;
	close(fd);
}

static bool is_blobs_toc(const char *name)
{
	size_t n = strlen(name);

	return strncmp(name, "blobs", 5) == 0 && n > 4 && strcmp(name + n - 4, ".toc") == 0;
}

/* What of a dumped folder lies in it: its table of contents, its lists of large objects. */
struct dump_folder {
	bool has_toc, has_data;
	char blobs[256];
};

static void look(struct dirlist *list, struct dump_folder *f)
{
	const struct dirlist_entry *d;

	*f = (struct dump_folder){0};
	while (dirlist_next(list, &d, NULL) == 0 && d != NULL) {
		if (d->stat_errno != 0 || !S_ISREG(d->st.st_mode))
			continue;
		f->has_toc = f->has_toc || strcmp(d->name, "toc.dat") == 0;
		f->has_data = f->has_data || complete_pgdir_name(d->name, strlen(d->name));
		if (is_blobs_toc(d->name))
			snprintf(f->blobs, sizeof(f->blobs), "%s", d->name);
	}
	dirlist_rewind(list);
}

void judge_folder(struct backup *b, struct folder *folder, const struct buf *prefix, struct dirlist *list)
{
	struct dump_folder f;
	struct buf toc = {0};
	char reason[COMPLETE_REASON_MAX];

	look(list, &f);
	if (f.has_toc)
		slurp_at(folder, "toc.dat", &toc);
	bool dump = f.has_toc ? toc.len >= 5 && memcmp(toc.data, "PGDMP", 5) == 0 : f.has_data && f.blobs[0] != '\0';
	if (dump) {
		enum complete_verdict v =
			complete_pgdir(f.has_toc ? toc.data : NULL, toc.len, find_in_list, list, reason);
		if (v == COMPLETE_OK && f.blobs[0] != '\0') {
			slurp_at(folder, f.blobs, &toc);
			v = complete_pgdir_blobs(toc.data, toc.len, find_in_list, list, reason);
		}
		struct buf path = {0};
		for (size_t i = 0; i + 1 < prefix->len; i++)
			buf_put_u8(&path, prefix->data[i] == 0 ? '/' : prefix->data[i]);
		char *text = hex_printable(path.data, path.len);
		bool top = prefix->len == 0 || memchr(prefix->data, 0, prefix->len - 1) == NULL;
		take_verdict(b, text == NULL || text[0] == '\0' ? "." : text, top, v, "pg_dump directory", reason);
		free(text);
		buf_release(&path);
	}
	buf_release(&toc);
	dirlist_rewind(list);
}
