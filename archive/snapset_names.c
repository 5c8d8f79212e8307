/* SPDX-License-Identifier: MIT */
/*
 * Names and numbers. Both are drawn by the writer and stand in the statement;
 * two writers that did not see each other may draw the same. Then the one
 * that was put first keeps it, forgotten or not, and the later one gets a
 * piece of its id (so every host shows the same), or a number of this
 * mount's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/snapset_internal.h"
#include "archive/snapshot_codec.h"
#include "base/clock.h"
#include "base/host.h"

static const char partial_suffix[] = ".partial";
enum { PARTIAL_LEN = sizeof(partial_suffix) - 1, PIECE_LEN = 6, PIECE_MAX = 42, BASE_KEPT = 24 };

size_t snapset_base_len(const char *name)
{
	size_t len = strlen(name);
	bool partial = len > PARTIAL_LEN && strcmp(name + len - PARTIAL_LEN, partial_suffix) == 0;
	return partial ? len - PARTIAL_LEN : len;
}

static int compare_time(const struct snapshot *x, const struct snapshot *y)
{
	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return id_compare(&x->id, &y->id);
}

int snapset_order(const void *a, const void *b)
{
	const struct snapshot *x = *(struct snapshot *const *)a, *y = *(struct snapshot *const *)b;
	int order = strcmp(x->dataset, y->dataset);
	return order != 0 ? order : compare_time(x, y);
}

/* A snapshot on its way to a name. */
struct claim {
	struct snapshot *s;
	char base[SNAPSHOT_NAME_MAX]; /* without ".partial" */
	unsigned piece;               /* digits of its id that the base carries; 0: as stated */
};

/* By dataset and base name; who claims it as stated first, then who was put first. */
static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = strcmp(x->s->dataset, y->s->dataset);
	if (order == 0)
		order = strcmp(x->base, y->base);
	if (order == 0 && x->piece != y->piece)
		order = x->piece < y->piece ? -1 : 1;
	return order != 0 ? order : compare_time(x->s, y->s);
}

static bool same_claim(const struct claim *x, const struct claim *y)
{
	return strcmp(x->base, y->base) == 0 && strcmp(x->s->dataset, y->s->dataset) == 0;
}

/* Puts (a longer) piece of the id behind the stated name. */
static void lengthen(struct claim *c)
{
	char hex[ID_HEX_MAX];
	size_t base = snapset_base_len(c->s->stated_name);
	id_hex(&c->s->id, hex);
	c->piece += PIECE_LEN;
	snprintf(c->base, sizeof(c->base), "%.*s-%.*s", (int)(base < BASE_KEPT ? base : BASE_KEPT), c->s->stated_name,
		(int)c->piece, hex);
}

/* One round: all but the first of those with one name take a longer one. True when there were any. */
static bool settle(struct claim *claims, size_t count)
{
	bool any = false;
	qsort(claims, count, sizeof(*claims), compare_claims);
	for (size_t first = 0, i = 1; i < count; i++) {
		if (!same_claim(&claims[first], &claims[i])) {
			first = i;
		} else if (claims[i].piece < PIECE_MAX) {
			/* The base changes under same_claim(), but the first of the run stays as it is. */
			lengthen(&claims[i]);
			any = true;
		}
	}
	return any;
}

static bool take_name(struct claim *c, struct log *log)
{
	struct snapshot *s = c->s;
	const char *suffix = s->stated_name + snapset_base_len(s->stated_name);
	char name[SNAPSHOT_NAME_MAX + PARTIAL_LEN];
	snprintf(name, sizeof(name), "%s%s", c->base, suffix);
	if (strcmp(name, s->name) == 0)
		return true;
	if (c->piece > 0)
		log_info(log, "two snapshots of '%s' drew the name '%s': the later one is shown as '%s'", s->dataset,
			s->stated_name, name);
	char *own = strdup(name);
	if (!own)
		return false;
	free(s->name);
	s->name = own;
	return true;
}

static int give_names(struct snapshot *const *all, size_t count, struct log *log, struct error *err)
{
	struct claim *claims = calloc(count + 1, sizeof(*claims));
	bool ok = claims != NULL;
	for (size_t i = 0; ok && i < count; i++) {
		claims[i].s = all[i];
		snprintf(claims[i].base, sizeof(claims[i].base), "%.*s", (int)snapset_base_len(all[i]->stated_name),
			all[i]->stated_name);
	}
	while (ok && settle(claims, count))
		;
	for (size_t i = 0; ok && i < count; i++)
		ok = take_name(&claims[i], log);
	free(claims);
	return ok ? 0 : error_no_memory(err, "the snapshots' names");
}

/* Who keeps a number: whom this mount has shown with it, then who was put first. */
struct number_claim {
	struct snapshot *s;
	bool shown;
};

static int compare_numbers(const void *a, const void *b)
{
	const struct number_claim *x = a, *y = b;
	if (x->s->number != y->s->number)
		return x->s->number < y->s->number ? -1 : 1;
	if (x->shown != y->shown)
		return x->shown ? -1 : 1;
	return compare_time(x->s, y->s);
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* The first number from a start that the id gives that is in nobody's statement. `taken` is sorted and has room. */
static uint32_t other_number(const struct id *id, uint32_t *taken, size_t *count)
{
	uint32_t n = 0;
	for (unsigned i = 0; i < sizeof(n); i++)
		n = n << 8 | id->b[i];
	n &= SNAPSHOT_NUMBER_MAX;
	while (n == 0 || bsearch(&n, taken, *count, sizeof(*taken), compare_u32))
		n = n == SNAPSHOT_NUMBER_MAX ? 1 : n + 1;
	taken[(*count)++] = n;
	qsort(taken, *count, sizeof(*taken), compare_u32);
	return n;
}

static int settle_numbers(struct number_claim *claims, size_t count, struct log *log, struct error *err)
{
	uint32_t *taken = calloc(3 * count + 1, sizeof(*taken));
	size_t taken_count = 0;
	if (!taken)
		return error_no_memory(err, "the snapshots' numbers");
	for (size_t i = 0; i < count; i++) {
		taken[taken_count++] = claims[i].s->number;
		if (claims[i].s->stated_number != claims[i].s->number)
			taken[taken_count++] = claims[i].s->stated_number;
	}
	qsort(taken, taken_count, sizeof(*taken), compare_u32);
	qsort(claims, count, sizeof(*claims), compare_numbers);
	uint32_t last = 0;
	for (size_t i = 0; i < count; i++) {
		struct snapshot *s = claims[i].s;
		bool doubled = s->number == last;
		last = s->number;
		if (!doubled)
			continue;
		s->number = other_number(&s->id, taken, &taken_count);
		log_info(log, "two snapshots drew the number %u: '%s' of '%s' goes by %u here", last, s->name,
			s->dataset, s->number);
	}
	free(taken);
	return 0;
}

static int give_numbers(
	struct snapshot *const *all, size_t count, const struct snapset *old, struct log *log, struct error *err)
{
	struct number_claim *claims = calloc(count + 1, sizeof(*claims));
	if (!claims)
		return error_no_memory(err, "the snapshots' numbers");
	for (size_t i = 0; i < count; i++) {
		const struct snapshot *before = old ? snapset_by_id(old, &all[i]->id) : NULL;
		claims[i].s = all[i];
		claims[i].shown = before != NULL;
		all[i]->number = before ? before->number : all[i]->stated_number;
	}
	int rc = settle_numbers(claims, count, log, err);
	free(claims);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	const struct snapshot *x = *(const struct snapshot *const *)a, *y = *(const struct snapshot *const *)b;
	int order = strcmp(x->dataset, y->dataset);
	return order != 0 ? order : strcmp(x->name, y->name);
}

static int by_number(const void *a, const void *b)
{
	const struct snapshot *x = *(const struct snapshot *const *)a, *y = *(const struct snapshot *const *)b;
	return x->number < y->number ? -1 : x->number > y->number;
}

static int by_id(const void *a, const void *b)
{
	const struct snapshot *x = *(const struct snapshot *const *)a, *y = *(const struct snapshot *const *)b;
	return id_compare(&x->id, &y->id);
}

static const struct snapshot **sorted(const struct snapset *set, int (*compare)(const void *, const void *))
{
	const struct snapshot **list = calloc(set->count + 1, sizeof(*list));
	if (!list)
		return NULL;
	for (size_t i = 0; i < set->count; i++)
		list[i] = set->list[i];
	qsort(list, set->count, sizeof(*list), compare);
	return list;
}

int snapset_name_all(struct snapset *set, const struct snapset *old, struct log *log, struct error *err)
{
	struct snapset_private *p = set->priv;
	size_t count = set->count + p->hidden_count;
	struct snapshot **all = calloc(count + 1, sizeof(*all));
	if (!all)
		return error_no_memory(err, "the snapshots");
	for (size_t i = 0; i < set->count; i++)
		all[i] = set->list[i];
	for (size_t i = 0; i < p->hidden_count; i++)
		all[set->count + i] = p->hidden[i];
	int rc = give_names(all, count, log, err);
	if (rc == 0)
		rc = give_numbers(all, count, old, log, err);
	free(all);
	if (rc != 0)
		return rc;
	p->by_name = sorted(set, by_name);
	p->by_number = sorted(set, by_number);
	p->by_id = sorted(set, by_id);
	return p->by_name && p->by_number && p->by_id ? 0 : error_no_memory(err, "the snapshots");
}

/* Has the dataset a snapshot, forgotten or not, with this base name? */
static bool name_taken(const struct snapset *set, const char *dataset, const char *base)
{
	size_t first = 0, count = 0, len = strlen(base);
	if (snapset_dataset(set, dataset, &first, &count))
		for (size_t i = first; i < first + count; i++)
			if (snapset_base_len(set->list[i]->name) == len && memcmp(set->list[i]->name, base, len) == 0)
				return true;
	for (size_t i = 0; i < set->priv->hidden_count; i++) {
		const struct snapshot *s = set->priv->hidden[i];
		if (strcmp(s->dataset, dataset) == 0 && snapset_base_len(s->name) == len &&
			memcmp(s->name, base, len) == 0)
			return true;
	}
	return false;
}

void snapset_draw_name(const struct snapset *set, const char *dataset, int64_t time, const struct id *id, bool partial,
	char dst[static SNAPSHOT_NAME_MAX])
{
	char base[SNAPSHOT_NAME_MAX], second[CLOCK_TEXT_MAX], hex[ID_HEX_MAX];
	clock_minute_name(time, second);
	snprintf(base, sizeof(base), "%s", second);
	if (name_taken(set, dataset, base)) {
		clock_second_name(time, second);
		snprintf(base, sizeof(base), "%s", second);
	}
	id_hex(id, hex);
	for (int piece = PIECE_LEN; piece <= PIECE_MAX && name_taken(set, dataset, base); piece += PIECE_LEN)
		snprintf(base, sizeof(base), "%.*s-%.*s", BASE_KEPT, second, piece, hex);
	snprintf(dst, SNAPSHOT_NAME_MAX, "%.*s%s", SNAPSHOT_NAME_MAX - PARTIAL_LEN - 1, base,
		partial ? partial_suffix : "");
}

static bool number_taken(const struct snapset *set, uint32_t number)
{
	if (snapset_by_number(set, number))
		return true;
	for (size_t i = 0; i < set->count; i++)
		if (set->list[i]->stated_number == number)
			return true;
	for (size_t i = 0; i < set->priv->hidden_count; i++)
		if (set->priv->hidden[i]->number == number || set->priv->hidden[i]->stated_number == number)
			return true;
	return false;
}

uint32_t snapset_draw_number(const struct snapset *set)
{
	uint32_t n = 0;
	do {
		host_random(&n, sizeof(n));
		n &= SNAPSHOT_NUMBER_MAX;
	} while (n == 0 || number_taken(set, n));
	return n;
}
