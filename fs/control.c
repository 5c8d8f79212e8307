/* SPDX-License-Identifier: MIT */
#define FUSE_USE_VERSION 312
#include "fs/control.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fs/detach.h"

enum { WAKE_SIGNAL = SIGURG, WAKE_EVERY_MS = 20 };

struct control {
	struct control_options options;
	pthread_t thread, loop;
	int signal_fd, stop_fd;
	atomic_bool left_dead, interrupted;
};

static void asked_for(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void control_block(sigset_t *ret_before)
{
	sigset_t set;
	asked_for(&set);
	pthread_sigmask(SIG_BLOCK, &set, ret_before);
}

void control_unblock(const sigset_t *before)
{
	/* What came while the mount ended was meant for it. */
	sigset_t set;
	struct timespec now = {0};
	asked_for(&set);
	while (sigtimedwait(&set, NULL, &now) > 0)
		;
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void on_wake(int number)
{
	(void)number;
}

/*
 * Ends the loop of a session that stays mounted. The loop sleeps in a call that only a signal to its thread interrupts,
 * and one may come just before it falls asleep: so again until it has returned.
 */
static void end_loop(struct control *c)
{
	struct pollfd stop = {.fd = c->stop_fd, .events = POLLIN};
	atomic_store(&c->left_dead, true);
	c->options.quiet(c->options.arg);
	fuse_session_exit(c->options.session);
	do
		pthread_kill(c->loop, WAKE_SIGNAL);
	while (poll(&stop, 1, WAKE_EVERY_MS) <= 0);
}

/* True when the file system is unmounted, or no longer needs this thread. */
static bool obey(struct control *c, int number)
{
	struct error err = ERROR_INIT;
	const char *mountpoint = c->options.mountpoint;
	atomic_store(&c->interrupted, number == SIGINT);
	if (detach_mount(mountpoint, false, &err) == 0) {
		log_info(c->options.log, "unmounted '%s' on signal %s", mountpoint, strsignal(number));
		return true;
	}
	log_warn(c->options.log, "ending on signal %s; '%s' stays behind, dead, until it is unmounted: %s",
		strsignal(number), mountpoint, error_text(&err));
	end_loop(c);
	return true;
}

static void *run(void *arg)
{
	struct control *c = arg;
	struct pollfd fds[] = {{.fd = c->stop_fd, .events = POLLIN}, {.fd = c->signal_fd, .events = POLLIN}};
	bool done = false;
	while (!done) {
		struct signalfd_siginfo info;
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents != 0)
			break;
		if (read(c->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
			done = obey(c, (int)info.ssi_signo);
	}
	return NULL;
}

static int open_fds(struct control *c, struct error *err)
{
	sigset_t set;
	asked_for(&set);
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return c->stop_fd < 0 || c->signal_fd < 0 ? error_set_errno(err, errno, "cannot wait for signals") : 0;
}

static void close_fds(struct control *c)
{
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	if (c->signal_fd >= 0)
		close(c->signal_fd);
}

int control_new(const struct control_options *options, struct control **ret, struct error *err)
{
	/* Without SA_RESTART: interrupting is all that this signal is for. */
	struct sigaction wake = {.sa_handler = on_wake};
	struct control *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return error_no_memory(err, "waiting for signals");
	*c = (struct control){.options = *options, .loop = pthread_self(), .signal_fd = -1, .stop_fd = -1};
	sigaction(WAKE_SIGNAL, &wake, NULL);
	int rc = open_fds(c, err);
	int failed = rc == 0 ? pthread_create(&c->thread, NULL, run, c) : 0;
	if (failed != 0)
		rc = error_set_errno(err, failed, "cannot start a thread");
	if (rc < 0) {
		close_fds(c);
		free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void control_free(struct control *c, bool *ret_left_dead, bool *ret_interrupted)
{
	uint64_t one = 1;
	*ret_left_dead = *ret_interrupted = false;
	if (c == NULL)
		return;
	while (write(c->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(c->thread, NULL);
	*ret_left_dead = atomic_load(&c->left_dead);
	*ret_interrupted = atomic_load(&c->interrupted);
	close_fds(c);
	signal(WAKE_SIGNAL, SIG_DFL);
	free(c);
}
