/* SPDX-License-Identifier: MIT */
#include "fs/unmount.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "fs/detach.h"
#include "fs/mountpoint.h"

enum { USERS_NAMED = 5, TEXT_MAX = 400, COMMAND_MAX = 64 };
static const int64_t wait_default = 60 * CLOCK_SECOND;

/* Who uses something below a mount, as text for a message. */
struct users {
	const char *mountpoint;
	size_t len;
	unsigned count;
	char text[TEXT_MAX];
};

static bool link_leads_in(const struct users *u, const char *link)
{
	char target[PATH_MAX];
	ssize_t len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = '\0';
	return strncmp(target, u->mountpoint, u->len) == 0 && (target[u->len] == '/' || target[u->len] == '\0');
}

static bool has_file_in(const struct users *u, const char *pid)
{
	char path[64 + NAME_MAX];
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	DIR *dir = opendir(path);
	for (struct dirent *d = dir != NULL ? readdir(dir) : NULL; d != NULL && !found; d = readdir(dir)) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%s", pid, d->d_name);
		found = link_leads_in(u, path);
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static bool uses_mount(const struct users *u, const char *pid)
{
	static const char *const links[] = {"cwd", "root", "exe"};
	char path[64];
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%.20s/%s", pid, links[i]);
		if (link_leads_in(u, path))
			return true;
	}
	return has_file_in(u, pid);
}

/* Adds "psql (1234)" to the text. */
static void name_user(struct users *u, const char *pid)
{
	char path[64], command[COMMAND_MAX] = "", shown[4 * COMMAND_MAX];
	size_t used = strlen(u->text);
	if (u->count++ >= USERS_NAMED)
		return;
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	FILE *f = fopen(path, "re");
	if (f != NULL && fgets(command, sizeof(command), f) != NULL)
		command[strcspn(command, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
	snprintf(u->text + used, sizeof(u->text) - used, "%s%s (%.20s)", used > 0 ? ", " : "",
		hex_printable_to(command, strlen(command), shown, sizeof(shown)), pid);
}

static void find_users(struct users *u)
{
	DIR *proc = opendir("/proc");
	for (struct dirent *d = proc != NULL ? readdir(proc) : NULL; d != NULL; d = readdir(proc))
		if (atol(d->d_name) > 0 && atol(d->d_name) != getpid() && uses_mount(u, d->d_name))
			name_user(u, d->d_name);
	if (proc != NULL)
		closedir(proc);
}

static int tell_busy(const char *mountpoint, struct error *err)
{
	struct users u = {.mountpoint = mountpoint, .len = strlen(mountpoint)};
	find_users(&u);
	if (u.count == 0)
		return error_set(err, ERR_BUSY,
			"cannot unmount '%s': it is in use, by whom cannot be seen; fuser -vm '%s' as root tells",
			mountpoint, mountpoint);
	return error_set(err, ERR_BUSY, "cannot unmount '%s': in use by %s%s", mountpoint, u.text,
		u.count > USERS_NAMED ? " and others" : "");
}

/* Waits on a descriptor of the process, so that a number given anew to another one does no harm. */
static int wait_gone(int pidfd, const char *mountpoint, pid_t pid, int64_t timeout, struct error *err)
{
	int64_t deadline = clock_monotonic() + timeout;
	for (;;) {
		struct pollfd fd = {.fd = pidfd, .events = POLLIN};
		int64_t left = deadline - clock_monotonic();
		int ready = poll(&fd, 1, left > 0 ? (int)(left / 1000000 + 1) : 0);
		if (ready > 0)
			return 0;
		if (ready == 0 || errno != EINTR)
			return error_set(err, ERR_TIMEOUT, "'%s' is unmounted, but its process %ld is still at work",
				mountpoint, (long)pid);
	}
}

static int unmount_live(const char *mountpoint, int64_t timeout, struct error *err)
{
	struct mountpoint_status status = {0};
	int pidfd = -1;
	/* Another user's private mount does not tell who serves it; root may unmount it all the same. */
	if (mountpoint_status(mountpoint, &status, NULL) == 0)
		pidfd = (int)syscall(SYS_pidfd_open, status.pid, 0);
	int rc = detach_mount(mountpoint, false, err);
	if (rc == ERR_BUSY)
		rc = tell_busy(mountpoint, err);
	if (rc == 0 && pidfd >= 0)
		rc = wait_gone(pidfd, mountpoint, status.pid, timeout, err);
	if (pidfd >= 0)
		close(pidfd);
	mountpoint_status_release(&status);
	return rc;
}

int unmount_run(const char *mountpoint, int64_t timeout_ns, struct error *err)
{
	enum mountpoint_kind kind = MOUNTPOINT_NONE;
	char *path = mountpoint_canonical(mountpoint);
	if (path == NULL)
		return error_set_errno(err, errno, "cannot find '%s'", mountpoint);
	int rc = mountpoint_kind(path, &kind, err);
	if (rc == 0 && kind == MOUNTPOINT_DRFS_DEAD)
		rc = detach_mount(path, true, err);
	else if (rc == 0 && kind == MOUNTPOINT_DRFS)
		rc = unmount_live(path, timeout_ns > 0 ? timeout_ns : wait_default, err);
	else if (rc == 0)
		rc = error_set(err, ERR_USAGE, "no drfs mount at '%s'", path);
	free(path);
	return rc;
}
