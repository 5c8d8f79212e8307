/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

/*
 * What all sub-commands share: options, the way to a repository and its key,
 * output, exit codes, signals. A command is a row of command_table[] (commands.c)
 * with its own file cmd_<name>.c: it parses what is its own, calls the
 * archive, reports. One thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "archive/repo.h"
#include "archive/seen.h"
#include "archive/snapset.h"
#include "base/conf.h"
#include "base/log.h"
#include "base/progress.h"
#include "catalog/catalog.h"

/* Exit codes are a contract with scripts. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_PARTLY = 3,
	CLI_NO_REPO = 10,
	CLI_BUSY = 11,
	CLI_PASSPHRASE = 12,
	CLI_INTERRUPTED = 130,
};

/* What stands before or after the sub-command; and what was opened on the way. Owned by main(). */
struct cli {
	const char *program;
	const char *command;
	const char *config_path; /* -c */
	char *repo_url;          /* -r, or NULL */
	bool json, quiet, dry_run;
	int verbose;
	struct conf *conf;
	struct log *log;
	struct repo *repo;
	struct catalog *catalog;
	const struct snapset *set;
	struct seen *seen; /* what this host saw of the repository before */
};

/* A long or short option of a sub-command. */
struct cli_option {
	const char *name;    /* "exclude" */
	char letter;         /* 'e', or 0 */
	bool takes_value;    /* --name VALUE or --name=VALUE */
	bool value_optional; /* only --name=VALUE */
};

/*
 * Steps through argv (behind the sub-command). Options may stand anywhere
 * before "--", and behind it every word is plain. Returns the option's index, CLI_ARG_PLAIN with the word in
 * *ret_value, CLI_ARG_END, or CLI_ARG_BAD after it has told what is wrong.
 * Global options are taken care of on the way.
 */
enum { CLI_ARG_END = -1, CLI_ARG_PLAIN = -2, CLI_ARG_BAD = -3 };
struct cli_args {
	struct cli *cli;
	const struct cli_option *options;
	size_t option_count;
	char **argv;
	int argc, at;
	const char *cluster;  /* rest of -abc */
	bool plain_only;      /* after "--" */
	bool rest_is_command; /* set by the caller: "--" ends the words, and what follows is left for cli_rest() */
};
int cli_arg(struct cli_args *args, const char **ret_value);
/* What follows "--" (argv as it stands, NULL at its end), with rest_is_command. NULL when there was no "--". */
char **cli_rest(struct cli_args *args);

/* The value of --jobs: 1 to 1024. */
int cli_jobs(struct cli *cli, const char *text, unsigned *ret_jobs);
/* Tells on stderr and returns CLI_USAGE. */
int cli_usage(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Logs the error once and returns the exit code that fits it. */
int cli_fail(struct cli *cli, const struct error *err);
int cli_exit_of(int code);

/* Shows as much as -q and -v ask for; cli_load_conf() does it too. */
void cli_set_log(struct cli *cli);
/* Reads the configuration, once. CLI_OK or an exit code (told). */
int cli_load_conf(struct cli *cli);
/* The repository's URL by -r, DRFS_REPO or the configuration; NULL: none (told). Borrowed. */
const char *cli_url(struct cli *cli);

/* The key or passphrase by environment, configuration or prompt. In guarded memory; wiped by cli_unlock_release(). */
struct cli_unlock {
	struct repo_unlock unlock;
	char *passphrase; /* guarded */
	uint8_t *key;     /* guarded, 32 bytes */
	char *key_path;   /* the key file, when that is what was named */
	bool key_made;    /* by init */
};
/* `fresh`: for init or a new slot: a key file may be made, a prompted passphrase is asked for twice. */
int cli_unlock(struct cli *cli, bool fresh, struct cli_unlock *ret, struct error *err);
/* What was given did not open the repository, which failed with `r`: tells which variable was not looked at. */
int cli_unlock_why(int r, struct error *err);
void cli_unlock_release(struct cli_unlock *u);
/* One way alone. `fresh`: the file is made when it is missing; `twice`: the passphrase is asked for twice. */
int cli_unlock_key_file(struct cli_unlock *u, const char *path, bool fresh, struct error *err);
int cli_unlock_password_file(struct cli_unlock *u, const char *path, struct error *err);
int cli_unlock_terminal(struct cli_unlock *u, bool twice, struct error *err);

/* Opens store and repository (cli->repo), and its snapshots (cli->set) when `snapshots`. CLI_OK or an exit code (told).
 */
int cli_open(struct cli *cli, bool snapshots);
/* What this host saw of the repository (cli->seen): behind cli_open(), before snapshots are loaded; that with snapshots
 * has done it. */
int cli_open_seen(struct cli *cli);
/* The catalog (cli->catalog) in its folder; private when that cannot be. */
int cli_open_catalog(struct cli *cli);
/* <cache>/<repository id>. Caller frees. */
char *cli_catalog_dir(struct cli *cli);
/* Closes everything and frees. */
void cli_close(struct cli *cli);

/* Tells the mounts of this host about a new snapshot and waits for their word, 2 s at most. */
void cli_announce(struct cli *cli, const struct snapshot *snapshot);

/* Flushes standard output; what could not be written is told and makes a success CLI_FAILED. Returns the exit code. */
int cli_end_output(const struct cli *cli, int code);

/* Set by SIGINT and SIGTERM; handlers are installed by main(). */
extern volatile int cli_cancelled;

/* A row of the command table. */
struct command_row {
	const char *name;
	int (*run)(struct cli *cli, int argc, char **argv);
	const char *group;   /* for help */
	const char *summary; /* one line */
	const char *help;    /* usage and examples */
};
extern const struct command_row command_table[];
const struct command_row *cli_find_command(const char *name);
/* The name that was most likely meant; NULL: none is near. */
const char *cli_near_command(const char *name);
/* True for a command that a coming version brings. */
bool cli_is_later(const char *name);
/* Tells that there is no such command, and which may be meant; CLI_USAGE. */
int cli_unknown(struct cli *cli, const char *name);
/* Prints a command's help on stdout. */
void cli_help(const struct command_row *row);

int cmd_init(struct cli *cli, int argc, char **argv);
int cmd_backup(struct cli *cli, int argc, char **argv);
int cmd_commit(struct cli *cli, int argc, char **argv);
int cmd_snapshots(struct cli *cli, int argc, char **argv);
int cmd_ls(struct cli *cli, int argc, char **argv);
int cmd_cat(struct cli *cli, int argc, char **argv);
int cmd_find(struct cli *cli, int argc, char **argv);
int cmd_diff(struct cli *cli, int argc, char **argv);
int cmd_mount(struct cli *cli, int argc, char **argv);
int cmd_mount_helper(struct cli *cli, int argc, char **argv); /* as mount.drfs URL MNT [-o …] */
int cmd_umount(struct cli *cli, int argc, char **argv);
int cmd_umount_helper(struct cli *cli, int argc, char **argv); /* as umount.fuse.drfs MNT [-lfnrv] */
int cmd_restore(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);
int cmd_key(struct cli *cli, int argc, char **argv);
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_help(struct cli *cli, int argc, char **argv);

#endif
