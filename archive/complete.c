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
	struct complete *member;          /* sees the same bytes, as a part of a dump's folder; NULL */
	struct complete_judgement j;
	bool seen;       /* some bytes */
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

struct complete_promise {
	const char *ext;
	const struct complete_kind *kind; /* NULL: one that is only judged by its length */
	size_t magic_len;                 /* a file of fewer bytes is none of this kind; 0: the kind tells */
	const char *inside;               /* ending that a compressed file's name has without this one, without a dot */
	bool packed, dump;
};

static const struct complete_promise promises[] = {
	{.ext = "gz", .kind = &complete_kind_gzip, .magic_len = 3, .packed = true},
	{.ext = "tgz", .kind = &complete_kind_gzip, .magic_len = 3, .packed = true, .inside = "tar"},
	{.ext = "zst", .kind = &complete_kind_zstd, .magic_len = 4, .packed = true},
	{.ext = "zstd", .kind = &complete_kind_zstd, .magic_len = 4, .packed = true},
	{.ext = "tzst", .kind = &complete_kind_zstd, .magic_len = 4, .packed = true, .inside = "tar"},
	{.ext = "lz4", .magic_len = 4, .packed = true},
	{.ext = "xz", .magic_len = 6, .packed = true},
	{.ext = "bz2", .magic_len = 3, .packed = true},
	{.ext = "tar", .kind = &complete_kind_tar},
	{.ext = "rdb", .kind = &complete_kind_rdb, .magic_len = 9, .dump = true},
	/* These two hold what they like; only the beginning of what is known is a cut one. */
	{.ext = "dump", .kind = &complete_kind_pgcustom, .dump = true},
	{.ext = "pgdump", .kind = &complete_kind_pgcustom, .dump = true},
	{.ext = "sql", .dump = true},
};

static const struct complete_promise *find_promise(const char *ext, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(promises); i++)
		if (strlen(promises[i].ext) == len && strncasecmp(promises[i].ext, ext, len) == 0)
			return &promises[i];
	return NULL;
}

/* What the end of `name` promises; *ret_len: what is left of the name without it. A name is more than its ending. */
static const struct complete_promise *promise_of(const char *name, size_t len, size_t *ret_len)
{
	size_t dot = len;

	while (dot > 0 && name[dot - 1] != '.')
		dot--;
	if (dot < 2)
		return NULL;
	*ret_len = dot - 1;
	return find_promise(name + dot, len - dot);
}

static struct complete *new_of(const struct complete_file *file)
{
	struct complete *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->file = *file;
	c->j.kind = "";
	return c;
}

int complete_new(const char *name, size_t name_len, uint64_t size_hint, struct complete **ret, struct error *err)
{
	size_t rest = 0;
	struct complete_file file = {.promise = promise_of(name, name_len, &rest)};

	(void)size_hint; /* No kind needs it today; a caller that knows it should not have to guess. */
	if (file.promise != NULL && file.promise->inside != NULL)
		file.inner_promise = find_promise(file.promise->inside, strlen(file.promise->inside));
	else if (file.promise != NULL && file.promise->packed)
		file.inner_promise = promise_of(name, rest, &rest);
	file.named_dump = (file.promise != NULL && file.promise->dump) ||
			  (file.inner_promise != NULL && file.inner_promise->dump);
	struct complete *c = new_of(&file);
	if (c == NULL)
		return error_no_memory(err, "the completeness check of a file");
	*ret = c;
	return 0;
}

/* Settle on a kind that is given. */
static void begin_with(struct complete *c, const struct complete_kind *kind)
{
	c->kind = kind;
	if (kind == NULL) {
		complete_unjudged(&c->j);
		return;
	}
	c->j.kind = kind->name;
	c->state = kind->open(&c->file, &c->j);
	if (c->state == NULL)
		complete_no_memory(&c->j);
}

int complete_new_member(const char *name, size_t name_len, bool alone, struct complete **ret, struct error *err)
{
	const struct complete_kind *kind;
	struct complete *c = NULL;
	bool known;
	struct complete_file file = {.member = complete_pgdir_member(name, name_len, &kind, &known)};
	int r = complete_new(name, name_len, 0, &c, err);

	if (r < 0)
		return r;
	if (alone)
		complete_unjudged(&c->j);
	c->member = new_of(&file);
	if (c->member == NULL) {
		complete_free(c);
		return error_no_memory(err, "the completeness check of a file");
	}
	if (kind == NULL && known && file.member == MEMBER_TABLE)
		kind = &complete_kind_pgtable;
	begin_with(c->member, kind);
	*ret = c;
	return 0;
}

static struct complete *new_inner_member(const struct complete_file *file)
{
	const struct complete_file inner = {.member = file->member, .depth = file->depth + 1};
	struct complete *c = new_of(&inner);

	if (c != NULL)
		begin_with(c, file->member == MEMBER_TABLE ? &complete_kind_pgtable : NULL);
	return c;
}

struct complete *complete_new_inner(const struct complete_file *file)
{
	if (file->member != MEMBER_NONE)
		return new_inner_member(file);
	const struct complete_file inner = {
		.named_dump = file->named_dump, .depth = file->depth + 1, .promise = file->inner_promise};

	return new_of(&inner);
}

void complete_finish_inner(struct complete_judgement *j, struct complete *inner)
{
	const char *kind, *reason;

	if (complete_finish(inner, &kind, &reason) != COMPLETE_BAD) {
		complete_good(j);
	} else if (inner->file.member != MEMBER_NONE) {
		complete_bad(j, "%s", reason);
		j->kind = kind;
	} else if (*kind == '\0') {
		complete_bad(j, "has nothing inside");
	} else {
		complete_bad(j, "holds a file (%s) that %s", kind, reason);
	}
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

	c->seen = c->seen || len > 0;
	if (c->member != NULL)
		complete_feed(c->member, data, len);
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
	struct complete *member = c->member;

	c->seen = c->seen || len > 0;
	if (member != NULL)
		complete_hole(member, len);
	c->member = NULL; /* it has seen them */
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
	c->member = member;
}

bool complete_wants_more(const struct complete *c)
{
	return !c->j.settled || (c->member != NULL && !c->member->j.settled);
}

/* It is no longer than the beginning of what its name says that it is. */
static bool is_cut_magic(const struct complete *c)
{
	const struct complete_promise *p = c->file.promise;

	if (p == NULL)
		return false;
	if (p->magic_len > 0)
		return c->head_len < p->magic_len;
	return p->kind != NULL && p->kind->sniff(&c->file, c->head, c->head_len, false) == SNIFF_MORE;
}

/* The file ended while its kind was not known yet. */
static void finish_short(struct complete *c)
{
	if (c->head_len == 0 && (c->file.named_dump || c->file.promise != NULL)) {
		complete_bad(&c->j, "is empty");
		return;
	}
	if (c->head_len == 0 || !choose_kind(c, true))
		return;
	start_kind(c);
	if (c->kind == NULL && is_cut_magic(c)) {
		c->j.settled = false;
		complete_bad(
			&c->j, "ends after %zu bytes, within the first ones of what its name says it is", c->head_len);
		c->j.kind = c->file.promise->kind != NULL ? c->file.promise->kind->name : c->file.promise->ext;
	}
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

enum complete_verdict complete_member(struct complete *c, const char **ret_kind, const char **ret_reason)
{
	*ret_kind = *ret_reason = "";
	if (c->member == NULL)
		return COMPLETE_UNKNOWN;
	if (!c->seen) /* nothing that packs makes a file without bytes */
		complete_bad(&c->member->j, "is empty");
	return complete_finish(c->member, ret_kind, ret_reason);
}

void complete_free(struct complete *c)
{
	if (c == NULL)
		return;
	complete_free(c->member);
	if (c->state != NULL)
		c->kind->free(c->state);
	free(c);
}
