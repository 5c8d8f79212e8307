/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/backup.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "base/jsonout.h"
#include "tools/cli.h"
#include "tools/skips.h"

enum option { O_STDIN, O_EXCLUDE, O_EXCLUDE_FROM, O_ONE_FS, O_DESCRIPTION, O_TAG, O_COMPRESSION, O_COUNT };

static const struct cli_option options[O_COUNT] = {
	[O_STDIN] = {"stdin", 0, true, false},
	[O_EXCLUDE] = {"exclude", 'e', true, false},
	[O_EXCLUDE_FROM] = {"exclude-from", 0, true, false},
	[O_ONE_FS] = {"one-file-system", 'x', false, false},
	[O_DESCRIPTION] = {"description", 0, true, false},
	[O_TAG] = {"tag", 0, true, false},
	[O_COMPRESSION] = {"compression", 0, true, false},
};

enum { EXCLUDES_MAX = 4 << 20 };

/* A growing list of words, all owned. */
struct words {
	char **list;
	size_t count;
};

/* Takes `word` over, also on failure; NULL is a failure of who copied it. */
static int words_add(struct words *w, char *word)
{
	char **bigger = word == NULL ? NULL : reallocarray(w->list, w->count + 1, sizeof(char *));

	if (bigger == NULL) {
		free(word);
		return -1;
	}
	w->list = bigger;
	w->list[w->count++] = word;
	return 0;
}

static void words_free(struct words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->list[i]);
	free(w->list);
}

struct request {
	struct backup_options o;
	struct words paths, excludes, tags;
	const char *dataset;
};

static int read_patterns(struct words *w, const char *path, struct error *err)
{
	struct buf text = {0};
	int r = fileio_slurp(path, EXCLUDES_MAX, &text, err);

	buf_put_u8(&text, '\0');
	if (r == 0 && buf_failed(&text))
		r = error_no_memory(err, "exclude patterns");
	for (char *save = NULL, *line = r == 0 ? strtok_r((char *)text.data, "\r\n", &save) : NULL; line != NULL;
		line = strtok_r(NULL, "\r\n", &save))
		if (words_add(w, strdup(line)) < 0)
			r = error_no_memory(err, "exclude patterns");
	buf_release(&text);
	return r;
}

static int take_compression(struct cli *cli, struct request *q, const char *value)
{
	char *end = NULL;
	long level = strcmp(value, "off") == 0 ? 0 : strtol(value, &end, 10);

	if (end != NULL && (*end != '\0' || level < 1 || level > 19))
		return cli_usage(cli, "--compression takes 1 to 19, or off, not '%s'", value);
	q->o.compression = (int)level;
	return CLI_OK;
}

static int take_option(struct cli *cli, struct request *q, int which, const char *value)
{
	struct error err = ERROR_INIT;

	switch (which) {
	case O_STDIN:
		q->o.stdin_name = value;
		return CLI_OK;
	case O_EXCLUDE:
		return words_add(&q->excludes, strdup(value)) < 0 ? CLI_FAILED : CLI_OK;
	case O_EXCLUDE_FROM:
		return read_patterns(&q->excludes, value, &err) < 0 ? cli_fail(cli, &err) : CLI_OK;
	case O_ONE_FS:
		q->o.one_file_system = true;
		return CLI_OK;
	case O_DESCRIPTION:
		q->o.description = value;
		return CLI_OK;
	case O_TAG:
		return words_add(&q->tags, strdup(value)) < 0 ? CLI_FAILED : CLI_OK;
	case O_COMPRESSION:
		return take_compression(cli, q, value);
	default:
		if (q->dataset == NULL)
			q->dataset = value;
		else if (words_add(&q->paths, strdup(value)) < 0)
			return CLI_FAILED;
		return CLI_OK;
	}
}

static int judge_request(struct cli *cli, struct request *q, char **command)
{
	struct error err = ERROR_INIT;

	if (q->dataset == NULL)
		return cli_usage(cli, "which dataset? for example: drfs backup files /srv/uploads/");
	if (snapshot_dataset_ok(q->dataset, &err) < 0)
		return cli_usage(cli, "%s", error_text(&err));
	if (q->o.stdin_name == NULL && q->paths.count == 0)
		return cli_usage(cli, "what is to be saved? name paths, or --stdin NAME");
	if (q->o.stdin_name != NULL && q->paths.count > 0)
		return cli_usage(cli, "--stdin NAME and paths do not go together");
	if (command != NULL && command[0] == NULL)
		return cli_usage(cli, "a command is missing behind '--'");
	if (q->o.stdin_name != NULL && !entry_name_ok((const uint8_t *)q->o.stdin_name, strlen(q->o.stdin_name)))
		return cli_usage(cli, "'%s' is no file name", q->o.stdin_name);
	return CLI_OK;
}

static void warn(void *arg, const char *path, const char *what)
{
	const struct cli *cli = arg;

	if (strcmp(path, SNAPSHOT_CHECK_ALL) == 0)
		log_warn(cli->log, "%s", what);
	else
		log_warn(cli->log, "%s: %s", path, what);
}

static int exit_code(const struct backup_result *res)
{
	if (res->command_status != 0)
		return CLI_FAILED;
	if (res->skipped > 0 || (res->snapshot != NULL && res->snapshot->state != SNAPSHOT_WHOLE))
		return CLI_PARTLY;
	return CLI_OK;
}

static int print_json(const struct cli *cli, const struct request *q, const struct backup_result *res)
{
	json_t *o = json_object();

	json_object_set_new(o, "dataset", json_string(q->dataset));
	json_object_set_new(o, "dry_run", json_boolean(cli->dry_run));
	if (res->snapshot != NULL) {
		char id[ID_HEX_MAX];
		id_hex(&res->snapshot->id, id);
		json_object_set_new(o, "name", json_string(res->snapshot->name));
		json_object_set_new(o, "id", json_string(id));
		json_object_set_new(o, "time", jsonout_time(res->snapshot->time));
		json_object_set_new(o, "state", json_string(snapshot_state_name(res->snapshot->state)));
	}
	json_object_set_new(o, "files", json_integer((json_int_t)res->files));
	json_object_set_new(o, "dirs", json_integer((json_int_t)res->dirs));
	json_object_set_new(o, "others", json_integer((json_int_t)res->others));
	json_object_set_new(o, "size", json_integer((json_int_t)res->bytes));
	json_object_set_new(o, "new_files", json_integer((json_int_t)res->new_files));
	json_object_set_new(o, "changed_files", json_integer((json_int_t)res->changed_files));
	json_object_set_new(o, "unchanged_files", json_integer((json_int_t)res->unchanged_files));
	json_object_set_new(o, "new_bytes", json_integer((json_int_t)res->new_bytes));
	json_object_set_new(o, "stored_bytes", json_integer((json_int_t)res->stored_bytes));
	json_object_set_new(o, "skipped", json_integer((json_int_t)res->skipped));
	return jsonout_line(stdout, o);
}

static void print_plain(const struct cli *cli, const struct request *q, const struct backup_result *res)
{
	char size[PROGRESS_TEXT_MAX], fresh[PROGRESS_TEXT_MAX], stored[PROGRESS_TEXT_MAX];

	progress_human_bytes(res->bytes, size);
	progress_human_bytes(res->new_bytes, fresh);
	progress_human_bytes(res->stored_bytes, stored);
	if (res->snapshot == NULL) {
		printf("%s: would save %llu file%s, %s: %llu new, %llu changed, %llu unchanged\n", q->dataset,
			(unsigned long long)res->files, res->files == 1 ? "" : "s", size,
			(unsigned long long)res->new_files, (unsigned long long)res->changed_files,
			(unsigned long long)res->unchanged_files);
		return;
	}
	printf("%s/%s: %llu file%s, %s (%llu new, %llu changed, %llu unchanged); %s new, %s stored\n", q->dataset,
		res->snapshot->name, (unsigned long long)res->files, res->files == 1 ? "" : "s", size,
		(unsigned long long)res->new_files, (unsigned long long)res->changed_files,
		(unsigned long long)res->unchanged_files, fresh, stored);
	if (res->snapshot->state != SNAPSHOT_WHOLE)
		log_warn(cli->log, "this snapshot is %s; 'drfs snapshots -v %s' says why",
			snapshot_state_name(res->snapshot->state), q->dataset);
}

static int collect_skips(struct cli *cli, const struct request *q, struct skips *ret, struct error *err)
{
	int r = skips_collect(cli, ret, err);

	for (size_t i = 0; r == 0 && i < q->paths.count; i++)
		r = skips_judge_source(cli, ret, q->paths.list[i], err);
	if (r < 0)
		skips_release(ret);
	return r;
}

static int run(struct cli *cli, struct request *q)
{
	struct error err = ERROR_INIT;
	struct backup_result res = {0};
	struct skips skips = {0};
	int code = cli_open(cli, false);

	if (code == CLI_OK)
		code = cli_open_seen(cli);
	if (code == CLI_OK)
		code = cli_open_catalog(cli);
	if (code != CLI_OK)
		return code;
	if (collect_skips(cli, q, &skips, &err) < 0)
		return cli_fail(cli, &err);
	q->o.skip_paths = (const char *const *)skips.list;
	q->o.skip_count = skips.count;
	q->o.seen = cli->seen;
	q->o.progress = progress_new(2, "backing up", cli->quiet || cli->json);
	if (q->o.compression < 0)
		q->o.compression = conf_dataset(cli->conf, q->dataset)->compression;
	q->o.check_command = conf_dataset(cli->conf, q->dataset)->check;
	int r = backup_run(cli->repo, cli->catalog, &q->o, &res, &err);
	progress_free(q->o.progress);
	skips_release(&skips);
	if (r < 0)
		return cli_fail(cli, &err);
	if (res.snapshot != NULL)
		cli_announce(cli, res.snapshot);
	if (cli->json)
		print_json(cli, q, &res);
	else if (!cli->quiet)
		print_plain(cli, q, &res);
	code = exit_code(&res);
	if (res.command_status != 0)
		log_error(cli->log, "the command '%s' failed; what came of it is kept as '%s'", q->o.command[0],
			res.snapshot == NULL ? "nothing" : res.snapshot->name);
	snapshot_free(res.snapshot);
	return code;
}

/* Behind "--" there are paths, or with --stdin a command. One that lacks --stdin is most likely a slip. */
static int take_words(struct cli *cli, struct cli_args *args, struct request *q)
{
	const char *value;
	struct stat st;
	int what, code = CLI_OK;
	bool dashes = false;

	while (code == CLI_OK && (what = cli_arg(args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (args->plain_only && !dashes && q->dataset != NULL && lstat(value, &st) != 0 && errno == ENOENT)
			return cli_usage(cli, "a command's output needs a name: --stdin NAME -- COMMAND");
		dashes = args->plain_only;
		code = take_option(cli, q, what, value);
		args->rest_is_command = q->o.stdin_name != NULL;
	}
	return code;
}

int cmd_backup(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct request q = {.o = {.stdin_fd = STDIN_FILENO, .compression = -1, .warn = warn, .warn_arg = cli}};
	int code = take_words(cli, &args, &q);
	char **command = cli_rest(&args);
	if (code == CLI_OK)
		code = judge_request(cli, &q, command);
	if (code == CLI_OK) {
		q.o.command = command;
		q.o.dataset = q.dataset;
		q.o.paths = q.paths.list;
		q.o.path_count = q.paths.count;
		q.o.excludes = q.excludes.list;
		q.o.exclude_count = q.excludes.count;
		q.o.tags = q.tags.list;
		q.o.tag_count = q.tags.count;
		q.o.dry_run = cli->dry_run;
		q.o.cancel = &cli_cancelled;
		code = run(cli, &q);
	}
	words_free(&q.paths);
	words_free(&q.excludes);
	words_free(&q.tags);
	return code;
}
