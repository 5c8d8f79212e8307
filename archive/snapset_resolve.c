/* SPDX-License-Identifier: MIT */
/*
 * What a person types to say which snapshot is meant, tried in this order: a
 * name as shown; latest and latest~N; a time or a date; an id or a piece of
 * its beginning. So a name is always itself, and 20240115 is a day.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/snapset_internal.h"
#include "base/clock.h"
#include "base/hex.h"

enum { ID_PIECE_MIN = 8, CHOICES = 5 };

/* Appends to a text of bounded size; what does not fit is left out. */
static void say(char *text, size_t size, const char *separator, const char *word)
{
	size_t used = strlen(text);
	if (used + strlen(separator) + strlen(word) + 3 < size)
		snprintf(text + used, size - used, "%s'%s'", used ? separator : "", word);
}

struct choices {
	char text[300];
	unsigned count;
};

static int add_dataset(void *arg, const char *dataset)
{
	struct choices *c = arg;
	char shown[80];
	say(c->text, sizeof(c->text), ", ", hex_printable_to(dataset, strlen(dataset), shown, sizeof(shown)));
	return ++c->count >= 2 * CHOICES;
}

static int no_dataset(const struct snapset *set, const char *dataset, struct error *err)
{
	struct choices c = {0};
	char shown[80];
	hex_printable_to(dataset, strlen(dataset), shown, sizeof(shown));
	snapset_datasets(set, add_dataset, &c);
	if (c.count == 0)
		return error_set(
			err, ERR_NOT_FOUND, "there is no dataset '%s': the repository holds no snapshot yet", shown);
	return error_set(err, ERR_NOT_FOUND, "there is no dataset '%s': there are %s", shown, c.text);
}

static int no_good(const struct snapset *set, const char *dataset, unsigned back, struct error *err)
{
	size_t first = 0, count = 0, good = 0;
	snapset_dataset(set, dataset, &first, &count);
	while (snapset_latest(set, dataset, (unsigned)good))
		good++;
	if (good > 0)
		return error_set(err, ERR_NOT_FOUND, "there is no 'latest~%u' of '%s': it has %zu good snapshot%s",
			back, dataset, good, good == 1 ? "" : "s");
	return error_set(err, ERR_NOT_FOUND, "'%s' has no good snapshot: the newest is '%s' (%s)", dataset,
		set->list[first + count - 1]->name, snapshot_state_name(set->list[first + count - 1]->state));
}

static int none_so_old(const struct snapset *set, const char *dataset, const char *what, struct error *err)
{
	size_t first = 0, count = 0;
	snapset_dataset(set, dataset, &first, &count);
	for (size_t i = first; i < first + count; i++)
		if (snapset_at(set, dataset, set->list[i]->time))
			return error_set(err, ERR_NOT_FOUND,
				"'%s' has no good snapshot as old as '%s': the oldest is '%s'", dataset, what,
				set->list[i]->name);
	return no_good(set, dataset, 0, err);
}

static int no_such(const struct snapset *set, const char *dataset, const char *what, struct error *err)
{
	struct choices c = {0};
	char shown[120];
	size_t first = 0, count = 0;
	snapset_dataset(set, dataset, &first, &count);
	for (size_t i = first + count; i > first && c.count < CHOICES; i--, c.count++)
		say(c.text, sizeof(c.text), ", ", set->list[i - 1]->name);
	return error_set(err, ERR_NOT_FOUND,
		"'%s' has no snapshot '%s': give a name, a time, 'latest' or an id; the newest %s %s", dataset,
		hex_printable_to(what, strlen(what), shown, sizeof(shown)), count == 1 ? "is" : "are", c.text);
}

/* "latest" and "latest~N". False when it is neither. */
static bool parse_latest(const char *what, unsigned *ret_back)
{
	static const char latest[] = "latest";
	const char *p = what + sizeof(latest) - 1;
	unsigned back = 0;
	if (strncmp(what, latest, sizeof(latest) - 1) != 0)
		return false;
	if (*p == '\0') {
		*ret_back = 0;
		return true;
	}
	if (p[0] != '~' || p[1] == '\0' || strlen(p + 1) > 9)
		return false;
	for (p++; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		back = back * 10 + (unsigned)(*p - '0');
	}
	*ret_back = back;
	return true;
}

static bool is_id_piece(const char *what)
{
	size_t len = strlen(what);
	return len >= ID_PIECE_MIN && len < ID_HEX_MAX && what[strspn(what, "0123456789abcdef")] == '\0';
}

/* The snapshots of the dataset whose id begins so: how many, and one of them. */
static size_t by_id_piece(
	const struct snapset *set, const char *dataset, const char *what, const struct snapshot **ret_snapshot)
{
	size_t first = 0, count = 0, found = 0;
	char hex[ID_HEX_MAX];
	snapset_dataset(set, dataset, &first, &count);
	for (size_t i = first; i < first + count; i++) {
		id_hex(&set->list[i]->id, hex);
		if (strncmp(hex, what, strlen(what)) == 0) {
			*ret_snapshot = set->list[i];
			found++;
		}
	}
	return found;
}

int snapset_resolve(const struct snapset *set, const char *dataset, const char *what,
	const struct snapshot **ret_snapshot, struct error *err)
{
	size_t first = 0, count = 0;
	unsigned back = 0;
	int64_t begin = 0, end = 0;
	if (!snapset_dataset(set, dataset, &first, &count))
		return no_dataset(set, dataset, err);
	const struct snapshot *s = snapset_named(set, dataset, what);
	if (!s && parse_latest(what, &back)) {
		s = snapset_latest(set, dataset, back);
		if (!s)
			return no_good(set, dataset, back, err);
	}
	bool is_time = !s && clock_parse(what, &begin, &end);
	if (is_time)
		s = snapset_at(set, dataset, end);
	if (!s && is_id_piece(what)) {
		size_t found = by_id_piece(set, dataset, what, &s);
		if (found > 1)
			return error_set(err, ERR_NOT_FOUND,
				"'%s' begins the ids of %zu snapshots of '%s': give more of it", what, found, dataset);
	}
	if (!s)
		return is_time ? none_so_old(set, dataset, what, err) : no_such(set, dataset, what, err);
	*ret_snapshot = s;
	return 0;
}
