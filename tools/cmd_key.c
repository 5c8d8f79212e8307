/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jsonout.h"
#include "tools/cli.h"
#include "tools/listing.h"

enum option { O_LABEL, O_NEW_KEY_FILE, O_NEW_PASSWORD_FILE, O_FORCE, O_COUNT };
static const struct cli_option options[O_COUNT] = {
	[O_LABEL] = {"label", 'l', true, false},
	[O_NEW_KEY_FILE] = {"new-key-file", 0, true, false},
	[O_NEW_PASSWORD_FILE] = {"new-password-file", 0, true, false},
	[O_FORCE] = {"force", 0, false, false},
};

struct key_request {
	const char *action, *id, *label, *new_key_file, *new_password_file;
	bool force;
};

static const char *kind_name(enum slot_kind kind)
{
	return kind == SLOT_PASSPHRASE ? "passphrase" : kind == SLOT_KEY_FILE ? "key-file" : "public";
}

static void print_slot(const struct cli *cli, const struct slot_card *card)
{
	char id[ID_HEX_MAX], when[CLOCK_TEXT_MAX];
	bool own = id_equal(&card->id, &cli->repo->own->id);

	id_hex(&card->id, id);
	clock_rfc3339(card->created, when);
	if (cli->json) {
		json_t *o = json_object();
		json_object_set_new(o, "id", json_string(id));
		json_object_set_new(o, "kind", json_string(kind_name(card->kind)));
		json_object_set_new(o, "label", jsonout_text(card->label, strlen(card->label)));
		json_object_set_new(o, "created", json_string(when));
		json_object_set_new(o, "own", json_boolean(own));
		jsonout_line(stdout, o);
		return;
	}
	printf("%.16s  %-10s  %.19sZ  ", id, kind_name(card->kind), when);
	listing_text(stdout, card->label);
	printf("%s\n", own ? "  (this key)" : "");
}

static int list(struct cli *cli)
{
	for (unsigned i = 0; i < cli->repo->slot_count; i++)
		print_slot(cli, cli->repo->slots[i]);
	return CLI_OK;
}

/* The new slot's secret: named files here, since the environment's are those that open the repository. */
static int new_unlock(struct cli *cli, const struct key_request *q, struct cli_unlock *ret, struct error *err)
{
	if (q->new_key_file != NULL)
		return cli_unlock_key_file(ret, q->new_key_file, true, err);
	if (q->new_password_file != NULL)
		return cli_unlock_password_file(ret, q->new_password_file, err);
	(void)cli;
	return cli_unlock_terminal(ret, true, err);
}

/* Opening the repository has shown that this key opens it; what the new one would be is all that is left to say. */
static int tell_add(struct cli *cli, const struct key_request *q)
{
	const char *path = q->new_key_file;

	if ((cli->repo->own->rights & RIGHT_KEYS) == 0)
		log_warn(cli->log, "this key may not add keys");
	if (path == NULL)
		printf("would add a key: a passphrase %s\n",
			q->new_password_file == NULL ? "asked for on the terminal" : "read from its file");
	else
		printf("would add a key: the key file '%s'%s\n", path,
			access(path, F_OK) == 0 ? "" : ", which would be made");
	return CLI_OK;
}

static int add(struct cli *cli, const struct key_request *q)
{
	if (cli->dry_run)
		return tell_add(cli, q);
	struct cli_unlock fresh = {0};
	struct error err = ERROR_INIT;
	struct id slot;
	int r = new_unlock(cli, q, &fresh, &err);

	if (r == 0)
		r = repo_key_add(cli->repo, &fresh.unlock, q->label == NULL ? "" : q->label, &slot, &err);
	cli_unlock_release(&fresh);
	if (r < 0)
		return cli_fail(cli, &err);
	const struct slot_card *card = repo_slot(cli->repo, &slot);
	if (card != NULL && !cli->quiet)
		print_slot(cli, card);
	return CLI_OK;
}

/* A slot by its id or a unique beginning of it. */
static const struct slot_card *find_slot(const struct cli *cli, const char *text, struct error *err)
{
	const struct slot_card *found = NULL;
	size_t n = strlen(text);

	for (unsigned i = 0; i < cli->repo->slot_count; i++) {
		char id[ID_HEX_MAX];
		id_hex(&cli->repo->slots[i]->id, id);
		if (n < 4 || strncmp(id, text, n) != 0)
			continue;
		if (found != NULL) {
			error_set(err, ERR_USAGE, "more than one key begins with '%s'", text);
			return NULL;
		}
		found = cli->repo->slots[i];
	}
	if (found == NULL)
		error_set(err, ERR_NOT_FOUND, "there is no key '%s'; 'drfs key list' shows them", text);
	return found;
}

static int take_away(struct cli *cli, const struct key_request *q)
{
	struct error err = ERROR_INIT;
	const struct slot_card *card = find_slot(cli, q->id, &err);

	if (card == NULL)
		return cli_fail(cli, &err);
	struct id id = card->id;
	int r = cli->dry_run ? repo_key_may_remove(cli->repo, &id, q->force, &err)
			     : repo_key_remove(cli->repo, &id, q->force, &err);
	if (r == ERR_USAGE)
		error_wrap(&err, r, "not removed without --force");
	if (r < 0)
		return cli_fail(cli, &err);
	if (cli->dry_run) {
		printf("would remove the key ");
		print_slot(cli, card);
		return CLI_OK;
	}
	log_notice(
		cli->log, "the key opens nothing from now on; who copied the repository before still reads that copy");
	return CLI_OK;
}

static int take(struct cli *cli, struct key_request *q, int which, const char *value)
{
	switch (which) {
	case O_LABEL:
		q->label = value;
		return CLI_OK;
	case O_NEW_KEY_FILE:
		q->new_key_file = value;
		return CLI_OK;
	case O_NEW_PASSWORD_FILE:
		q->new_password_file = value;
		return CLI_OK;
	case O_FORCE:
		q->force = true;
		return CLI_OK;
	case CLI_ARG_PLAIN:
		if (q->action == NULL)
			q->action = value;
		else if (q->id == NULL)
			q->id = value;
		else
			return cli_usage(cli, "'%s' is one word too many", value);
		return CLI_OK;
	default:
		return CLI_USAGE;
	}
}

int cmd_key(struct cli *cli, int argc, char **argv)
{
	struct cli_args args = {.cli = cli, .options = options, .option_count = O_COUNT, .argv = argv, .argc = argc};
	struct key_request q = {0};
	const char *value;
	int what, code = CLI_OK;

	while (code == CLI_OK && (what = cli_arg(&args, &value)) != CLI_ARG_END)
		code = take(cli, &q, what, value);
	if (code != CLI_OK)
		return code;
	bool is_list = q.action != NULL && strcmp(q.action, "list") == 0;
	bool is_add = q.action != NULL && strcmp(q.action, "add") == 0;
	bool is_remove = q.action != NULL && strcmp(q.action, "remove") == 0;
	if (!is_list && !is_add && !is_remove)
		return cli_usage(cli, "say list, add or remove");
	if (is_remove != (q.id != NULL))
		return cli_usage(
			cli, is_remove ? "which key? 'drfs key list' shows them" : "this takes no further word");
	code = cli_open(cli, false);
	if (code != CLI_OK)
		return code;
	return is_list ? list(cli) : is_add ? add(cli, &q) : take_away(cli, &q);
}
