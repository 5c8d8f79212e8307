/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/mountpoint.h"
#include "fs/spool/parked.h"
#include "fs/unmount.h"
#include "tools/cli.h"

/* What -n says. */
static int tell(struct cli *cli, const char *mountpoint)
{
	struct error err = ERROR_INIT;
	enum mountpoint_kind kind = MOUNTPOINT_NONE;
	int r = mountpoint_kind(mountpoint, &kind, &err);

	if (r == 0 && kind != MOUNTPOINT_DRFS && kind != MOUNTPOINT_DRFS_DEAD)
		r = error_set(&err, ERR_USAGE, "nothing of drfs is mounted at '%s'", mountpoint);
	if (r < 0)
		return cli_fail(cli, &err);
	printf("would unmount '%s'%s\n", mountpoint, kind == MOUNTPOINT_DRFS_DEAD ? ", whose process is gone" : "");
	return CLI_OK;
}

static void tell_parked(void *arg, const char *dataset, const char *kept)
{
	const struct cli *cli = arg;

	log_warn(cli->log,
		"'%s' has changes that are not committed yet; they are kept in '%s', and the next mount goes on with "
		"them",
		dataset, kept);
}

/* Unmounts, and tells what the mount left to be committed: it has no terminal to tell it on. */
static int run(struct cli *cli, const char *mountpoint)
{
	struct error err = ERROR_INIT;
	struct mountpoint_status status = {0};
	bool spool = mountpoint_status(mountpoint, &status, NULL) == 0 && status.spool_folder[0] != '\0';
	int r = unmount_run(mountpoint, 0, &err);

	if (r == 0 && spool && parked_each(status.spool_folder, tell_parked, cli, &err) < 0)
		log_warn(cli->log, "cannot tell what is not committed: %s", error_text(&err));
	mountpoint_status_release(&status);
	return r < 0 ? cli_fail(cli, &err) : CLI_OK;
}

int cmd_umount(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .argv = argv, .argc = argc};
	const char *value, *mountpoint = NULL;
	int what;

	while ((what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (mountpoint != NULL)
			return cli_usage(cli, "one mount point at a time");
		mountpoint = value;
	}
	if (mountpoint == NULL)
		return cli_usage(cli, "which mount point? for example: drfs umount /mnt/dr");
	cli_set_log(cli);
	if (cli->dry_run)
		return tell(cli, mountpoint);
	return run(cli, mountpoint);
}

/* Lazy and forced are the kernel's business alone: there is nothing to wait for. */
static int leave_to_umount(struct cli *cli, const char *how, const char *mountpoint)
{
	struct error err = ERROR_INIT;

	execlp("umount", "umount", "-i", how, "--", mountpoint, (char *)NULL);
	error_set_errno(&err, errno, "cannot run umount");
	return cli_fail(cli, &err);
}

int cmd_umount_helper(struct cli *cli, int argc, char **argv)
{
	const char *mountpoint = NULL, *how = NULL;

	for (int i = 0; i < argc; i++) {
		if (argv[i][0] != '-') {
			mountpoint = argv[i];
			continue;
		}
		for (const char *letter = argv[i] + 1; *letter != '\0'; letter++) {
			if (*letter == 'l' || *letter == 'f')
				how = *letter == 'l' ? "-l" : "-f";
			if (strchr("Nt", *letter) == NULL)
				continue;
			if (letter[1] == '\0')
				i++; /* its value is the next word */
			break;
		}
	}
	if (mountpoint == NULL)
		return cli_usage(cli, "which mount point?");
	if (how != NULL)
		return leave_to_umount(cli, how, mountpoint);
	return run(cli, mountpoint);
}
