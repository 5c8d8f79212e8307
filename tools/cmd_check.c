/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "archive/check.h"
#include "base/jsonout.h"
#include "tools/cli.h"

enum option { O_READ_DATA, O_JOBS, O_COUNT };
static const struct cli_option options[O_COUNT] = {
	[O_READ_DATA] = {"read-data", 0, true, true},
	[O_JOBS] = {"jobs", 'j', true, false},
};

/* Findings come from many threads; a line is a line. */
struct report {
	struct cli *cli;
	pthread_mutex_t lock;
};

static const char *severity_name(enum check_severity severity)
{
	return severity == CHECK_ERROR ? "error" : severity == CHECK_WARNING ? "warning" : "note";
}

static void print_finding(void *arg, enum check_severity severity, const char *object, const char *text)
{
	struct report *report = arg;

	if (!report->cli->json) {
		if (severity == CHECK_ERROR)
			log_error(report->cli->log, "%s: %s", object, text);
		else if (severity == CHECK_WARNING)
			log_warn(report->cli->log, "%s: %s", object, text);
		else
			log_info(report->cli->log, "%s: %s", object, text);
		return;
	}
	json_t *o = json_object();
	json_object_set_new(o, "severity", json_string(severity_name(severity)));
	jsonout_set_name(o, "object", object, strlen(object));
	json_object_set_new(o, "text", jsonout_text(text, strlen(text)));
	pthread_mutex_lock(&report->lock);
	jsonout_line(stdout, o);
	pthread_mutex_unlock(&report->lock);
}

static void print_result(const struct cli *cli, const struct check_result *res)
{
	char read[PROGRESS_TEXT_MAX];

	if (cli->json) {
		json_t *o = json_object();
		json_object_set_new(o, "ok", json_boolean(res->errors == 0));
		json_object_set_new(o, "errors", json_integer((json_int_t)res->errors));
		json_object_set_new(o, "warnings", json_integer((json_int_t)res->warnings));
		json_object_set_new(o, "objects", json_integer((json_int_t)res->objects));
		json_object_set_new(o, "packs", json_integer((json_int_t)res->packs));
		json_object_set_new(o, "snapshots", json_integer((json_int_t)res->snapshots));
		json_object_set_new(o, "nodes", json_integer((json_int_t)res->nodes));
		json_object_set_new(o, "chunks", json_integer((json_int_t)res->chunks));
		json_object_set_new(o, "bytes_read", json_integer((json_int_t)res->bytes_read));
		jsonout_line(stdout, o);
		return;
	}
	if (cli->quiet)
		return;
	progress_human_bytes(res->bytes_read, read);
	printf("%llu snapshots, %llu packs, %llu chunks, %llu objects; %s read: ", (unsigned long long)res->snapshots,
		(unsigned long long)res->packs, (unsigned long long)res->chunks, (unsigned long long)res->objects,
		read);
	if (res->errors == 0 && res->warnings == 0)
		puts("no fault found");
	else
		printf("%llu errors, %llu warnings\n", (unsigned long long)res->errors,
			(unsigned long long)res->warnings);
}

static int take_percent(struct cli *cli, const char *value, struct check_options *o)
{
	char *end = NULL;

	o->read_percent = value == NULL ? 100 : strtod(value, &end);
	if (end != NULL && *end == '%')
		end++;
	if (end != NULL && (end == value || *end != '\0' || !(o->read_percent > 0 && o->read_percent <= 100)))
		return cli_usage(cli, "--read-data takes a share above 0%% and up to 100%%, not '%s'", value);
	return CLI_OK;
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct report report = {.cli = cli, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct check_options o = {.finding = print_finding, .finding_arg = &report, .cancel = &cli_cancelled};
	struct check_result res = {0};
	struct error err = ERROR_INIT;
	const char *value;
	int what, code = CLI_OK;

	while (code == CLI_OK && (what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (what == O_READ_DATA)
			code = take_percent(cli, value, &o);
		else if (what == O_JOBS)
			code = cli_jobs(cli, value, &o.threads);
		else
			code = cli_usage(cli, "'%s' is one word too many", value);
	}
	if (code == CLI_OK)
		code = cli_open(cli, false);
	if (code == CLI_OK)
		code = cli_open_seen(cli);
	if (code != CLI_OK)
		return code;
	o.seen = cli->seen;
	o.progress = progress_new(2, "checking", cli->quiet || cli->json);
	int r = check_run(cli->repo, &o, &res, &err);
	progress_free(o.progress);
	if (r < 0)
		return cli_fail(cli, &err);
	print_result(cli, &res);
	return res.errors > 0 ? CLI_FAILED : CLI_OK;
}
