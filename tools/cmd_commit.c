/* SPDX-License-Identifier: MIT */
/* Asks the mount that has the spool to commit a dataset now: by an extended attribute of its .commit, so whoever may
 * write there may commit, and no key is needed. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "archive/config.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "base/host.h"
#include "base/jsonout.h"
#include "fs/mountpoint.h"
#include "tools/cli.h"

enum { TAGS_MAX = 64, RESULT_MAX = 8192 };
#define ANSWER_WAIT (5 * CLOCK_SECOND) /* of a store, before its mount is asked without it */
static const char ask_attr[] = "user.drfs.commit", result_attr[] = "user.drfs.commit.result";

enum option { O_DESCRIPTION, O_TAG, O_COUNT };
static const struct cli_option options[O_COUNT] = {
	[O_DESCRIPTION] = {"description", 0, true, false}, [O_TAG] = {"tag", 0, true, false}};

struct commit_request {
	const char *dataset, *description;
	const char *tags[TAGS_MAX];
	size_t tag_count;
};

/* The repository's id stands in the clear in its config. */
static int read_id(const char *url, uint8_t ret_id[static FORMAT_REPO_LEN], struct error *err)
{
	struct store_options store_options = {.log = NULL}; /* who reads may outlive the log */
	struct store *store = NULL;
	struct repo_config config;
	struct buf object = {0};
	int rc = store_open(url, &store_options, &store, err);

	if (rc == 0)
		rc = store_get_all(store, NULL, "config", CONFIG_OBJECT_MAX, &object, err);
	if (rc == ERR_NOT_FOUND || rc == ERR_NO_REPO) {
		error_clear(err);
		rc = error_set(err, ERR_NO_REPO, "there is no repository at '%s'; 'drfs init' makes one", url);
	}
	if (rc == 0)
		rc = config_decode(object.data, object.len, &config, err);
	if (rc == 0)
		memcpy(ret_id, config.repository, FORMAT_REPO_LEN);
	buf_release(&object);
	store_close(store);
	return rc;
}

/* The mount of a repository that has its spool. */
struct spool_search {
	const uint8_t *repository; /* NULL: it cannot be asked who it is, so its URL decides */
	const char *url;           /* as told_url() has it */
	char *spool;               /* its spool/, the caller's to free; NULL: none was found */
	char *without;             /* a mount of the repository that shows none */
};

static int look_at_mount(void *arg, const char *mountpoint)
{
	struct spool_search *s = arg;
	struct mountpoint_status status = {0};
	struct stat st;

	if (mountpoint_status(mountpoint, &status, NULL) < 0)
		return 0;
	bool ours = s->repository != NULL ? memcmp(status.repository, s->repository, MOUNTPOINT_REPO_LEN) == 0
					  : strcmp(status.url, s->url) == 0;
	mountpoint_status_release(&status);
	if (!ours)
		return 0;
	char *path = fileio_format("%s/spool", mountpoint);
	if (path != NULL && stat(path, &st) == 0) {
		s->spool = path;
		return 1;
	}
	free(path);
	free(s->without);
	s->without = strdup(mountpoint);
	return 0;
}

/* `id` NULL: by the URL. */
static int find_spool(const uint8_t *id, const char *url, const char *told, char **ret_spool, struct error *err)
{
	struct spool_search s = {.repository = id, .url = told};
	int rc = mountpoint_each(look_at_mount, &s, err);

	if (rc == 0 && s.without != NULL)
		rc = error_set(err, ERR_NOT_FOUND,
			"'%s' shows no spool/ (its log says why), and no other mount of '%s' on this host does; the "
			"first "
			"mount of a repository has the spool",
			s.without, url);
	else if (rc == 0)
		rc = error_set(err, ERR_NOT_FOUND,
			"'%s' is not mounted on this host by you; 'drfs mount MNT' mounts it, then write into "
			"MNT/spool/",
			url);
	free(s.without);
	if (rc < 0)
		return rc;
	*ret_spool = s.spool;
	return 0;
}

/* The folder's path as it was before it went away: of what still leads there no link is left. Caller frees. */
static char *absent_path(const char *path)
{
	char *copy = strdup(path);
	char *slash = copy != NULL ? strrchr(copy, '/') : NULL;
	char *folder = NULL, *whole = NULL;

	if (slash != NULL)
		*slash = '\0';
	if (copy != NULL)
		folder = realpath(slash == NULL ? "." : copy[0] == '\0' ? "/" : copy, NULL);
	if (folder != NULL)
		whole = fileio_format(
			"%s/%s", strcmp(folder, "/") == 0 ? "" : folder, slash == NULL ? path : slash + 1);
	free(folder);
	free(copy);
	return whole != NULL ? whole : strdup(path);
}

/* The path of a URL of a folder; other URLs as they are. */
static const char *url_path(const char *url)
{
	return strncmp(url, "file://localhost/", 17) == 0 ? url + 16
	       : strncmp(url, "file:///", 8) == 0         ? url + 7
	       : strncmp(url, "file:/", 6) == 0           ? url + 5
							  : url;
}

/* A URL as a mount of it tells it in status.json. Caller frees; NULL without memory. */
static char *told_url(const char *url)
{
	const char *path = url_path(url);

	if (strstr(path, "://") != NULL)
		return strdup(path);
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	char *trimmed = strndup(path, len);
	char *whole = trimmed != NULL ? realpath(trimmed, NULL) : NULL;
	if (whole == NULL && trimmed != NULL)
		whole = absent_path(trimmed);
	free(trimmed);
	return whole;
}

/* What is asked of a store that may hang. Lives until both who asks and who answers are through with it. */
struct inquiry {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	char *url;
	bool done, left; /* under the lock */
	int rc;
	uint8_t id[FORMAT_REPO_LEN];
	char *told; /* told_url(); set where there is no id */
	struct error err;
};

static void inquiry_free(struct inquiry *q)
{
	pthread_cond_destroy(&q->answered);
	pthread_mutex_destroy(&q->lock);
	free(q->told);
	free(q->url);
	free(q);
}

static void *inquire(void *arg)
{
	struct inquiry *q = arg;

	q->rc = read_id(q->url, q->id, &q->err);
	if (q->rc < 0)
		q->told = told_url(q->url);
	pthread_mutex_lock(&q->lock);
	q->done = true;
	bool left = q->left;
	pthread_cond_signal(&q->answered);
	pthread_mutex_unlock(&q->lock);
	if (left)
		inquiry_free(q);
	return NULL;
}

static struct inquiry *inquiry_new(const char *url)
{
	struct inquiry *q = calloc(1, sizeof(*q));
	pthread_condattr_t attr;

	if (q == NULL || (q->url = strdup(url)) == NULL || pthread_condattr_init(&attr) != 0) {
		free(q != NULL ? q->url : NULL);
		free(q);
		return NULL;
	}
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->answered, &attr);
	pthread_condattr_destroy(&attr);
	return q;
}

/* False: no answer came in time, and whoever waits for one frees it. */
static bool wait_for_answer(struct inquiry *q)
{
	int64_t deadline = clock_monotonic() + ANSWER_WAIT;
	struct timespec until = {.tv_sec = deadline / CLOCK_SECOND, .tv_nsec = (long)(deadline % CLOCK_SECOND)};
	int late = 0;

	pthread_mutex_lock(&q->lock);
	while (!q->done && late == 0)
		late = pthread_cond_timedwait(&q->answered, &q->lock, &until);
	q->left = !q->done;
	bool done = q->done;
	pthread_mutex_unlock(&q->lock);
	return done;
}

/*
 * The repository's id; where that cannot be had, its URL as a mount tells it, the caller's, and why in *err. A thread
 * asks: a store that hangs keeps whoever asks it for ever, and its mount can be asked all the same. Its URL is then
 * taken as it was given, as looking at the path would hang too.
 */
static int identify(const char *url, uint8_t ret_id[static FORMAT_REPO_LEN], char **ret_told, struct error *err)
{
	struct inquiry *q = inquiry_new(url);
	pthread_t thread;
	int rc;

	if (q == NULL || host_thread(&thread, inquire, q) != 0) {
		if (q != NULL)
			inquiry_free(q);
		return error_no_memory(err, "asking the repository");
	}
	pthread_detach(thread);
	if (!wait_for_answer(q)) {
		*ret_told = strdup(url_path(url));
		return error_set(err, ERR_TIMEOUT, "'%s' does not answer", url);
	}
	rc = q->rc;
	if (rc == 0)
		memcpy(ret_id, q->id, FORMAT_REPO_LEN);
	else
		*err = q->err;
	*ret_told = q->told;
	q->told = NULL;
	inquiry_free(q);
	return rc;
}

/*
 * The spool of the repository at `url`. A mount goes on while its store cannot be reached from here (moved away, down,
 * hanging, another user's): it is known by its URL then. Where there is none, why the repository cannot be asked is the
 * error.
 */
static int find_mount(struct cli *cli, const char *url, char **ret_spool, struct error *err)
{
	struct error ignored = ERROR_INIT;
	uint8_t id[FORMAT_REPO_LEN];
	char *told = NULL;
	int rc = identify(url, id, &told, err);

	if (rc == 0)
		return find_spool(id, url, NULL, ret_spool, err);
	if (told != NULL && find_spool(NULL, url, told, ret_spool, &ignored) == 0) {
		log_info(cli->log, "%s; its mount is asked all the same", error_text(err));
		error_clear(err);
		rc = 0;
	}
	free(told);
	return rc;
}

/* What the mount is asked, as JSON. Caller frees; NULL without memory. */
static char *wishes(const struct commit_request *q)
{
	json_t *o = json_object(), *tags = json_array();
	if (q->description != NULL)
		json_object_set_new(o, "description", jsonout_text(q->description, strlen(q->description)));
	for (size_t i = 0; i < q->tag_count; i++)
		json_array_append_new(tags, jsonout_text(q->tags[i], strlen(q->tags[i])));
	json_object_set_new(o, "tags", tags);
	char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

/* How it ended, by the mount's own word. NULL: it does not say. */
static json_t *read_result(const char *path)
{
	char *text = malloc(RESULT_MAX);
	ssize_t len = text != NULL ? getxattr(path, result_attr, text, RESULT_MAX) : -1;
	json_t *o = len > 0 ? json_loadb(text, (size_t)len, 0, NULL) : NULL;
	free(text);
	return o;
}

static int refused(const struct commit_request *q, const char *spool, const char *path, int number, struct error *err)
{
	if (number == ENOENT || number == ENOTDIR)
		return error_set(
			err, ERR_NOT_FOUND, "there is no dataset '%s' in '%s'; mkdir makes one", q->dataset, spool);
	json_t *o = number == EIO ? read_result(path) : NULL;
	const char *why = json_string_value(json_object_get(o, "error"));
	int rc = why != NULL ? error_set(err, ERR_IO,
				       "cannot commit '%s' yet, what was written is kept and tried again: %s",
				       q->dataset, why)
			     : error_set_errno(err, number, "cannot commit '%s'", q->dataset);
	json_decref(o);
	return rc;
}

/* Waits until it is done. *ret_told: how it ended, the caller's. */
static int ask(const struct commit_request *q, const char *spool, json_t **ret_told, struct error *err)
{
	char *path = fileio_format("%s/%s/.commit", spool, q->dataset), *text = wishes(q);
	int rc = 0;

	if (path == NULL || text == NULL)
		rc = error_no_memory(err, "a commit");
	else if (setxattr(path, ask_attr, text, strlen(text), 0) != 0)
		rc = refused(q, spool, path, errno, err);
	if (rc == 0)
		*ret_told = read_result(path);
	free(text);
	free(path);
	return rc;
}

static void print_json(const char *dataset, const char *name, const char *state, const char *reason)
{
	json_t *o = json_object();

	json_object_set_new(o, "dataset", json_string(dataset));
	json_object_set_new(o, "snapshot", name[0] != '\0' ? json_string(name) : json_null());
	json_object_set_new(o, "state", state != NULL ? json_string(state) : json_null());
	json_object_set_new(o, "reason", reason != NULL ? json_string(reason) : json_null());
	jsonout_line(stdout, o);
}

/* What was made may be less than what was meant: that is told as a backup tells it. */
static int report(struct cli *cli, const char *dataset, const json_t *told)
{
	const char *name = json_string_value(json_object_get(told, "snapshot"));
	const char *state = json_string_value(json_object_get(told, "state"));
	const char *reason = json_string_value(json_object_get(told, "reason"));
	bool whole = state == NULL || strcmp(state, snapshot_state_name(SNAPSHOT_WHOLE)) == 0;

	if (name == NULL)
		name = "";
	if (!whole && reason != NULL)
		log_warn(cli->log, "%s", reason);
	if (!whole)
		log_warn(cli->log, "this snapshot is %s; 'drfs snapshots -v %s' says why", state, dataset);
	if (cli->json)
		print_json(dataset, name, state, reason);
	else if (!cli->quiet && name[0] != '\0')
		printf("%s/%s\n", dataset, name);
	else if (!cli->quiet)
		printf("nothing had changed\n");
	return whole ? CLI_OK : CLI_PARTLY;
}

static int commit(struct cli *cli, const struct commit_request *q)
{
	struct error err = ERROR_INIT;
	char *spool = NULL;
	json_t *told = NULL;
	int code = cli_load_conf(cli);
	const char *url = code == CLI_OK ? cli_url(cli) : NULL;

	if (url == NULL)
		return code != CLI_OK ? code : CLI_USAGE;
	int rc = snapshot_dataset_ok(q->dataset, &err);
	if (rc == 0)
		rc = find_mount(cli, url, &spool, &err);
	if (rc == 0)
		rc = ask(q, spool, &told, &err);
	code = rc == 0 ? report(cli, q->dataset, told) : cli_fail(cli, &err);
	json_decref(told);
	free(spool);
	return code;
}

int cmd_commit(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct commit_request q = {0};
	const char *value;
	int what;

	while ((what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (what == O_DESCRIPTION)
			q.description = value;
		else if (what == O_TAG && q.tag_count == TAGS_MAX)
			return cli_usage(cli, "%d tags at most", TAGS_MAX);
		else if (what == O_TAG)
			q.tags[q.tag_count++] = value;
		else if (q.dataset == NULL)
			q.dataset = value;
		else
			return cli_usage(cli, "one dataset at a time, not '%s' too", value);
	}
	if (q.dataset == NULL)
		return cli_usage(cli, "which dataset? for example: drfs commit db");
	return commit(cli, &q);
}
