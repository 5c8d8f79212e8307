/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "archive/restore.h"
#include "base/hex.h"
#include "base/jsonout.h"
#include "tools/source.h"

enum option {
	O_JOBS,
	O_DELETE,
	O_VERIFY,
	O_CHECKSUM,
	O_NUMERIC,
	O_NO_OWNER,
	O_MAP_USER,
	O_MAP_GROUP,
	O_TABLE,
	O_INTO,
	O_COUNT
};
static const struct cli_option options[O_COUNT] = {
	[O_JOBS] = {"jobs", 'j', true, false},
	[O_DELETE] = {"delete", 0, false, false},
	[O_VERIFY] = {"verify", 0, false, false},
	[O_CHECKSUM] = {"checksum", 0, false, false},
	[O_NUMERIC] = {"numeric-ids", 0, false, false},
	[O_NO_OWNER] = {"no-owner", 0, false, false},
	[O_MAP_USER] = {"map-user", 0, true, false},
	[O_MAP_GROUP] = {"map-group", 0, true, false},
	[O_TABLE] = {"table", 0, true, false},
	[O_INTO] = {"into", 0, true, false},
};

enum { CACHE_MIB = 256 };

/* Events come from many threads; a line is a line. */
struct report {
	struct cli *cli;
	pthread_mutex_t lock;
};

static void event_json(struct report *report, const char *what, const char *path, uint64_t bytes)
{
	json_t *o = json_object();

	json_object_set_new(o, "event", json_string(what));
	jsonout_set_name(o, "path", path, strlen(path));
	json_object_set_new(o, "size", json_integer((json_int_t)bytes));
	pthread_mutex_lock(&report->lock);
	jsonout_line(stdout, o);
	pthread_mutex_unlock(&report->lock);
}

static void on_event(void *arg, const char *what, const char *path, uint64_t bytes)
{
	struct report *report = arg;
	struct cli *cli = report->cli;

	if (strcmp(what, "warn") == 0) {
		log_warn(cli->log, "%s", path);
		return;
	}
	if (!cli->dry_run && cli->verbose == 0)
		return;
	if (cli->json) {
		event_json(report, what, path, bytes);
		return;
	}
	char *shown = hex_printable(path, strlen(path));
	printf("%-6s %14llu  %s\n", what, (unsigned long long)bytes, shown == NULL ? path : shown);
	free(shown);
}

static void result_json(
	const struct cli *cli, const struct source *src, const char *dest, const struct restore_result *res)
{
	json_t *o = json_object();

	json_object_set_new(o, "dataset", json_string(src->dataset));
	json_object_set_new(o, "snapshot", json_string(src->snapshot->name));
	jsonout_set_name(o, "path", src->path, strlen(src->path));
	jsonout_set_name(o, "dest", dest, strlen(dest));
	json_object_set_new(o, "dry_run", json_boolean(cli->dry_run));
	json_object_set_new(o, "files", json_integer((json_int_t)res->files));
	json_object_set_new(o, "dirs", json_integer((json_int_t)res->dirs));
	json_object_set_new(o, "others", json_integer((json_int_t)res->others));
	json_object_set_new(o, "size", json_integer((json_int_t)res->bytes));
	json_object_set_new(o, "unchanged", json_integer((json_int_t)res->unchanged));
	json_object_set_new(o, "deleted", json_integer((json_int_t)res->deleted));
	json_object_set_new(o, "warnings", json_integer((json_int_t)res->warnings));
	json_object_set_new(o, "verified", json_integer((json_int_t)res->verified));
	json_object_set_new(o, "needed", json_integer((json_int_t)res->needed_bytes));
	jsonout_line(stdout, o);
}

static void result_plain(
	const struct cli *cli, const struct source *src, const char *dest, const struct restore_result *res)
{
	char size[PROGRESS_TEXT_MAX], needed[PROGRESS_TEXT_MAX];

	progress_human_bytes(res->bytes, size);
	progress_human_bytes(res->needed_bytes, needed);
	printf("%s/%s%s%s %s %s: %llu file%s, %s", src->dataset, src->snapshot->name, src->path[0] == '\0' ? "" : "/",
		src->path, cli->dry_run ? "would go to" : "->", dest, (unsigned long long)res->files,
		res->files == 1 ? "" : "s", size);
	if (res->unchanged > 0)
		printf(", %llu unchanged", (unsigned long long)res->unchanged);
	if (res->deleted > 0)
		printf(", %llu deleted", (unsigned long long)res->deleted);
	if (res->verified > 0)
		printf(", %llu verified", (unsigned long long)res->verified);
	if (res->warnings > 0)
		printf(", %llu warnings", (unsigned long long)res->warnings);
	if (cli->dry_run)
		printf("; needs %s of room", needed);
	putchar('\n');
}

static int run(struct cli *cli, const char *word, struct restore_options *o)
{
	struct report report = {.cli = cli, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct error err = ERROR_INIT;
	struct restore_result res = {0};
	struct reader *reader = NULL;
	struct source src = {0};
	int code = source_open(cli, &word, 1);

	if (code == CLI_OK)
		code = source_parse(cli, word, &src);
	if (code == CLI_OK)
		code = source_reader(cli, CACHE_MIB, &reader);
	if (code != CLI_OK)
		goto out;
	if (src.snapshot->state == SNAPSHOT_PARTIAL || src.snapshot->state == SNAPSHOT_DAMAGED)
		log_warn(cli->log, "%s/%s is %s; 'drfs snapshots -v %s' says why", src.dataset, src.snapshot->name,
			snapshot_state_name(src.snapshot->state), src.dataset);
	o->event = on_event;
	o->event_arg = &report;
	o->dry_run = cli->dry_run;
	o->cancel = &cli_cancelled;
	o->progress = progress_new(2, "restoring", cli->quiet || cli->json || cli->dry_run);
	int r = restore_run(cli->repo, reader, src.snapshot, src.path, o, &res, &err);
	progress_free(o->progress);
	if (r < 0) {
		code = cli_fail(cli, &err);
		goto out;
	}
	if (cli->json)
		result_json(cli, &src, o->dest, &res);
	else if (!cli->quiet)
		result_plain(cli, &src, o->dest, &res);
	code = res.warnings > 0 ? CLI_PARTLY : CLI_OK;
out:
	reader_close(reader);
	source_release(&src);
	return code;
}

static int take(struct cli *cli, struct restore_options *o, int which, const char *value)
{
	switch (which) {
	case O_JOBS:
		return cli_jobs(cli, value, &o->threads);
	case O_DELETE:
		o->delete_extra = true;
		return CLI_OK;
	case O_VERIFY:
		o->verify = true;
		return CLI_OK;
	case O_CHECKSUM:
		o->checksum = true;
		return CLI_OK;
	case O_NUMERIC:
		o->numeric_ids = true;
		return CLI_OK;
	case O_NO_OWNER:
		o->no_owner = true;
		return CLI_OK;
	case O_MAP_USER:
		o->map_user = value;
		return CLI_OK;
	case O_MAP_GROUP:
		o->map_group = value;
		return CLI_OK;
	default:
		return cli_usage(cli, "restoring into a database is not in this version yet; pipe it: "
				      "drfs cat db/latest/app.sql | psql app");
	}
}

/* postgresql://… and conninfo strings: a server, not a folder. */
static bool is_database(const char *dest)
{
	return strncmp(dest, "postgresql://", 13) == 0 || strncmp(dest, "postgres://", 11) == 0 ||
	       strncmp(dest, "dbname=", 7) == 0 || strncmp(dest, "host=", 5) == 0;
}

int cmd_restore(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct restore_options o = {0};
	const char *value, *word = NULL;
	int what, code = CLI_OK;

	while (code == CLI_OK && (what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (what != CLI_ARG_PLAIN)
			code = take(cli, &o, what, value);
		else if (word == NULL)
			word = value;
		else if (o.dest == NULL)
			o.dest = value;
		else
			code = cli_usage(cli, "one source and one destination, not '%s' too", value);
	}
	if (code != CLI_OK)
		return code;
	if (o.dest == NULL || o.dest[0] == '\0')
		return cli_usage(cli, "what, and where to? for example: drfs restore files/latest /srv/files");
	if (is_database(o.dest))
		return take(cli, &o, O_TABLE, NULL);
	return run(cli, word, &o);
}
