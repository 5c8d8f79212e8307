/* SPDX-License-Identifier: MIT */
/* Whether FUSE can be used here at all, asked before anything is opened, so that the answer can say what to do. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/detach.h"
#include "fs/mountpoint.h"

static bool line_in_fuse_conf(const char *word)
{
	char line[256];
	bool found = false;
	FILE *conf = fopen("/etc/fuse.conf", "re");
	while (conf != NULL && !found && fgets(line, sizeof(line), conf) != NULL) {
		line[strcspn(line, " \t\r\n")] = '\0';
		found = strcmp(line, word) == 0;
	}
	if (conf != NULL)
		fclose(conf);
	return found;
}

static int check_device(struct error *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	int problem = errno;
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (problem == ENOENT || problem == ENODEV || problem == ENXIO)
		return error_set(err, ERR_UNSUPPORTED,
			"cannot mount: '/dev/fuse' is missing; as root: modprobe fuse (in a container: start it with "
			"--device /dev/fuse --cap-add SYS_ADMIN). Everything but the mount works without it");
	return error_set(err, ERR_DENIED,
		"cannot mount: '/dev/fuse' may not be used (%s); in a container start it with --device /dev/fuse "
		"--cap-add SYS_ADMIN. Everything but the mount works without it",
		strerror(problem));
}

int mountpoint_fuse_ok(bool allow_other, struct error *err)
{
	int rc = check_device(err);
	if (rc < 0 || geteuid() == 0)
		return rc;
	char *helper = detach_find_helper();
	bool missing = helper == NULL;
	free(helper);
	if (missing)
		return error_set(err, ERR_UNSUPPORTED,
			"cannot mount without root: fusermount3 is missing; install the package fuse3");
	if (allow_other && !line_in_fuse_conf("user_allow_other"))
		return error_set(err, ERR_DENIED,
			"cannot mount with allow_other: add the line user_allow_other to '/etc/fuse.conf', or mount as "
			"root");
	return 0;
}
