/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"

/* Options that every command takes, wherever they stand. */
enum global { G_REPO, G_CONFIG, G_JSON, G_QUIET, G_VERBOSE, G_DRY, G_HELP, G_VERSION };

static const struct cli_option globals[] = {
	[G_REPO] = {"repo", 'r', true, false},
	[G_CONFIG] = {"config", 'c', true, false},
	[G_JSON] = {"json", 0, false, false},
	[G_QUIET] = {"quiet", 'q', false, false},
	[G_VERBOSE] = {"verbose", 'v', false, false},
	[G_DRY] = {"dry-run", 'n', false, false},
	[G_HELP] = {"help", 'h', false, false},
	[G_VERSION] = {"version", 0, false, false},
};

static void take_global(struct cli *cli, enum global which, const char *value)
{
	switch (which) {
	case G_REPO:
		free(cli->repo_url);
		cli->repo_url = strdup(value);
		break;
	case G_CONFIG:
		cli->config_path = value;
		break;
	case G_JSON:
		cli->json = true;
		break;
	case G_QUIET:
		cli->quiet = true;
		break;
	case G_VERBOSE:
		cli->verbose++;
		break;
	case G_DRY:
		cli->dry_run = true;
		break;
	case G_HELP: {
		const struct command_row *row = cli->command == NULL ? NULL : cli_find_command(cli->command);
		if (row == NULL)
			cmd_help(cli, 0, NULL);
		else
			cli_help(row);
		exit(cli_end_output(cli, CLI_OK));
	}
	case G_VERSION:
		printf("drfs %s\n", DRFS_VERSION);
		exit(cli_end_output(cli, CLI_OK));
	}
}

/* Index of the option named by text[0..len) in the table; -1: none. */
static int find_long(const struct cli_option *table, size_t count, const char *text, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, text, len) == 0)
			return (int)i;
	return -1;
}

static int find_letter(const struct cli_option *table, size_t count, char letter)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].letter == letter)
			return (int)i;
	return -1;
}

static int bad(struct cli_args *a, const char *what, const char *word)
{
	cli_usage(a->cli, "%s '%s'", what, word);
	return CLI_ARG_BAD;
}

/* The value of an option: behind '=', else the next word. */
static int value_of(struct cli_args *a, const struct cli_option *o, const char *inlined, const char **ret_value)
{
	*ret_value = inlined;
	if (!o->takes_value || o->value_optional)
		return inlined != NULL && !o->takes_value ? bad(a, "this option takes no value:", o->name) : 0;
	if (inlined == NULL) {
		if (a->at >= a->argc)
			return bad(a, "a value is missing behind", o->name);
		*ret_value = a->argv[a->at++];
	}
	return 0;
}

static int take_long(struct cli_args *a, const char *word, const char **ret_value)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t len = equals == NULL ? strlen(name) : (size_t)(equals - name);
	const char *inlined = equals == NULL ? NULL : equals + 1;
	int own = find_long(a->options, a->option_count, name, len);
	int global = own >= 0 ? -1 : find_long(globals, sizeof(globals) / sizeof(globals[0]), name, len);

	if (own < 0 && global < 0)
		return bad(a, "unknown option", word);
	const struct cli_option *o = own >= 0 ? &a->options[own] : &globals[global];
	if (value_of(a, o, inlined, ret_value) < 0)
		return CLI_ARG_BAD;
	if (own >= 0)
		return own;
	take_global(a->cli, (enum global)global, *ret_value);
	return cli_arg(a, ret_value);
}

static int take_letter(struct cli_args *a, const char **ret_value)
{
	char letter = *a->cluster++;
	const char *rest = *a->cluster == '\0' ? NULL : a->cluster;
	int own = find_letter(a->options, a->option_count, letter);
	int global = own >= 0 ? -1 : find_letter(globals, sizeof(globals) / sizeof(globals[0]), letter);
	char word[3] = {'-', letter, '\0'};

	if (rest == NULL)
		a->cluster = NULL;
	if (own < 0 && global < 0)
		return bad(a, "unknown option", word);
	const struct cli_option *o = own >= 0 ? &a->options[own] : &globals[global];
	if (o->takes_value) {
		a->cluster = NULL;
		if (value_of(a, o, rest, ret_value) < 0)
			return CLI_ARG_BAD;
	} else {
		*ret_value = NULL;
	}
	if (own >= 0)
		return own;
	take_global(a->cli, (enum global)global, *ret_value);
	return cli_arg(a, ret_value);
}

int cli_arg(struct cli_args *a, const char **ret_value)
{
	*ret_value = NULL;
	if (a->cluster != NULL)
		return take_letter(a, ret_value);
	if (a->at >= a->argc)
		return CLI_ARG_END;
	if (!a->plain_only && strcmp(a->argv[a->at], "--") == 0) {
		if (a->rest_is_command)
			return CLI_ARG_END;
		a->plain_only = true;
		if (++a->at >= a->argc)
			return CLI_ARG_END;
	}
	const char *word = a->argv[a->at++];
	if (a->plain_only || word[0] != '-' || word[1] == '\0') {
		*ret_value = word;
		return CLI_ARG_PLAIN;
	}
	if (word[1] == '-')
		return take_long(a, word, ret_value);
	a->cluster = word + 1;
	return take_letter(a, ret_value);
}

char **cli_rest(struct cli_args *a)
{
	return a->rest_is_command && a->at < a->argc ? a->argv + a->at + 1 : NULL;
}

int cli_jobs(struct cli *cli, const char *text, unsigned *ret_jobs)
{
	char *end;
	unsigned long jobs = strtoul(text, &end, 10);

	if (*end != '\0' || jobs < 1 || jobs > 1024)
		return cli_usage(cli, "--jobs takes 1 to 1024, not '%s'", text);
	*ret_jobs = (unsigned)jobs;
	return CLI_OK;
}
