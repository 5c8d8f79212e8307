/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host.h"
#include "tools/cli.h"

volatile int cli_cancelled;

static void on_signal(int number)
{
	(void)number;
	cli_cancelled = 1;
}

/* Ctrl-C and SIGTERM end a run in order; a second Ctrl-C ends it at once. */
static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Steps over global options to the sub-command's name, which is taken out of argv. */
static int take_command(struct cli *cli, int *argc, char **argv)
{
	struct cli_args args = {.cli = cli, .argv = argv, .argc = *argc, .at = 1};
	const char *word;
	int what = cli_arg(&args, &word);

	if (what == CLI_ARG_BAD)
		return CLI_USAGE;
	if (what == CLI_ARG_END)
		return cmd_help(cli, 0, NULL) == CLI_OK ? CLI_USAGE : CLI_FAILED;
	cli->command = word;
	*argc -= args.at;
	memmove(argv, argv + args.at, (size_t)(*argc + 1) * sizeof(char *));
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const struct command_row *row = cli_find_command(cli->command);

	return row != NULL ? row->run(cli, argc, argv) : cli_unknown(cli, cli->command);
}

/* A reader that has seen enough, as head(1), is no fault to be told. */
static bool reader_is_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

int cli_end_output(const struct cli *cli, int code)
{
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) != 0)
		failed = true;
	if (!failed)
		return code;
	if (!reader_is_gone())
		log_error(cli->log, "cannot write to standard output%s%s", errno == 0 ? "" : ": ",
			errno == 0 ? "" : strerror(errno));
	return code == CLI_OK ? CLI_FAILED : code;
}

int main(int argc, char **argv)
{
	struct cli cli = {.program = basename(argv[0])};
	struct error err = ERROR_INIT;
	int code;

	if (host_init(&err) < 0) {
		fprintf(stderr, "drfs: %s\n", error_text(&err));
		return CLI_FAILED;
	}
	cli.log = log_new(2, LOG_LEVEL_NOTICE);
	catch_signals();
	if (strcmp(cli.program, "mount.drfs") == 0) {
		cli.command = "mount";
		code = cmd_mount_helper(&cli, argc - 1, argv + 1);
	} else if (strncmp(cli.program, "umount.", 7) == 0) {
		cli.command = "umount";
		code = cmd_umount_helper(&cli, argc - 1, argv + 1);
	} else {
		code = take_command(&cli, &argc, argv);
		if (code == CLI_OK)
			code = run(&cli, argc, argv);
	}
	code = cli_end_output(&cli, code);
	if (cli_cancelled != 0 && code == CLI_FAILED)
		code = CLI_INTERRUPTED;
	cli_close(&cli);
	return code;
}
