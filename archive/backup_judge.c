/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/backup_impl.h"
#include "archive/inspect.h"
#include "base/hex.h"

/*
 * What a statement may hold of notes and checks: it is read with every listing, and is refused over 4 MiB. Verdicts
 * that are good give way to those that are not.
 */
enum { NOTE_MAX = 1000, NOTES_BYTES = 256 << 10, CHECKS_GOOD = 1000, CHECKS_BAD = 2000, CHECKS_BYTES = 512 << 10 };

/* Ends a text after at most NOTE_MAX bytes, not in the middle of a character. */
static void cut_text(char *text)
{
	size_t n = strlen(text);

	if (n <= NOTE_MAX)
		return;
	for (n = NOTE_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
		;
	text[n] = '\0';
}

void backup_note(struct backup *b, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	cut_text(text);
	size_t len = strlen(text);
	pthread_mutex_lock(&b->lock);
	bool room = b->note_count + 1 < SNAPSHOT_NOTES_MAX && b->note_bytes + len <= NOTES_BYTES;
	char **bigger = room ? reallocarray(b->notes, b->note_count + 1, sizeof(char *)) : NULL;
	if (bigger != NULL) {
		b->notes = bigger;
		b->notes[b->note_count++] = text;
		b->note_bytes += len;
		text = NULL;
	} else {
		b->notes_dropped++;
	}
	pthread_mutex_unlock(&b->lock);
	free(text);
}

void backup_notes_end(struct backup *b)
{
	char **bigger = b->notes_dropped > 0 ? reallocarray(b->notes, b->note_count + 1, sizeof(char *)) : NULL;

	if (bigger == NULL)
		return;
	b->notes = bigger;
	if (asprintf(&b->notes[b->note_count], "and %llu more", (unsigned long long)b->notes_dropped) >= 0)
		b->note_count++;
}

char *judge_path(const uint8_t *key, size_t len)
{
	struct buf path = {0};

	entry_key_to_path(&path, key, len);
	char *text = buf_failed(&path) ? NULL : hex_printable(path.data, path.len);
	buf_release(&path);
	return text;
}

static bool check_fits_locked(const struct backup *b, size_t len, bool ok)
{
	return b->check_count < (ok ? CHECKS_GOOD : CHECKS_BAD) && b->check_bytes + len <= CHECKS_BYTES / (ok ? 2 : 1);
}

static void free_check(struct snapshot_check *c)
{
	free(c->path);
	free(c->kind);
	free(c->reason);
}

static void add_check(struct backup *b, const char *path, const char *kind, bool ok, const char *reason)
{
	struct snapshot_check check = {.path = strdup(path), .kind = strdup(kind), .ok = ok, .reason = strdup(reason)};
	bool whole = check.path != NULL && check.kind != NULL && check.reason != NULL;
	size_t len = strlen(path) + strlen(kind) + strlen(reason);

	pthread_mutex_lock(&b->lock);
	bool fits = whole && check_fits_locked(b, len, ok);
	struct snapshot_check *bigger = fits ? reallocarray(b->checks, b->check_count + 1, sizeof(*bigger)) : NULL;
	if (bigger != NULL) {
		b->checks = bigger;
		b->checks[b->check_count++] = check;
		b->check_bytes += len;
	}
	b->bad = b->bad || !ok; /* also when it could not be written down */
	pthread_mutex_unlock(&b->lock);
	if (bigger == NULL)
		free_check(&check);
	if (!ok && b->options->warn != NULL)
		b->options->warn(b->options->warn_arg, path, reason);
}

void judge_verdict(struct backup *b, const char *path, bool top, enum complete_verdict verdict, const char *kind,
	const char *reason)
{
	if (verdict == COMPLETE_UNKNOWN)
		return;
	if (top)
		add_check(b, path, kind, verdict == COMPLETE_OK, reason);
	else if (verdict == COMPLETE_BAD)
		backup_note(b, "%s%s%s%s%s", path, kind[0] ? ": " : " ", kind, kind[0] ? ": " : "", reason);
}

int judge_begin(struct backup *b, const struct item *item, struct complete **ret_judge, struct error *err)
{
	size_t len = strlen(item->name);
	/* What is told is no dump yet when its files go by; at the top they are then files like others. */
	bool alone = b->feed == NULL || !item->top;

	return item->member ? complete_new_member(item->name, len, alone, ret_judge, err)
			    : complete_new(item->name, len, item->entry.size, ret_judge, err);
}

void judge_end(struct backup *b, const struct item *item, struct complete *judge, bool whole)
{
	const char *kind, *reason;

	if (judge == NULL || !whole) {
		complete_free(judge);
		return;
	}
	enum complete_verdict verdict = complete_finish(judge, &kind, &reason);

	if (verdict != COMPLETE_UNKNOWN) {
		char *path = judge_path(item->key.data, item->key.len);
		judge_verdict(b, path == NULL ? item->name : path, item->top, verdict, kind, reason);
		free(path);
	}
	if (complete_member(judge, &kind, &reason) == COMPLETE_BAD)
		judge_member_bad(b, item->key.data, item->key.len, kind, reason);
	complete_free(judge);
}

void judge_unchanged(struct backup *b, const struct item *item)
{
	const struct snapshot *parent = b->parent;

	if (!item->top || parent == NULL || parent->check_count == 0)
		return;
	char *path = judge_path(item->key.data, item->key.len);
	for (unsigned i = 0; path != NULL && i < parent->check_count; i++) {
		const struct snapshot_check *c = &parent->checks[i];
		if (strcmp(c->path, path) == 0)
			add_check(b, path, c->kind, c->ok, c->reason);
	}
	free(path);
}

static bool called_off(void *arg)
{
	return backup_cancelled(arg);
}

int judge_tree(struct backup *b, const struct tree_root *root, struct error *err)
{
	const struct backup_options *o = b->options;
	struct inspection q = {.repo = b->repo,
		.root = root,
		.command = o->check_command,
		.dataset = o->dataset,
		.paths = o->paths,
		.path_count = o->stdin_name == NULL ? o->path_count : 0,
		.stop = called_off,
		.stop_arg = b};
	struct verdict verdict;
	char reason[COMPLETE_REASON_MAX + VERDICT_REASON_MAX];

	if (q.command == NULL || b->bad)
		return 0;
	int r = inspect_tree(&q, &verdict, err);
	if (r < 0)
		return r;
	snprintf(reason, sizeof(reason), "%s%s", verdict.good ? "" : "the check command says: ", verdict.reason);
	judge_verdict(b, SNAPSHOT_CHECK_ALL, true, verdict.good ? COMPLETE_OK : COMPLETE_BAD, "command", reason);
	return 0;
}
