/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "base/child.h"

struct command {
	pid_t pid;
	int fd;
	bool has_group; /* its own, so that all it started can be stopped */
};

/*
 * At a terminal the command stays in the foreground, or it could not ask for its password there; Ctrl-C reaches all of
 * it by itself.
 */
static bool in_foreground(void)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	bool is = tty >= 0 && tcgetpgrp(tty) == getpgrp();

	if (tty >= 0)
		close(tty);
	return is;
}

int command_start(char *const *argv, struct command **ret_command, int *ret_fd, struct error *err)
{
	extern char **environ;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int pipes[2];
	struct command *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return error_no_memory(err, "a command");
	if (pipe2(pipes, O_CLOEXEC) < 0) {
		free(c);
		return error_set_errno(err, errno, "cannot make a pipe for '%s'", argv[0]);
	}
	fcntl(pipes[0], F_SETPIPE_SZ, 1 << 20);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	c->has_group = !in_foreground();
	child_attributes(&attr, c->has_group);
	int e = posix_spawnp(&c->pid, argv[0], &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	close(pipes[1]);
	if (e != 0) {
		close(pipes[0]);
		free(c);
		return error_set_errno(err, e, "cannot run '%s'", argv[0]);
	}
	c->fd = *ret_fd = pipes[0];
	*ret_command = c;
	return 0;
}

int command_end(struct command *c, bool kill_it)
{
	int status = 0;

	close(c->fd);
	if (kill_it)
		kill(c->has_group ? -c->pid : c->pid, SIGTERM);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	free(c);
	return status;
}
