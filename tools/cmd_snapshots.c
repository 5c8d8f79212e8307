/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/jsonout.h"
#include "tools/cli.h"
#include "tools/listing.h"

static json_t *texts(char *const *list, unsigned count)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(array, jsonout_text(list[i], strlen(list[i])));
	return array;
}

static json_t *checks(const struct snapshot *s)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < s->check_count; i++) {
		json_t *o = json_object();
		jsonout_set_name(o, "path", s->checks[i].path, strlen(s->checks[i].path));
		json_object_set_new(o, "kind", json_string(s->checks[i].kind));
		json_object_set_new(o, "ok", json_boolean(s->checks[i].ok));
		json_object_set_new(o, "reason", jsonout_text(s->checks[i].reason, strlen(s->checks[i].reason)));
		json_array_append_new(array, o);
	}
	return array;
}

static int print_json(const struct snapshot *s)
{
	char id[ID_HEX_MAX];
	json_t *o = json_object();

	id_hex(&s->id, id);
	json_object_set_new(o, "dataset", json_string(s->dataset));
	json_object_set_new(o, "name", json_string(s->name));
	json_object_set_new(o, "id", json_string(id));
	json_object_set_new(o, "time", jsonout_time(s->time));
	json_object_set_new(o, "host", jsonout_text(s->host, strlen(s->host)));
	json_object_set_new(o, "size", json_integer((json_int_t)s->bytes));
	json_object_set_new(o, "state", json_string(snapshot_state_name(s->state)));
	json_object_set_new(o, "tags", texts(s->tags, s->tag_count));
	json_object_set_new(o, "description", jsonout_text(s->description, strlen(s->description)));
	json_object_set_new(o, "files", json_integer((json_int_t)s->files));
	json_object_set_new(o, "dirs", json_integer((json_int_t)s->dirs));
	json_object_set_new(o, "others", json_integer((json_int_t)s->others));
	json_object_set_new(o, "stored", json_integer((json_int_t)s->stored_bytes));
	json_object_set_new(o, "held", json_boolean(s->held));
	json_object_set_new(o, "checks", checks(s));
	json_object_set_new(o, "notes", texts(s->notes, s->note_count));
	json_object_set_new(o, "paths", texts(s->paths, s->path_count));
	return jsonout_line(stdout, o);
}

static void print_check(const struct snapshot_check *c)
{
	bool all = strcmp(c->path, SNAPSHOT_CHECK_ALL) == 0, plain = c->kind[0] == '\0';

	printf("    ");
	if (!all) {
		listing_text(stdout, c->path);
		printf("%s%s%s", plain ? " " : ": ", c->kind, plain ? "" : c->ok ? " is whole" : ": ");
	}
	if (all && c->ok)
		printf("the check command found it good");
	else if (all || plain || !c->ok)
		listing_text(stdout, c->reason);
	putchar('\n');
}

static void print_why(const struct snapshot *s)
{
	for (unsigned i = 0; i < s->check_count; i++)
		print_check(&s->checks[i]);
	for (unsigned i = 0; i < s->note_count; i++) {
		printf("    ");
		listing_text(stdout, s->notes[i]);
		putchar('\n');
	}
}

static void print_plain(const struct cli *cli, const struct snapshot *s)
{
	char size[PROGRESS_TEXT_MAX], stored[PROGRESS_TEXT_MAX], label[256];

	progress_human_bytes(s->bytes, size);
	progress_human_bytes(s->stored_bytes, stored);
	snprintf(label, sizeof(label), "%s/%s", s->dataset, s->name);
	printf("%-40s %10s %10s  %-10s ", label, size, stored, snapshot_state_name(s->state));
	listing_text(stdout, s->host);
	for (unsigned i = 0; i < s->tag_count; i++) {
		printf(" [");
		listing_text(stdout, s->tags[i]);
		putchar(']');
	}
	printf("%s", s->description[0] == '\0' ? "" : "  ");
	listing_text(stdout, s->description);
	printf("%s\n", s->held ? "  (held)" : "");
	if (cli->verbose > 0)
		print_why(s);
}

static int list(struct cli *cli, const char *dataset)
{
	const struct snapset *set = cli->set;
	size_t first = 0, count = set->count;

	bool found = dataset == NULL || snapset_dataset(set, dataset, &first, &count);

	if (!found && conf_dataset(cli->conf, dataset)->name != NULL)
		count = 0;
	else if (!found) {
		struct error err = ERROR_INIT;
		error_set(&err, ERR_NOT_FOUND, "there is no snapshot of a dataset '%s'; 'drfs snapshots' lists all",
			dataset);
		return cli_fail(cli, &err);
	}
	if (count == 0)
		log_notice(cli->log, "no snapshots%s%s", dataset == NULL ? "" : " of ", dataset == NULL ? "" : dataset);
	else if (!cli->json && !cli->quiet)
		printf("%-40s %10s %10s  %-10s %s\n", "SNAPSHOT (UTC)", "SIZE", "STORED", "STATE", "HOST");
	for (size_t i = first; i < first + count; i++) {
		if (cli->json)
			print_json(set->list[i]);
		else
			print_plain(cli, set->list[i]);
	}
	if (set->fault_count > 0)
		log_warn(cli->log, "%zu snapshot objects do not open; 'drfs status' says which", set->fault_count);
	return CLI_OK;
}

int cmd_snapshots(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .argv = argv, .argc = argc};
	const char *value, *dataset = NULL;
	int what;

	while ((what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (dataset != NULL)
			return cli_usage(cli, "one dataset at a time");
		dataset = value;
	}
	int code = cli_open(cli, true);
	return code != CLI_OK ? code : list(cli, dataset);
}
