/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "tools/cli.h"

/* Parts of the design that a coming version brings: asked for today, they are told apart from a slip of the finger. */
static const char *const later[] = {"clone", "doctor", "drill", "forget", "hold", "prune", "repair", "serve", "sync"};

const struct command_row *cli_find_command(const char *name)
{
	for (const struct command_row *row = command_table; row->name != NULL; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}

bool cli_is_later(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (strcmp(later[i], name) == 0)
			return true;
	return false;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

enum { NAME_MAX_LEN = 24 };

/* How many letters must be put in, taken out, changed or swapped with the next to get from a to b. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][NAME_MAX_LEN + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			row[j] = least(up[j] + 1, row[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < row[j])
				row[j] = up2[j - 2] + 1;
		}
	}
	return rows[la % 3][lb];
}

const char *cli_near_command(const char *name)
{
	const char *best = NULL;
	unsigned best_distance = 3;

	for (const struct command_row *row = command_table; row->name != NULL; row++) {
		size_t len = strlen(name);
		unsigned d = distance(name, row->name);
		if (len >= 3 && strncmp(name, row->name, len) == 0)
			d = 0; /* its beginning: "snap" */
		if (d < best_distance) {
			best_distance = d;
			best = row->name;
		}
	}
	return best;
}

void cli_help(const struct command_row *row)
{
	printf("drfs %s - %s\n\n%s", row->name, row->summary, row->help);
	fputs("\nEvery command also takes -r/--repo URL, -c/--config FILE, --json, -q, -v, -n and --help; see 'drfs "
	      "help'.\n",
		stdout);
}

static void overview(void)
{
	const char *group = "";

	fputs("drfs - encrypted backups that are mounted as a directory\n\n"
	      "usage: drfs [OPTION…] COMMAND [WORD…]\n",
		stdout);
	for (const struct command_row *row = command_table; row->name != NULL; row++) {
		if (strcmp(row->group, group) != 0)
			printf("\n%s\n", row->group);
		group = row->group;
		printf("  %-10s %s\n", row->name, row->summary);
	}
	fputs("\nOptions of every command, before or after its name\n"
	      "  -r, --repo URL     the repository: /path, file:///path; else DRFS_REPO, else 'url' of the "
	      "configuration\n"
	      "  -c, --config FILE  the configuration; else DRFS_CONFIG, else ~/.config/drfs/drfs.conf,\n"
	      "                     else /etc/drfs/drfs.conf\n"
	      "      --json         print JSON, one object a line\n"
	      "  -n, --dry-run      tell what would be done, and do nothing\n"
	      "  -q, --quiet        only errors;  -v, --verbose  more (-vv: all)\n"
	      "  -h, --help         this, or a command's own help;  --version\n"
	      "\nThe key: DRFS_KEY_FILE, or a passphrase by DRFS_PASSWORD, DRFS_PASSWORD_FILE, DRFS_PASSWORD_COMMAND,\n"
	      "or the configuration file; else it is asked for.\n"
	      "\nExit: 0 done; 1 failed; 2 wrong usage; 3 done in part; 10 no repository there; 11 busy;\n"
	      "12 wrong passphrase; 130 stopped by Ctrl-C.\n"
	      "\nIn an emergency:\n"
	      "  drfs snapshots                            what there is\n"
	      "  drfs mount /mnt/dr                        all of it as a directory; then cp, rsync, psql <\n"
	      "  drfs restore files/latest /srv/files      everything back, faster than by cp\n"
	      "\n'drfs help COMMAND' shows a command with examples; 'man drfs' all of it.\n",
		stdout);
}

int cmd_help(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .argv = argv, .argc = argc};
	const char *word = NULL, *value;
	int what;

	while (argv != NULL && (what = cli_arg(&args, &value)) != CLI_ARG_END) {
		if (what == CLI_ARG_BAD)
			return CLI_USAGE;
		if (word != NULL)
			return cli_usage(cli, "one command at a time");
		word = value;
	}
	if (word == NULL) {
		overview();
		return CLI_OK;
	}
	const struct command_row *row = cli_find_command(word);
	if (row == NULL)
		return cli_unknown(cli, word);
	cli_help(row);
	return CLI_OK;
}

int cli_unknown(struct cli *cli, const char *name)
{
	const char *near = cli_near_command(name);

	cli->command = NULL;
	if (cli_is_later(name))
		return cli_usage(cli, "'%s' is not in this version yet", name);
	if (near != NULL)
		return cli_usage(cli, "there is no command '%s'; did you mean '%s'?", name, near);
	return cli_usage(cli, "there is no command '%s'", name);
}
