/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mountpoint.h"
#include "tools/mount_words.h"
#include "tools/notify.h"

enum option { O_FOREGROUND, O_WORDS, O_COUNT };
static const struct cli_option options[O_COUNT] = {
	[O_FOREGROUND] = {"foreground", 'f', false, false}, [O_WORDS] = {"options", 'o', true, false}};

/* Who waits for the mount to be usable: a parent at a pipe, or systemd. */
struct waiter {
	struct cli *cli;
	int fd; /* -1 in the foreground */
};

/* From here on nobody reads what is written to the terminal; the log goes to syslog. */
static void leave_terminal(struct log *log)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_redirect(log, -1);
	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	setsid();
	if (chdir("/") != 0)
		log_debug(log, "cannot leave the working folder");
}

static void on_ready(void *arg)
{
	struct waiter *w = arg;
	ssize_t sent;

	if (w->fd < 0) {
		notify_systemd("READY=1");
		return;
	}
	leave_terminal(w->cli->log);
	do
		sent = write(w->fd, "r", 1);
	while (sent < 0 && errno == EINTR);
	close(w->fd);
	w->fd = -1;
}

/* The folder of a repository that lies on this machine, as an absolute path; NULL: it lies elsewhere. Caller frees. */
static char *local_folder(struct cli *cli, const char *url)
{
	struct store_options opening = {.log = cli->log};
	struct store *store = NULL;

	if (url[0] == '/')
		return realpath(url, NULL);
	if (store_open(url, &opening, &store, NULL) < 0) /* told when it is opened for use */
		return NULL;
	char *folder = store->local_path == NULL ? NULL : strdup(store->local_path);
	store_close(store);
	return folder;
}

/* What can be known without the key is said before the key is asked for. */
static int look_first(struct cli *cli, const struct mount_request *q, const char *url, char **ret_mountpoint)
{
	struct error err = ERROR_INIT;
	char *folder = local_folder(cli, url);
	int r = mountpoint_check(q->mountpoint, folder, ret_mountpoint, &err);

	if (r == 0)
		r = mountpoint_fuse_ok(q->o.allow_other, &err);
	free(folder);
	return r < 0 ? cli_fail(cli, &err) : CLI_OK;
}

/* How the configuration has a dataset committed; it stays while the mount runs. */
static struct spool_rule rule_of(void *arg, const char *dataset)
{
	static const enum spool_policy policies[] = {[CONF_COMMIT_IDLE] = SPOOL_IDLE,
		[CONF_COMMIT_CLOSE] = SPOOL_CLOSE,
		[CONF_COMMIT_MANUAL] = SPOOL_MANUAL};
	static const enum spool_durability durabilities[] = {[CONF_DURABLE_LOCAL] = SPOOL_LOCAL,
		[CONF_DURABLE_POWER] = SPOOL_POWER,
		[CONF_DURABLE_REMOTE] = SPOOL_REMOTE};
	const struct conf_dataset *d = conf_dataset(arg, dataset);

	return (struct spool_rule){.policy = policies[d->commit],
		.durability = durabilities[d->durability],
		.idle_ns = d->idle_ns,
		.idle_max_ns = d->idle_max_ns,
		.compression = d->compression,
		.check = d->check};
}

/* In the process that stays. */
static int serve(struct cli *cli, struct mount_request *q, int ready_fd)
{
	struct waiter waiter = {.cli = cli, .fd = ready_fd};
	struct error err = ERROR_INIT;
	char *mountpoint = NULL, *catalog = NULL;
	int code = cli_load_conf(cli);
	const char *url = code == CLI_OK ? cli_url(cli) : NULL;

	if (url == NULL)
		return code != CLI_OK ? code : CLI_USAGE;
	code = look_first(cli, q, url, &mountpoint);
	if (code == CLI_OK)
		code = cli_open(cli, false);
	if (code == CLI_OK)
		code = cli_open_seen(cli);
	if (code == CLI_OK) {
		catalog = cli_catalog_dir(cli);
		q->o.mountpoint = mountpoint;
		q->o.version = DRFS_VERSION;
		q->o.catalog_dir = catalog;
		q->o.spool_dir = cli->conf->spool_dir;
		q->o.seen = cli->seen;
		q->o.rule = rule_of;
		q->o.rule_arg = cli->conf;
		q->o.log = cli->log;
		q->o.ready = on_ready;
		q->o.ready_arg = &waiter;
		if (q->o.poll_ns == 0)
			q->o.poll_ns = cli->conf->poll_ns;
		int r = mount_run(cli->repo, &q->o, &err);
		if (r < 0) /* Ctrl-C has done what was asked for: no word is needed */
			code = r == ERR_CANCELLED ? CLI_INTERRUPTED : cli_fail(cli, &err);
		if (q->foreground)
			notify_systemd("STOPPING=1");
	}
	free(catalog);
	free(mountpoint);
	return code;
}

/* Ctrl-C while the child asks for a passphrase reaches the child too, which then says how it ended. */
static int wait_until_ready(struct cli *cli, int fd, pid_t child)
{
	char word;
	ssize_t got;
	int status;

	do
		got = read(fd, &word, 1);
	while (got < 0 && errno == EINTR);
	if (got == 1)
		return CLI_OK;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return CLI_FAILED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	log_error(cli->log, "the mount's process was ended by signal %d", WTERMSIG(status));
	return CLI_FAILED;
}

/*
 * A plain fork, before any thread is there and before a secret is in memory: one process stays, and keeps its command
 * line for ps.
 */
static int serve_in_background(struct cli *cli, struct mount_request *q)
{
	struct error err = ERROR_INIT;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0) {
		error_set_errno(&err, errno, "cannot make a pipe");
		return cli_fail(cli, &err);
	}
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		close(fds[0]);
		return serve(cli, q, fds[1]);
	}
	close(fds[1]);
	int code = CLI_FAILED;
	if (child > 0) {
		code = wait_until_ready(cli, fds[0], child);
	} else {
		error_set_errno(&err, errno, "cannot start a process for the mount");
		cli_fail(cli, &err);
	}
	close(fds[0]);
	return code;
}

/* What -n says: all that serve() looks at, with the key too. A dead mount there is left as it is. */
static int tell(struct cli *cli, const struct mount_request *q)
{
	enum mountpoint_kind kind = MOUNTPOINT_NONE;
	char *mountpoint = NULL;
	int code = cli_load_conf(cli);
	const char *url = code == CLI_OK ? cli_url(cli) : NULL;

	if (url == NULL)
		return code != CLI_OK ? code : CLI_USAGE;
	if (mountpoint_kind(q->mountpoint, &kind, NULL) < 0 || kind != MOUNTPOINT_DRFS_DEAD)
		code = look_first(cli, q, url, &mountpoint);
	if (code == CLI_OK)
		code = cli_open(cli, false);
	if (code == CLI_OK)
		printf("would mount '%s' at '%s'%s\n", cli->repo->store->url, q->mountpoint,
			kind == MOUNTPOINT_DRFS_DEAD ? " in place of a mount whose process is gone" : "");
	free(mountpoint);
	return code;
}

static int mount_it(struct cli *cli, struct mount_request *q)
{
	if (q->mountpoint == NULL)
		return cli_usage(cli, "where? for example: drfs mount /mnt/dr");
	if (cli->dry_run)
		return tell(cli, q);
	return q->foreground ? serve(cli, q, -1) : serve_in_background(cli, q);
}

int cmd_mount(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct mount_request q = {0};
	const char *value;
	int what, code = CLI_OK;

	while (code == CLI_OK && (what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (what == O_FOREGROUND)
			q.foreground = true;
		else if (what == O_WORDS)
			code = mount_words_take(cli, &q, value);
		else if (q.mountpoint == NULL)
			q.mountpoint = value;
		else
			code = cli_usage(cli, "one mount point at a time, not '%s' too", value);
	}
	return code == CLI_OK ? mount_it(cli, &q) : code;
}

/* As mount(8) calls it: mount.drfs URL MNT [-sfnvrw] [-o WORDS] [-t TYPE] [-N NAMESPACE]. */
int cmd_mount_helper(struct cli *cli, int argc, char **argv)
{
	struct mount_request q = {0};
	bool fake = false;
	int code = CLI_OK, letter;
	char **words = argv - 1; /* getopt begins behind the program's name */

	opterr = 0;
	while (code == CLI_OK && (letter = getopt(argc + 1, words, "sfnvrwo:t:N:h")) != -1) {
		if (letter == 'o')
			code = mount_words_take(cli, &q, optarg);
		else if (letter == 'f')
			fake = true;
		else if (letter == 'v')
			cli->verbose++;
		else if (letter == '?' || letter == 'h')
			code = cli_usage(cli, "usage: mount.drfs URL MNT [-o WORD,…]");
	}
	if (code == CLI_OK && argc + 1 - optind != 2)
		code = cli_usage(cli, "usage: mount.drfs URL MNT [-o WORD,…]");
	if (code != CLI_OK || fake)
		return code;
	cli->repo_url = strdup(words[optind]);
	q.mountpoint = words[optind + 1];
	return mount_it(cli, &q);
}
