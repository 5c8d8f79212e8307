/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/jsonout.h"
#include "tools/cli.h"

struct status {
	struct cli *cli;
	int64_t now;
	bool alarm;
};

static void print_json(const struct status *st, const char *dataset, const struct snapshot *good,
	const struct snapshot *newest, int64_t age, int64_t rpo, bool late)
{
	json_t *o = json_object();

	json_object_set_new(o, "dataset", json_string(dataset));
	json_object_set_new(o, "latest", good == NULL ? json_null() : json_string(good->name));
	json_object_set_new(o, "time", good == NULL ? json_null() : jsonout_time(good->time));
	json_object_set_new(o, "age_seconds", good == NULL ? json_null() : json_integer(age / CLOCK_SECOND));
	json_object_set_new(o, "rpo_seconds", rpo == 0 ? json_null() : json_integer(rpo / CLOCK_SECOND));
	json_object_set_new(o, "late", json_boolean(late));
	json_object_set_new(o, "newest", newest == NULL ? json_null() : json_string(newest->name));
	json_object_set_new(
		o, "newest_state", newest == NULL ? json_null() : json_string(snapshot_state_name(newest->state)));
	jsonout_line(stdout, o);
	(void)st;
}

static void print_plain(const char *dataset, const struct snapshot *good, const struct snapshot *newest, int64_t age,
	int64_t rpo, bool late)
{
	char old[CLOCK_TEXT_MAX] = "-", limit[CLOCK_TEXT_MAX] = "-";

	if (good != NULL)
		clock_human_duration(age < 0 ? 0 : age, old);
	if (rpo != 0)
		clock_human_duration(rpo, limit);
	printf("%-20s %-22s %14s old, rpo %-12s %s\n", dataset, good == NULL ? "no good backup" : good->name, old,
		limit,
		late           ? "LATE"
		: good == NULL ? "MISSING"
			       : "ok");
	if (newest != NULL && (newest != good || newest->state == SNAPSHOT_INCOMPLETE))
		printf("%-20s %-22s the newest is %s; 'drfs snapshots -v %s' says why\n", "", newest->name,
			snapshot_state_name(newest->state), dataset);
}

static int show_dataset(void *arg, const char *dataset)
{
	struct status *st = arg;
	const struct snapset *set = st->cli->set;
	const struct snapshot *good = snapset_latest(set, dataset, 0), *newest = NULL;
	int64_t rpo = conf_dataset(st->cli->conf, dataset)->rpo_ns;
	int64_t age = good == NULL ? 0 : st->now - good->time;
	bool late = rpo != 0 && (good == NULL || age > rpo);
	size_t first, count;

	if (snapset_dataset(set, dataset, &first, &count))
		newest = set->list[first + count - 1];
	st->alarm = st->alarm || late || good == NULL;
	if (st->cli->json)
		print_json(st, dataset, good, newest, age, rpo, late);
	else if (!st->cli->quiet)
		print_plain(dataset, good, newest, age, rpo, late);
	return 0;
}

/* One dataset, which has a snapshot or at least a section in the configuration. CLI_OK, or told. */
static int show_named(struct status *st, const char *dataset)
{
	struct error err = ERROR_INIT;
	const struct snapshot *s;
	size_t first, count;

	if (!snapset_dataset(st->cli->set, dataset, &first, &count) &&
		conf_dataset(st->cli->conf, dataset)->name == NULL) {
		(void)snapset_resolve(st->cli->set, dataset, "latest", &s, &err); /* says which there are */
		return cli_fail(st->cli, &err);
	}
	show_dataset(st, dataset);
	return CLI_OK;
}

/* Datasets that the configuration expects and that have no snapshot at all. */
static void show_missing(struct status *st)
{
	const struct conf *conf = st->cli->conf;
	size_t first, count;

	for (unsigned i = 0; conf != NULL && i < conf->dataset_count; i++)
		if (!snapset_dataset(st->cli->set, conf->datasets[i].name, &first, &count))
			show_dataset(st, conf->datasets[i].name);
}

/* Silence would pass for "all is well". */
static void show_none(struct status *st)
{
	const struct conf *conf = st->cli->conf;

	if (st->cli->set->count > 0 || st->cli->set->fault_count > 0 || (conf != NULL && conf->dataset_count > 0))
		return;
	st->alarm = true;
	log_error(st->cli->log, "no backups yet; 'drfs help backup' shows how to make one");
}

static void show_fault(void *arg, const struct id *which, const char *reason)
{
	struct status *st = arg;
	char id[ID_HEX_MAX];

	id_hex(which, id);
	st->alarm = true;
	if (st->cli->json) {
		json_t *o = json_object();
		json_object_set_new(o, "fault", json_string(id));
		json_object_set_new(o, "reason", jsonout_text(reason, strlen(reason)));
		jsonout_line(stdout, o);
	} else {
		log_error(st->cli->log, "snapshots/%s does not open: %s; 'drfs check' looks closer", id, reason);
	}
}

/* Those that loading met, and those that a summary or the cache hid from it. */
static int show_faults(struct status *st, const char *dataset)
{
	const struct snapset *set = st->cli->set;
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < set->fault_count; i++)
		show_fault(st, &set->faults[i].id, set->faults[i].reason);
	if (snapset_prove(st->cli->repo, set, dataset, show_fault, st, &err) != 0)
		return cli_fail(st->cli, &err);
	return CLI_OK;
}

/* Told on opening; here for programs, and for the exit code. */
static void show_lost(struct status *st)
{
	const struct seen *seen = st->cli->seen;

	for (size_t i = 0; i < seen->count; i++) {
		char id[ID_HEX_MAX], text[SEEN_TEXT_MAX];
		if (!seen->rows[i].lost)
			continue;
		st->alarm = true;
		if (!st->cli->json)
			continue;
		id_hex(&seen->rows[i].snapshot, id);
		seen_text(seen, &seen->rows[i], text);
		json_t *o = json_object();
		json_object_set_new(o, "fault", json_string(id));
		json_object_set_new(o, "reason", jsonout_text(text, strlen(text)));
		jsonout_line(stdout, o);
	}
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .argv = argv, .argc = argc};
	struct status st = {.cli = cli, .now = clock_now()};
	const char *value, *dataset = NULL;
	int what;

	while ((what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD || dataset != NULL)
			return what == CLI_ARG_BAD ? CLI_USAGE : cli_usage(cli, "one dataset at a time");
		dataset = value;
	}
	int code = cli_open(cli, true);
	if (code != CLI_OK)
		return code;
	if (dataset != NULL) {
		code = show_named(&st, dataset);
		if (code != CLI_OK)
			return code;
	} else {
		snapset_datasets(cli->set, show_dataset, &st);
		show_missing(&st);
		show_none(&st);
	}
	code = show_faults(&st, dataset);
	if (code != CLI_OK)
		return code;
	show_lost(&st);
	return st.alarm ? CLI_FAILED : CLI_OK;
}
