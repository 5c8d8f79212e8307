/* SPDX-License-Identifier: MIT */
#include "fs/spool/commit.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fileio.h"

enum { REASON_MAX = 2000 }; /* from then on no more is told */

/* A commit under way. */
struct commit {
	const struct commit_options *o;
	const char *dataset;
	struct work_frozen *frozen;
	const struct snapshot *last; /* NULL: nothing but the base */
	struct merge_options merge;
	struct commit_result *result;
	uint64_t renamed;
};

void commit_result_release(struct commit_result *r)
{
	snapshot_free(r->snapshot);
	free(r->size_warning);
	free(r->crossed);
	*r = (struct commit_result){0};
}

static bool is_good(const struct snapshot *s)
{
	return s->state == SNAPSHOT_WHOLE || s->state == SNAPSHOT_INCOMPLETE;
}

static int compare_bytes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

bool commit_median(const struct snapset *set, const char *dataset, uint64_t *ret_bytes)
{
	uint64_t bytes[COMMIT_MEDIAN_MOST];
	size_t first, count, n = 0;

	if (set == NULL || !snapset_dataset(set, dataset, &first, &count))
		return false;
	for (size_t i = first + count; i-- > first && n < COMMIT_MEDIAN_MOST;)
		if (is_good(set->list[i]))
			bytes[n++] = set->list[i]->bytes;
	if (n < COMMIT_MEDIAN_LEAST)
		return false;
	qsort(bytes, n, sizeof(*bytes), compare_bytes);
	*ret_bytes = bytes[n / 2];
	return true;
}

/* Made by the spool of this host: a backup by command names its sources. */
static bool is_ours(const struct repo *repo, const char *host, const struct snapshot *s)
{
	return s->path_count == 0 && host != NULL && strcmp(s->host, host) == 0 && id_equal(&s->slot, &repo->own->id);
}

static bool stands_on(const struct snapshot *s, const struct snapshot *base)
{
	return base == NULL ? id_is_zero(&s->parent) : id_equal(&s->parent, &base->id);
}

const struct snapshot *commit_last(
	const struct repo *repo, const struct snapset *set, const char *dataset, const struct snapshot *base)
{
	const struct snapshot *last = NULL;
	size_t first, count;
	char *host = host_name();

	if (set != NULL && snapset_dataset(set, dataset, &first, &count))
		for (size_t i = first + count; last == NULL && i-- > first;)
			if (is_ours(repo, host, set->list[i]) && stands_on(set->list[i], base))
				last = set->list[i];
	free(host);
	return last;
}

/*
 * Someone else's snapshot came since the base, or the last commit, and this one does not build on it: both are kept.
 */
static void look_for_crossing(struct commit *c)
{
	const struct snapset *set = c->o->set;
	const struct snapshot *base = c->frozen->base, *since = c->last != NULL ? c->last : base;
	size_t first, count;
	char *host = host_name();

	if (set != NULL && snapset_dataset(set, c->dataset, &first, &count)) {
		for (size_t i = first + count; c->result->crossed == NULL && i-- > first;) {
			const struct snapshot *s = set->list[i];
			if (since != NULL && (s->time <= since->time || id_equal(&s->id, &since->id)))
				break;
			if (!is_ours(c->o->repo, host, s) || !stands_on(s, base))
				c->result->crossed = strdup(s->host);
		}
	}
	free(host);
}

static void judge_size(struct commit *c, struct feed *f, uint64_t bytes)
{
	uint64_t median;

	free(c->result->size_warning); /* of a run that was begun anew */
	c->result->size_warning = NULL;
	if (!commit_median(c->o->set, c->dataset, &median))
		return;
	if ((bytes > median ? bytes - median : median - bytes) < COMMIT_FLOOR)
		return;
	bool small = bytes<median / COMMIT_FACTOR, large = bytes / COMMIT_FACTOR> median;
	if (!small && !large)
		return;
	c->result->size_warning = fileio_format("unusual size: %llu bytes, far %s than the %llu of recent snapshots",
		(unsigned long long)bytes, small ? "less" : "more", (unsigned long long)median);
	if (c->result->size_warning != NULL)
		feed_note(f, c->dataset, c->result->size_warning, false);
}

static int tell(void *arg, struct feed *f, struct error *err)
{
	struct commit *c = arg;
	struct merge_sums sums;
	int r = merge_run(&c->merge, f, &sums, err);

	if (r < 0)
		return r;
	c->renamed = sums.renamed;
	judge_size(c, f, sums.bytes);
	return r;
}

static void warn(void *arg, const char *path, const char *what)
{
	const struct commit *c = arg;

	log_warn(c->o->log, "spool: '%s': %s: %s", c->dataset, path, what);
}

static int feed(struct commit *c, struct error *err)
{
	const struct commit_options *o = c->o;
	const struct feed_options options = {.dataset = c->dataset,
		.base = c->frozen->base,
		.last = c->last,
		.compression = o->compression,
		.check_command = o->check_command,
		.description = o->description,
		.tags = o->tags,
		.tag_count = o->tag_count,
		.reader = o->reader,
		.warn = warn,
		.warn_arg = c,
		.cancel = o->cancel,
		.feed = tell,
		.arg = c};
	struct backup_result result = {0};
	int r = feed_run(o->repo, o->catalog, &options, &result, err);

	if (r == 0)
		c->result->snapshot = result.snapshot;
	return r;
}

static void add_part(struct buf *b, const char *path, const char *what)
{
	if (b->len > 0)
		buf_put(b, "; ", 2);
	if (strcmp(path, SNAPSHOT_CHECK_ALL) != 0) {
		buf_put(b, path, strlen(path));
		buf_put(b, ": ", 2);
	}
	buf_put(b, what, strlen(what));
}

char *commit_reason(const struct snapshot *s)
{
	struct buf b = {0};

	if (s->state == SNAPSHOT_WHOLE)
		return NULL;
	for (unsigned i = 0; i < s->check_count && b.len < REASON_MAX; i++)
		if (!s->checks[i].ok)
			add_part(&b, s->checks[i].path, s->checks[i].reason);
	for (unsigned i = 0; s->state == SNAPSHOT_INCOMPLETE && i < s->note_count && b.len < REASON_MAX; i++)
		add_part(&b, SNAPSHOT_CHECK_ALL, s->notes[i]);
	buf_put_u8(&b, 0);
	if (!buf_failed(&b))
		return (char *)b.data;
	buf_release(&b);
	return NULL;
}

static void tell_log(const struct commit *c)
{
	const struct commit_result *r = c->result;
	struct log *log = c->o->log;
	char *reason = commit_reason(r->snapshot);

	if (r->snapshot->state != SNAPSHOT_WHOLE)
		log_warn(log, "spool: '%s' is committed as '%s', but it is %s: %s", c->dataset, r->snapshot->name,
			snapshot_state_name(r->snapshot->state), reason != NULL ? reason : "");
	else
		log_notice(log, "spool: '%s' is committed as '%s'", c->dataset, r->snapshot->name);
	free(reason);
	if (r->size_warning != NULL)
		log_warn(log, "spool: '%s/%s': %s", c->dataset, r->snapshot->name, r->size_warning);
	if (r->crossed != NULL)
		log_warn(log,
			"spool: '%s/%s' crossed with a snapshot of '%s': both are kept, and neither holds both changes",
			c->dataset, r->snapshot->name, r->crossed);
}

static int run_frozen(struct commit *c, struct error *err)
{
	const struct commit_options *o = c->o;
	int r = index_count(c->frozen->index, &c->result->weight, err);

	c->result->change = c->frozen->change;
	c->last = o->last != NULL ? o->last : commit_last(o->repo, o->set, c->dataset, c->frozen->base);
	c->merge = (struct merge_options){.frozen = c->frozen,
		.reader = o->reader,
		.owners = owners_new(),
		.find = o->find,
		.find_arg = o->find_arg,
		.last = c->last,
		.resumed = o->last == NULL,
		.progress = o->progress};
	if (r == 0 && c->merge.owners == NULL)
		r = error_no_memory(err, "owners");
	if (r == 0)
		r = feed(c, err);
	owners_free(c->merge.owners);
	c->result->weight += c->renamed;
	if (r < 0)
		return r;
	const struct snapshot *stands = c->last; /* nothing was made: it is equal to this */
	if (c->result->snapshot != NULL) {
		look_for_crossing(c);
		tell_log(c);
		if (o->made != NULL)
			o->made(o->made_arg, c->result->snapshot);
		stands = c->result->snapshot;
	}
	return work_committed(o->work, c->frozen, stands, err);
}

int commit_run(const struct commit_options *options, struct commit_result *ret_result, struct error *err)
{
	struct commit c = {.o = options, .dataset = work_dataset(options->work), .result = ret_result};

	*ret_result = (struct commit_result){0};
	int r = work_freeze(options->work, &c.frozen, err);
	if (r < 0)
		return r;
	r = run_frozen(&c, err);
	work_thaw(options->work, c.frozen);
	if (ret_result->snapshot == NULL) { /* a size that no snapshot has is no news */
		free(ret_result->size_warning);
		ret_result->size_warning = NULL;
	}
	return r;
}
