/* SPDX-License-Identifier: MIT */
/* The mount's side of its socket. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fileio.h"
#include "base/hex.h"
#include "fs/announce.h"
#include "fs/announce_impl.h"

enum { BACKLOG = 64, MESSAGE_WAIT_MS = 500, PREFIX_DIGITS = 8 };

struct announce {
	int fd;
	int dir; /* the runtime folder */
	char name[ANNOUNCE_NAME_MAX];
};

void announce_name(const uint8_t repository[static FORMAT_REPO_LEN], pid_t pid, char dst[static ANNOUNCE_NAME_MAX])
{
	char hex[PREFIX_DIGITS + 1];
	hex_encode(repository, PREFIX_DIGITS / 2, hex);
	snprintf(dst, ANNOUNCE_NAME_MAX, "mount-%s-%ld.sock", hex, (long)pid);
}

pid_t announce_name_pid(const uint8_t repository[static FORMAT_REPO_LEN], const char *name)
{
	char hex[PREFIX_DIGITS + 1], want[ANNOUNCE_NAME_MAX];
	hex_encode(repository, PREFIX_DIGITS / 2, hex);
	int len = snprintf(want, sizeof(want), "mount-%s-", hex);
	if (strncmp(name, want, (size_t)len) != 0)
		return 0;
	char *end = NULL;
	errno = 0;
	long pid = strtol(name + len, &end, 10);
	return errno == 0 && pid > 0 && pid <= INT32_MAX && strcmp(end, ".sock") == 0 ? (pid_t)pid : 0;
}

struct sockaddr_un announce_address(int dir, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, name);
	return address;
}

static int open_runtime(int *ret_dir, struct error *err)
{
	char *path = fileio_runtime_dir();
	int rc = path == NULL ? error_set(err, ERR_IO, "there is no runtime folder for the mount's socket")
			      : fileio_mkdirs(path, 0700, err);
	if (rc == 0) {
		*ret_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (*ret_dir < 0)
			rc = error_set_errno(err, errno, "cannot open '%s'", path);
	}
	free(path);
	return rc;
}

/* Nobody else may connect, not even between bind and chmod. */
static int bind_private(int fd, const struct sockaddr_un *address)
{
	if (fchmod(fd, 0600) != 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		return -1;
	return listen(fd, BACKLOG);
}

int announce_open(const uint8_t repository[static FORMAT_REPO_LEN], struct announce **ret_announce, struct error *err)
{
	struct announce *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return error_no_memory(err, "the mount's socket");
	a->fd = a->dir = -1;
	announce_name(repository, getpid(), a->name);
	int rc = open_runtime(&a->dir, err);
	if (rc < 0)
		goto out;
	struct sockaddr_un address = announce_address(a->dir, a->name);
	unlinkat(a->dir, a->name, 0); /* of an earlier process with this number */
	a->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0 || bind_private(a->fd, &address) != 0) {
		rc = error_set_errno(err, errno, "cannot listen at '%s' in the runtime folder", a->name);
		goto out;
	}
	*ret_announce = a;
	return 0;
out:
	announce_close(a);
	return rc;
}

void announce_close(struct announce *a)
{
	if (a == NULL)
		return;
	if (a->fd >= 0) {
		unlinkat(a->dir, a->name, 0);
		close(a->fd);
	}
	if (a->dir >= 0)
		close(a->dir);
	free(a);
}

int announce_fd(const struct announce *a)
{
	return a != NULL ? a->fd : -1;
}

/* "new <id>" or "changed". */
static bool parse(char *line, struct id *ret)
{
	static const char fresh[] = "new ";
	line[strcspn(line, "\n")] = '\0';
	*ret = (struct id){0};
	if (strcmp(line, "changed") == 0)
		return true;
	return strncmp(line, fresh, strlen(fresh)) == 0 && id_parse(line + strlen(fresh), ret);
}

/* A command sends at once after connecting; one that does not is let go. */
static bool receive(int fd, struct id *ret)
{
	char line[ANNOUNCE_LINE_MAX];
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	if (poll(&wait, 1, MESSAGE_WAIT_MS) != 1)
		return false;
	ssize_t got = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);
	if (got <= 0)
		return false;
	line[got] = '\0';
	return parse(line, ret);
}

unsigned announce_take(struct announce *a, struct announce_call *ret_calls, unsigned max)
{
	unsigned count = 0;
	while (a != NULL && count < max) {
		int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		if (receive(fd, &ret_calls[count].snapshot))
			ret_calls[count++].fd = fd;
		else
			close(fd);
	}
	return count;
}

void announce_answer(struct announce_call *call, bool ok)
{
	const char *word = ok ? "ok\n" : "no\n";
	send(call->fd, word, strlen(word), MSG_NOSIGNAL | MSG_DONTWAIT);
	close(call->fd);
	call->fd = -1;
}
