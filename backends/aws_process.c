/* SPDX-License-Identifier: MIT */

/* A command that prints keys: what it may print and how long it may take is bounded. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/aws_impl.h"
#include "backends/driver.h"
#include "base/child.h"
#include "base/clock.h"

enum { SLICE_MS = 20 };
static const int64_t longest = 60 * CLOCK_SECOND;

struct command {
	const char *source;
	const struct store_call *limits;
	pid_t pid;
	int out; /* what it prints */
	int64_t until;
	struct buf text;
};

/* ---- start ---- */

/* Its stderr is ours: what it complains of is for the user. An errno. */
static int spawn(struct command *c, const char *line, int out)
{
	char shell[] = "sh", option[] = "-c";
	char *argv[] = {shell, option, (char *)(uintptr_t)line, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char **envp = child_environment(NULL);

	if (envp == NULL)
		return ENOMEM;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	child_attributes(&attr, true); /* so that all it started ends with it */
	int e = posix_spawn(&c->pid, "/bin/sh", &actions, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	free(envp);
	return e;
}

static int start(struct command *c, const char *line, struct error *err)
{
	int ends[2] = {-1, -1};
	int e = pipe2(ends, O_CLOEXEC) < 0 ? errno : 0;

	if (e == 0)
		e = spawn(c, line, ends[1]);
	if (ends[1] >= 0)
		(void)close(ends[1]);
	c->out = ends[0];
	return e == 0 ? 0 : error_set_errno(err, e, "%s: cannot run its credential_process", c->source);
}

/* ---- reading ---- */

static int go_on(const struct command *c, struct error *err)
{
	if (clock_monotonic() >= c->until)
		return error_set(err, ERR_TIMEOUT, "%s: its credential_process took longer than a minute", c->source);
	return store_go_on(c->limits, c->source, err);
}

/* 1: there may be more. */
static int read_some(struct command *c, struct error *err)
{
	struct pollfd p = {.fd = c->out, .events = POLLIN};

	if (poll(&p, 1, SLICE_MS) <= 0)
		return 1;
	ssize_t got = read(c->out, c->text.data + c->text.len, AWS_TOKEN_MOST + 1 - c->text.len);
	if (got < 0)
		return errno == EINTR ? 1 : error_set_errno(err, errno, "%s: cannot read from its command", c->source);
	c->text.len += (size_t)got;
	if (c->text.len > AWS_TOKEN_MOST)
		return error_set(err, ERR_USAGE, "%s: its credential_process prints more than credentials", c->source);
	return got > 0;
}

/* Its status as waitpid() gives it; -1: someone else has it. */
static int await(struct command *c, int *ret_status, struct error *err)
{
	pid_t ended;
	int rc = 0;

	while ((ended = waitpid(c->pid, ret_status, WNOHANG)) == 0 && rc == 0) {
		rc = go_on(c, err);
		if (rc == 0)
			(void)poll(NULL, 0, SLICE_MS);
	}
	if (ended < 0)
		*ret_status = -1;
	if (ended != 0)
		c->pid = 0;
	return rc;
}

static int finish(struct command *c, struct error *err)
{
	int status = 0;
	int rc = await(c, &status, err);

	if (rc < 0 || status == 0 || status == -1)
		return rc;
	if (WIFSIGNALED(status))
		return error_set(err, ERR_DENIED, "%s: its credential_process was ended by signal %d", c->source,
			WTERMSIG(status));
	return error_set(err, ERR_DENIED, "%s: its credential_process failed with status %d; run it by hand to see why",
		c->source, WEXITSTATUS(status));
}

static void end(struct command *c)
{
	if (c->pid > 0) {
		(void)kill(-c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (c->out >= 0)
		(void)close(c->out);
	buf_wipe(&c->text);
}

int aws_from_process(
	struct aws_fetch *f, const char *command, const char *source, struct aws_keys *ret, struct error *err)
{
	struct command c = {
		.source = source, .limits = f->limits, .pid = 0, .out = -1, .until = clock_monotonic() + longest};
	int more = 1;

	int rc = buf_reserve(&c.text, AWS_TOKEN_MOST + 1) ? 0 : error_no_memory(err, source);
	if (rc == 0)
		rc = start(&c, command, err);
	while (rc == 0 && more > 0) {
		more = read_some(&c, err);
		rc = more < 0 ? more : more > 0 ? go_on(&c, err) : 0;
	}
	if (rc == 0)
		rc = finish(&c, err);
	if (rc == 0) {
		rc = aws_keys_from_json(c.text.data, c.text.len, true, source, ret, err);
		if (rc < 0)
			(void)error_wrap(err, rc, "what credential_process prints");
	}
	end(&c);
	return rc;
}
