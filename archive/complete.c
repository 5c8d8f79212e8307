/* SPDX-License-Identifier: MIT */
#include "archive/complete.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "archive/complete_kind.h"
#include "base/checked.h"
#include "base/error.h"

struct complete {
	struct complete_file file;
	const struct complete_kind *kind; /* NULL until it is known */
	void *state;                      /* the kind's own */
	struct complete_judgement j;
	size_t head_len; /* bytes of head in use while the kind is not known */
	uint8_t head[COMPLETE_HEAD_MAX];
};

static const struct complete_kind *const kinds[] = {
	&complete_kind_pgdump,
	&complete_kind_pgcustom,
	&complete_kind_rdb,
	&complete_kind_gzip,
	&complete_kind_zstd,
	&complete_kind_tar,
};

void complete_good(struct complete_judgement *j)
{
	j->verdict = COMPLETE_OK;
	j->settled = true;
}

void complete_bad(struct complete_judgement *j, const char *fmt, ...)
{
	va_list ap;

	if (j->settled)
		return;
	va_start(ap, fmt);
	vsnprintf(j->reason, sizeof(j->reason), fmt, ap);
	va_end(ap);
	j->verdict = COMPLETE_BAD;
	j->settled = true;
}

void complete_unjudged(struct complete_judgement *j)
{
	j->verdict = COMPLETE_UNKNOWN;
	j->settled = true;
}

void complete_no_memory(struct complete_judgement *j)
{
	complete_bad(j, "could not be checked for completeness: out of memory");
}

/* If `name` ends with a dot and one of `exts`, its length without them; otherwise 0. */
static size_t strip_ext(const char *name, size_t len, const char *const *exts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t n = strlen(exts[i]);
		if (len > n + 1 && name[len - n - 1] == '.' && strncasecmp(name + len - n, exts[i], n) == 0)
			return len - n - 1;
	}
	return 0;
}

/* Does the name say that this is a dump? Then an empty file is a broken one. */
static bool is_dump_name(const char *name, size_t len)
{
	static const char *const packed[] = {"gz", "zst", "zstd", "lz4", "xz", "bz2"};
	static const char *const dumps[] = {"sql", "dump", "pgdump", "rdb"};
	size_t n = strip_ext(name, len, packed, ARRAY_LEN(packed));

	return strip_ext(name, n != 0 ? n : len, dumps, ARRAY_LEN(dumps)) != 0;
}

static struct complete *new_at(bool named_dump, unsigned depth)
{
	struct complete *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->file = (struct complete_file){.named_dump = named_dump, .depth = depth};
	c->j.kind = "";
	return c;
}

int complete_new(const char *name, size_t name_len, uint64_t size_hint, struct complete **ret, struct error *err)
{
	struct complete *c = new_at(is_dump_name(name, name_len), 0);

	(void)size_hint; /* No kind needs it today; a caller that knows it should not have to guess. */
	if (c == NULL)
		return error_no_memory(err, "the completeness check of a file");
	*ret = c;
	return 0;
}

struct complete *complete_new_inner(const struct complete_file *file)
{
	return new_at(file->named_dump, file->depth + 1);
}

void complete_finish_inner(struct complete_judgement *j, struct complete *inner)
{
	const char *kind, *reason;

	if (complete_finish(inner, &kind, &reason) != COMPLETE_BAD)
		complete_good(j);
	else if (*kind == '\0')
		complete_bad(j, "has nothing inside");
	else
		complete_bad(j, "holds a file (%s) that %s", kind, reason);
}

/* Settle on a kind if the head is enough for that. Returns false while more is needed. */
static bool choose_kind(struct complete *c, bool end)
{
	bool more = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i]->compressed && c->file.depth > 0)
			continue;
		enum complete_sniff s = kinds[i]->sniff(&c->file, c->head, c->head_len, end);
		if (s == SNIFF_YES) {
			c->kind = kinds[i];
			c->j.kind = kinds[i]->name;
			return true;
		}
		more |= s == SNIFF_MORE;
	}
	if (more && !end && c->head_len < COMPLETE_HEAD_MAX)
		return false;
	complete_unjudged(&c->j);
	return true;
}

/* The kind was just chosen: let it see what was kept so far. */
static void start_kind(struct complete *c)
{
	if (c->kind == NULL)
		return;
	c->state = c->kind->open(&c->file, &c->j);
	if (c->state == NULL)
		complete_no_memory(&c->j);
	else
		c->kind->feed(c->state, c->head, c->head_len);
}

/* Takes from the file's beginning what is needed to tell its kind. Returns how much it took. */
static size_t feed_head(struct complete *c, const uint8_t *data, size_t len)
{
	size_t n = (size_t)min_u64(len, COMPLETE_HEAD_MAX - c->head_len);

	memcpy(c->head + c->head_len, data, n);
	c->head_len += n;
	if (choose_kind(c, false))
		start_kind(c);
	return n;
}

void complete_feed(struct complete *c, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0 && !c->j.settled) {
		size_t n = len;
		if (c->kind == NULL)
			n = feed_head(c, p, len);
		else
			c->kind->feed(c->state, p, len);
		p += n;
		len -= n;
	}
}

void complete_hole(struct complete *c, uint64_t len)
{
	static const uint8_t zeros[4096];

	while (len > 0 && !c->j.settled) {
		uint64_t n = 0;
		if (c->kind != NULL && c->kind->zeros != NULL)
			n = c->kind->zeros(c->state, len);
		if (n == 0) {
			n = min_u64(len, sizeof(zeros));
			complete_feed(c, zeros, (size_t)n);
		}
		len -= n;
	}
}

bool complete_wants_more(const struct complete *c)
{
	return !c->j.settled;
}

/* The file ended while its kind was not known yet. */
static void finish_short(struct complete *c)
{
	if (c->head_len == 0 && c->file.named_dump) {
		complete_bad(&c->j, "is empty");
		return;
	}
	if (c->head_len > 0 && choose_kind(c, true))
		start_kind(c);
}

enum complete_verdict complete_finish(struct complete *c, const char **ret_kind, const char **ret_reason)
{
	if (!c->j.settled && c->kind == NULL)
		finish_short(c);
	if (!c->j.settled && c->kind != NULL)
		c->kind->finish(c->state);
	*ret_kind = c->j.kind;
	*ret_reason = c->j.reason;
	return c->j.verdict;
}

void complete_free(struct complete *c)
{
	if (c == NULL)
		return;
	if (c->state != NULL)
		c->kind->free(c->state);
	free(c);
}
