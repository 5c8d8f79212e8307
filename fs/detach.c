/* SPDX-License-Identifier: MIT */
#include "fs/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fileio.h"

enum { SAID_MAX = 512, GLANCE_TRIES = 25, GLANCE_PAUSE_MS = 20 };

char *detach_find_helper(void)
{
	static const char *const places[] = {"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin"};
	static const char *const names[] = {"fusermount3", "fusermount"};
	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			char *path = fileio_format("%s/%s", places[i], names[n]);
			if (path != NULL && access(path, X_OK) == 0)
				return path;
			free(path);
		}
	}
	return NULL;
}

/* Starts the helper with its stderr in a pipe and no signal blocked. Returns an errno. */
static int spawn_helper(char *const *argv, int out, pid_t *ret_pid)
{
	extern char **environ;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	int failed = posix_spawn(ret_pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

/* Runs it to its end. *ret_said: the first line of what it complained about. */
static int run_helper(char *const *argv, char ret_said[static SAID_MAX], int *ret_status, struct error *err)
{
	int pipe_fds[2];
	size_t len = 0;
	pid_t pid = 0;

	ret_said[0] = '\0';
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return error_set_errno(err, errno, "cannot make a pipe");
	int failed = spawn_helper(argv, pipe_fds[1], &pid);
	close(pipe_fds[1]);
	if (failed == 0) {
		fileio_read(pipe_fds[0], argv[0], ret_said, SAID_MAX - 1, &len, NULL);
		ret_said[len] = '\0';
		ret_said[strcspn(ret_said, "\n")] = '\0';
		while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
			;
	}
	close(pipe_fds[0]);
	return failed == 0 ? 0 : error_set_errno(err, failed, "cannot run '%s'", argv[0]);
}

static int by_helper(const char *mountpoint, bool lazy, struct error *err)
{
	char said[SAID_MAX];
	int status = 0;
	char *helper = detach_find_helper();
	if (helper == NULL)
		return error_set(err, ERR_UNSUPPORTED,
			"cannot unmount '%s': fusermount3 is missing, install the package fuse3", mountpoint);
	char *argv[] = {helper, (char *)(lazy ? "-uz" : "-u"), (char *)"--", (char *)(uintptr_t)mountpoint, NULL};
	int rc = run_helper(argv, said, &status, err);
	if (rc == 0 && status != 0)
		rc = error_set(err, strstr(said, "busy") != NULL ? ERR_BUSY : ERR_IO, "cannot unmount '%s': %s",
			mountpoint, said[0] != '\0' ? said : "fusermount3 failed");
	free(helper);
	return rc;
}

/*
 * Whoever looks a path below up, or reads the link of an open file in /proc, holds the mount for that moment: what is
 * busy only by such a glance is not in use.
 */
static int unmount_patiently(const char *mountpoint, int flags)
{
	const struct timespec pause = {.tv_nsec = GLANCE_PAUSE_MS * 1000000L};
	for (int tries = 0;; tries++) {
		if (umount2(mountpoint, flags) == 0)
			return 0;
		if (errno != EBUSY || tries == GLANCE_TRIES)
			return errno;
		(void)nanosleep(&pause, NULL);
	}
}

int detach_mount(const char *mountpoint, bool lazy, struct error *err)
{
	int failed = unmount_patiently(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0));
	if (failed == EPERM)
		return by_helper(mountpoint, lazy, err);
	if (failed == EBUSY)
		return error_set(err, ERR_BUSY, "cannot unmount '%s': it is in use", mountpoint);
	return failed == 0 ? 0 : error_set_errno(err, failed, "cannot unmount '%s'", mountpoint);
}
