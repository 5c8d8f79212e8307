/* SPDX-License-Identifier: MIT */
#include "base/verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/hex.h"

enum { PIPE_BYTES = 1 << 20, STEP_BYTES = 128 << 10, LINE_MAX_BYTES = 300, TICK_MS = 200, GRACE_TICKS = 10 };

struct asked {
	const struct verdict_question *q;
	pid_t pid;
	int pidfd; /* -1 where there are none: then a tick notices the end */
	int in;    /* writes to its stdin; -1: all is said */
	int out;   /* reads its stderr; -1: that has ended */
	uint8_t *data;
	size_t data_at, data_len;
	char line[LINE_MAX_BYTES]; /* the first of its stderr that is not empty */
	size_t line_len;
	bool line_done;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* `in` is -1 for an empty stdin. An errno. */
static int spawn(struct asked *a, int in, int out)
{
	char shell[] = "sh", option[] = "-c";
	char *argv[] = {shell, option, (char *)(uintptr_t)a->q->command, NULL};
	char **envp = child_environment(a->q->variables);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;

	if (envp == NULL)
		return ENOMEM;
	posix_spawn_file_actions_init(&actions);
	if (in >= 0)
		posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	else
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&attr);
	child_attributes(&attr, true);
	int e = posix_spawn(&a->pid, "/bin/sh", &actions, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	free(envp);
	return e;
}

static int start(struct asked *a, struct error *err)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};
	int e = 0;

	if ((a->q->feed != NULL && pipe2(in, O_CLOEXEC) < 0) || pipe2(out, O_CLOEXEC) < 0)
		e = errno;
	if (e == 0)
		e = spawn(a, in[0], out[1]);
	close_fd(&in[0]);
	close_fd(&out[1]);
	if (e != 0) {
		close_fd(&in[1]);
		close_fd(&out[0]);
		return error_set_errno(err, e, "cannot run '%s'", a->q->command);
	}
	a->in = in[1];
	a->out = out[0];
	a->pidfd = pidfd_open(a->pid, 0);
	if (a->in >= 0) {
		fcntl(a->in, F_SETPIPE_SZ, PIPE_BYTES);
		fcntl(a->in, F_SETFL, O_NONBLOCK);
	}
	fcntl(a->out, F_SETFL, O_NONBLOCK);
	return 0;
}

/* Writes what the pipe takes. A command that has seen enough and closed its stdin is no error. */
static int push(struct asked *a, struct error *err)
{
	if (a->data_at == a->data_len) {
		a->data_at = a->data_len = 0;
		int r = a->q->feed(a->q->feed_arg, a->data, STEP_BYTES, &a->data_len, err);
		if (r < 0)
			return r;
		if (a->data_len == 0) {
			close_fd(&a->in);
			return 0;
		}
	}
	ssize_t n = write(a->in, a->data + a->data_at, a->data_len - a->data_at);
	if (n >= 0)
		a->data_at += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		close_fd(&a->in);
	return 0;
}

static void keep_line(struct asked *a, const char *p, size_t len)
{
	for (size_t i = 0; i < len && !a->line_done; i++) {
		if (p[i] == '\n' || p[i] == '\r')
			a->line_done = a->line_len > 0;
		else if (a->line_len < sizeof(a->line) && (a->line_len > 0 || p[i] != ' '))
			a->line[a->line_len++] = p[i];
	}
}

/* Takes what is there of its stderr, so that it never waits for a reader. */
static void pull(struct asked *a)
{
	char text[4096];
	ssize_t n = 1;

	while (a->out >= 0 && n > 0) {
		n = read(a->out, text, sizeof(text));
		if (n > 0)
			keep_line(a, text, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			close_fd(&a->out);
	}
}

static void wait_tick(const struct asked *a, bool *ret_in, bool *ret_out)
{
	struct pollfd fds[] = {
		{.fd = a->in, .events = POLLOUT}, {.fd = a->out, .events = POLLIN}, {.fd = a->pidfd, .events = POLLIN}};
	int n = poll(fds, 3, TICK_MS);

	*ret_in = n > 0 && fds[0].revents != 0;
	*ret_out = n > 0 && fds[1].revents != 0;
}

static bool has_ended(const struct asked *a, int *ret_status)
{
	return waitpid(a->pid, ret_status, WNOHANG) == a->pid;
}

/* Asks the group to end, then ends it. */
static void end_it(const struct asked *a)
{
	const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
	int status = 0;

	kill(-a->pid, SIGTERM);
	for (int i = 0; i < GRACE_TICKS; i++) {
		if (has_ended(a, &status))
			return;
		nanosleep(&tick, NULL);
	}
	kill(-a->pid, SIGKILL);
	while (waitpid(a->pid, &status, 0) < 0 && errno == EINTR)
		;
}

static int attend(struct asked *a, int *ret_status, struct error *err)
{
	bool writable, readable, ended = false;
	int r = 0;

	while (r == 0 && !ended) {
		wait_tick(a, &writable, &readable);
		if (a->q->stop != NULL && a->q->stop(a->q->stop_arg))
			r = error_set(err, ERR_CANCELLED, "stopped while '%s' ran", a->q->command);
		if (r == 0 && writable)
			r = push(a, err);
		ended = r == 0 && has_ended(a, ret_status); /* asked first, so that its last words are there */
		if (readable || ended)
			pull(a);
	}
	if (r < 0)
		end_it(a);
	return r;
}

static void conclude(const struct asked *a, int status, struct verdict *v)
{
	*v = (struct verdict){.good = WIFEXITED(status) && WEXITSTATUS(status) == 0};
	if (v->good)
		return;
	if (a->line_len > 0)
		hex_printable_to(a->line, a->line_len, v->reason, sizeof(v->reason));
	else if (WIFEXITED(status))
		snprintf(v->reason, sizeof(v->reason), "it ended with exit status %d", WEXITSTATUS(status));
	else
		snprintf(v->reason, sizeof(v->reason), "it was ended by signal %d", WTERMSIG(status));
}

/* A write to a command that has gone must not end the caller: the signal is held back, and taken when it came. */
static int attend_quietly(struct asked *a, int *ret_status, struct error *err)
{
	const struct timespec now = {0};
	sigset_t pipe_set, before;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
	int r = attend(a, ret_status, err);
	if (sigismember(&before, SIGPIPE) == 0) {
		sigtimedwait(&pipe_set, NULL, &now);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	return r;
}

int verdict_ask(const struct verdict_question *q, struct verdict *ret_verdict, struct error *err)
{
	struct asked a = {.q = q, .pidfd = -1, .in = -1, .out = -1, .data = malloc(STEP_BYTES)};
	int status = 0;
	int r = a.data == NULL ? error_no_memory(err, "a command") : start(&a, err);

	if (r == 0) {
		r = attend_quietly(&a, &status, err);
		close_fd(&a.in);
		close_fd(&a.out);
		close_fd(&a.pidfd);
	}
	if (r == 0)
		conclude(&a, status, ret_verdict);
	free(a.data);
	return r;
}
