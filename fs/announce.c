/* SPDX-License-Identifier: MIT */
/* The command's side of the mounts' sockets. */
#include "fs/announce.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fileio.h"
#include "fs/announce_impl.h"

enum { MOUNTS_MAX = 64, PLACES_MAX = 8 };

/* -1: it is not there, or someone else's, who could answer for a mount. */
static int open_folder(const char *path, struct stat *ret)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (fstat(fd, ret) == 0 && ret->st_uid == geteuid() && (ret->st_mode & 022) == 0))
		return fd;
	close(fd);
	return -1;
}

/* Connects and sends. -1: nobody is there; a socket whose process is gone is removed. */
static int call_mount(int dir, const char *name, pid_t pid, const char *line)
{
	struct sockaddr_un address = announce_address(dir, name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		if (send(fd, line, strlen(line), MSG_NOSIGNAL) > 0)
			return fd;
	} else if (errno == ECONNREFUSED && kill(pid, 0) != 0 && errno == ESRCH) {
		unlinkat(dir, name, 0);
	}
	close(fd);
	return -1;
}

/* Calls the mounts that listen in the folder, which is closed. */
static void call_folder(int folder, const uint8_t *repository, const char *line, struct pollfd *fds, unsigned *count)
{
	DIR *dir = fdopendir(folder);
	if (dir == NULL) {
		close(folder);
		return;
	}
	for (struct dirent *d = readdir(dir); d != NULL && *count < MOUNTS_MAX; d = readdir(dir)) {
		pid_t pid = announce_name_pid(repository, d->d_name);
		int fd = pid != 0 ? call_mount(folder, d->d_name, pid, line) : -1;
		if (fd >= 0)
			fds[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	closedir(dir);
}

/*
 * Calls every mount of the repository. Returns how many, their sockets in fds. A mount that systemd started has another
 * XDG_RUNTIME_DIR, or none, than a command in a login session: all places are looked into.
 */
static unsigned call_all(const uint8_t *repository, const char *line, struct pollfd *fds)
{
	struct stat seen[PLACES_MAX];
	unsigned count = 0, seen_count = 0;
	char *path = NULL;
	for (unsigned at = 0; at < PLACES_MAX && (path = fileio_runtime_place(at)) != NULL; at++) {
		struct stat st;
		int folder = open_folder(path, &st);
		bool doubled = false;
		free(path);
		if (folder < 0)
			continue;
		for (unsigned i = 0; i < seen_count; i++)
			doubled |= seen[i].st_dev == st.st_dev && seen[i].st_ino == st.st_ino;
		if (doubled) {
			close(folder);
			continue;
		}
		seen[seen_count++] = st;
		call_folder(folder, repository, line, fds, &count);
	}
	return count;
}

/* The answer that is there: true for "ok". */
static bool read_answer(int fd)
{
	char word[8] = "";
	ssize_t got = recv(fd, word, sizeof(word) - 1, MSG_DONTWAIT);
	return got >= 2 && strncmp(word, "ok", 2) == 0;
}

/* Waits for those that have not answered. Returns how many said yes. */
static unsigned await(struct pollfd *fds, unsigned count, int64_t deadline)
{
	unsigned waiting = count, yes = 0;
	while (waiting > 0) {
		int64_t left = deadline - clock_monotonic();
		int ready = left > 0 ? poll(fds, count, (int)(left / 1000000 + 1)) : 0;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			break;
		for (unsigned i = 0; i < count; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0)
				continue;
			yes += read_answer(fds[i].fd);
			close(fds[i].fd);
			fds[i].fd = -1;
			waiting--;
		}
	}
	return yes;
}

unsigned announce_snapshot(const uint8_t repository[static FORMAT_REPO_LEN], const struct id *snapshot,
	int64_t timeout_ns, struct log *log)
{
	struct pollfd fds[MOUNTS_MAX];
	char line[ANNOUNCE_LINE_MAX] = "changed\n", hex[ID_HEX_MAX];
	int64_t deadline = clock_monotonic() + (timeout_ns > 0 ? timeout_ns : ANNOUNCE_WAIT_NS);

	if (snapshot != NULL) {
		id_hex(snapshot, hex);
		snprintf(line, sizeof(line), "new %s\n", hex);
	}
	unsigned count = call_all(repository, line, fds);
	unsigned yes = await(fds, count, deadline);
	if (yes < count)
		log_warn(log,
			"%u of %u mounts of this repository do not show the change yet; they will at their next poll",
			count - yes, count);
	for (unsigned i = 0; i < count; i++)
		if (fds[i].fd >= 0)
			close(fds[i].fd);
	return yes;
}
