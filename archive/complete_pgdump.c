/* SPDX-License-Identifier: MIT */
/*
 * Plain pg_dump and pg_dumpall. The head says which of the two it is and the
 * key of its \restrict; the tail must be what that program writes last. The
 * middle is not looked at: it may be hundreds of gigabytes.
 */
#include <stdlib.h>
#include <string.h>

#include "archive/complete_kind.h"
#include "base/checked.h"

/*
 * The head is far larger than a dump's own header, so that a small dump in front (`pg_dumpall -g` and then
 * `pg_dump` into one file) ends within it, and the tail is held against the dump that was begun last.
 */
enum { HEAD_KEPT = 64 * 1024, TAIL_KEPT = 8 * 1024 };

#define START_DUMP "-- PostgreSQL database dump"
#define START_CLUSTER "-- PostgreSQL database cluster dump"
#define START_COMMON "-- PostgreSQL database "
#define RESTRICT "\\restrict "
#define UNRESTRICT "\\unrestrict "

struct pgdump {
	struct complete_judgement *j;
	size_t head_len, tail_len;
	char head[HEAD_KEPT];
	char tail[2 * TAIL_KEPT]; /* the last TAIL_KEPT bytes of it count */
};

/* A stretch of text, borrowed, not terminated. */
struct text {
	const char *p;
	size_t len;
};

static bool text_is(struct text t, const char *s)
{
	return t.len == strlen(s) && memcmp(t.p, s, t.len) == 0;
}

static bool text_starts(struct text t, const char *s)
{
	return t.len >= strlen(s) && memcmp(t.p, s, strlen(s)) == 0;
}

static bool text_ends(struct text t, const char *s)
{
	size_t n = strlen(s);
	return t.len >= n && memcmp(t.p + t.len - n, s, n) == 0;
}

/* Cuts the next whole line off `rest`, without its end (LF or CRLF). False when there is no whole line. */
static bool next_line(struct text *rest, struct text *ret_line)
{
	const char *nl = rest->len == 0 ? NULL : memchr(rest->p, '\n', rest->len);

	if (nl == NULL)
		return false;
	*ret_line = (struct text){rest->p, (size_t)(nl - rest->p)};
	rest->len -= ret_line->len + 1;
	rest->p = nl + 1;
	if (ret_line->len > 0 && ret_line->p[ret_line->len - 1] == '\r')
		ret_line->len--;
	return true;
}

static bool is_start(struct text line)
{
	return text_is(line, START_DUMP) || text_is(line, START_CLUSTER);
}

/* Comments, psql commands and settings: what may stand before and right behind a dump's first comment. */
static bool is_prelude(struct text line)
{
	return line.len == 0 || text_starts(line, "--") || text_starts(line, "\\") || text_starts(line, "SET ") ||
	       text_starts(line, "SELECT pg_catalog.set_config(");
}

/* The head ends inside of a line: could the whole of it still be a dump's beginning? */
static bool may_become_prelude(struct text part)
{
	return part.len == 0 || strchr("-\\S\r", part.p[0]) != NULL;
}

/* The file ends within its first lines: were they about to become those of a dump? */
static bool is_cut_header(const struct complete_file *file, struct text all, struct text part)
{
	static const char begin[] = "--\n" START_COMMON;
	size_t n = (size_t)min_u64(all.len, sizeof(begin) - 1);

	if (text_starts(part, START_COMMON))
		return strncmp(START_DUMP, part.p, part.len) == 0 || strncmp(START_CLUSTER, part.p, part.len) == 0;
	return file->named_dump && n == all.len && memcmp(all.p, begin, n) == 0;
}

static enum complete_sniff pgdump_sniff(const struct complete_file *file, const uint8_t *head, size_t len, bool end)
{
	struct text all = {(const char *)head, len}, rest = all, line;

	while (next_line(&rest, &line)) {
		if (is_start(line))
			return SNIFF_YES;
		if (!is_prelude(line))
			return SNIFF_NO;
	}
	if (end)
		return is_cut_header(file, all, rest) ? SNIFF_YES : SNIFF_NO;
	return may_become_prelude(rest) ? SNIFF_MORE : SNIFF_NO;
}

static void *pgdump_open(const struct complete_file *file, struct complete_judgement *j)
{
	struct pgdump *d = malloc(sizeof(*d));

	(void)file;
	if (d == NULL)
		return NULL;
	d->j = j;
	d->head_len = d->tail_len = 0;
	return d;
}

static void pgdump_feed(void *state, const uint8_t *data, size_t len)
{
	struct pgdump *d = state;
	size_t n = (size_t)min_u64(len, HEAD_KEPT - d->head_len);

	memcpy(d->head + d->head_len, data, n);
	d->head_len += n;

	if (len >= TAIL_KEPT) {
		memcpy(d->tail, data + len - TAIL_KEPT, TAIL_KEPT);
		d->tail_len = TAIL_KEPT;
		return;
	}
	if (d->tail_len + len > sizeof(d->tail)) {
		memmove(d->tail, d->tail + d->tail_len - TAIL_KEPT, TAIL_KEPT);
		d->tail_len = TAIL_KEPT;
	}
	memcpy(d->tail + d->tail_len, data, len);
	d->tail_len += len;
}

/* One zero is like another: all but as many as head and tail can hold need not be seen. */
static uint64_t pgdump_zeros(void *state, uint64_t len)
{
	const struct pgdump *d = state;

	return len > sizeof(d->head) + sizeof(d->tail) ? len - sizeof(d->head) - sizeof(d->tail) : 0;
}

/* The dump that was begun last within the head. */
struct section {
	bool cluster;
	struct text key; /* of its \restrict; len 0 without one */
};

static bool restrict_key(struct text line, const char *command, struct text *ret_key)
{
	size_t n = strlen(command);

	if (!text_starts(line, command) || line.len == n)
		return false;
	*ret_key = (struct text){line.p + n, line.len - n};
	return true;
}

/* Follows the dumps that begin and end within the head. */
static struct section last_section(struct text head)
{
	struct section s = {0};
	struct text line, key = {0};
	bool open = false, prelude = true;

	while (next_line(&head, &line)) {
		if (!open && is_start(line)) {
			s = (struct section){.cluster = text_is(line, START_CLUSTER), .key = key};
			open = prelude = true;
		} else if (open && text_is(line, s.cluster ? START_CLUSTER " complete" : START_DUMP " complete")) {
			open = false;
			prelude = true;
			key.len = 0;
		} else if (prelude && restrict_key(line, RESTRICT, &key)) {
			s.key = open ? key : s.key;
		} else if (!is_prelude(line)) {
			prelude = false;
		}
	}
	return s;
}

/* Makes CRLF to LF, in place. */
static size_t drop_carriage_returns(char *p, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++)
		if (p[i] != '\r' || i + 1 == len || p[i + 1] != '\n')
			p[out++] = p[i];
	return out;
}

/* Takes blank lines off the end of `t`. */
static void strip_blank(struct text *t)
{
	while (t->len > 0 && strchr(" \t\n", t->p[t->len - 1]) != NULL && t->p[t->len - 1] != '\0')
		t->len--;
}

/* Takes the last line off the end of `t`, which does not end with a line end, and returns it. */
static struct text strip_line(struct text *t)
{
	const char *nl = t->len == 0 ? NULL : memrchr(t->p, '\n', t->len);
	size_t from = nl == NULL ? 0 : (size_t)(nl - t->p) + 1;
	struct text line = {t->p + from, t->len - from};

	t->len = from;
	return line;
}

/*
 * The tail is: the closing comment, for pg_dump the \unrestrict, a blank line, each with its line end. Line ends and
 * the frame of the comment may be missing: all data stands before them, and copying tools drop them. The
 * key is asked of pg_dump alone: pg_dumpall lifts its own restriction before the first database.
 */
static void judge_tail(struct complete_judgement *j, struct text tail, const struct section *s)
{
	const char *who = s->cluster ? "pg_dumpall" : "pg_dump";
	const char *close = s->cluster ? START_CLUSTER " complete" : START_DUMP " complete";
	strip_blank(&tail);
	struct text rest = tail, key = {0};
	bool lifted = !s->cluster && restrict_key(strip_line(&rest), UNRESTRICT, &key);

	if (lifted) {
		tail = rest;
		strip_blank(&tail);
	}
	if (text_ends(tail, "\n--")) /* the line that frames the comment says nothing of its own */
		tail.len -= 3;
	if (!text_ends(tail, close))
		complete_bad(j, "does not end with the closing comment of %s: it was cut short", who);
	else if (!s->cluster && s->key.len > 0 && !lifted)
		complete_bad(j, "ends without the '\\unrestrict' that %s writes last: it was cut short", who);
	else if (!s->cluster && s->key.len > 0 && (key.len != s->key.len || memcmp(key.p, s->key.p, key.len) != 0))
		complete_bad(j, "ends with an '\\unrestrict' that does not match the '\\restrict' at its head");
	else
		complete_good(j);
}

static void pgdump_finish(void *state)
{
	struct pgdump *d = state;
	struct section s = last_section((struct text){d->head, d->head_len});
	size_t tail_len = drop_carriage_returns(d->tail, d->tail_len);

	if (s.cluster)
		d->j->kind = "pg_dumpall";
	judge_tail(d->j, (struct text){d->tail, tail_len}, &s);
}

const struct complete_kind complete_kind_pgdump = {
	.name = "pg_dump",
	.sniff = pgdump_sniff,
	.open = pgdump_open,
	.feed = pgdump_feed,
	.zeros = pgdump_zeros,
	.finish = pgdump_finish,
	.free = free,
};
