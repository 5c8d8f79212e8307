/* SPDX-License-Identifier: MIT */
#include "tests/unit/aws_world.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fileio.h"

static const char *ask(void *arg, const char *name)
{
	const struct world *w = arg;

	for (unsigned i = 0; i < w->variable_count; i++)
		if (strcmp(w->variables[i].name, name) == 0)
			return w->variables[i].value;
	return NULL;
}

static int64_t now(void *arg)
{
	struct world *w = arg;
	struct http_script *held = atomic_exchange(&w->let_go, NULL);

	if (held != NULL)
		http_script_let_go(held);
	return atomic_load(&w->now);
}

int world_set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int64_t noon, last;

	assert_non_null(w);
	strcpy(w->root, "/tmp/drfs-aws-XXXXXX");
	assert_non_null(mkdtemp(w->root));
	char *folder = fileio_format("%s/.aws", w->root);
	assert_int_equal(mkdir(folder, 0700), 0);
	free(folder);
	assert_true(clock_parse(WORLD_NOON, &noon, &last));
	atomic_store(&w->now, noon);
	w->options = (struct aws_options){.env = ask, .env_arg = w, .now = now};
	world_set(w, "HOME", "%s", w->root);
	world_set(w, "AWS_EC2_METADATA_DISABLED", "true");
	*state = w;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int world_tear_down(void **state)
{
	struct world *w = *state;

	aws_credentials_free(w->c);
	for (unsigned i = 0; i < w->variable_count; i++)
		free(w->variables[i].value);
	(void)nftw(w->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

void world_set(struct world *w, const char *name, const char *fmt, ...)
{
	va_list args;
	char *value;

	va_start(args, fmt);
	assert_true(vasprintf(&value, fmt, args) >= 0);
	va_end(args);
	world_unset(w, name);
	assert_true(w->variable_count < WORLD_VARIABLES);
	w->variables[w->variable_count].name = name;
	w->variables[w->variable_count++].value = value;
}

void world_unset(struct world *w, const char *name)
{
	for (unsigned i = 0; i < w->variable_count; i++) {
		if (strcmp(w->variables[i].name, name) == 0) {
			free(w->variables[i].value);
			w->variables[i] = w->variables[--w->variable_count];
			return;
		}
	}
}

void world_write_bytes(struct world *w, const char *name, const void *data, size_t len)
{
	char *path = fileio_format("%s/.aws/%s", w->root, name);

	assert_int_equal(fileio_replace(path, 0600, data, len, NULL), 0);
	free(path);
}

void world_write(struct world *w, const char *name, const char *text)
{
	world_write_bytes(w, name, text, strlen(text));
}

void world_pass(struct world *w, int64_t seconds)
{
	atomic_fetch_add(&w->now, seconds * CLOCK_SECOND);
}

void world_open(struct world *w)
{
	struct error err = ERROR_INIT;

	aws_credentials_free(w->c);
	w->c = NULL;
	if (aws_credentials_new(&w->options, &w->c, &err) != 0)
		fail_msg("%s", error_text(&err));
}

static void assert_text(const char *is, const char *wanted)
{
	if (wanted == NULL)
		assert_null(is);
	else
		assert_string_equal(is, wanted);
}

void world_expect(struct world *w, const char *access, const char *secret, const char *token, const char *source)
{
	struct error err = ERROR_INIT;
	struct aws_keys keys = {0};

	if (w->c == NULL)
		world_open(w);
	if (aws_credentials_get(w->c, NULL, &keys, &err) != 0)
		fail_msg("%s", error_text(&err));
	assert_text(keys.access_key, access);
	assert_text(keys.secret_key, secret);
	assert_text(keys.session_token, token);
	assert_text(keys.source, source);
	aws_keys_release(&keys);
	assert_null(keys.secret_key);
}

void world_expect_error(struct world *w, int code, const char *const *words)
{
	struct error err = ERROR_INIT;
	struct aws_keys keys = {0};
	int rc = w->c == NULL ? aws_credentials_new(&w->options, &w->c, &err) : 0;

	if (rc == 0)
		rc = aws_credentials_get(w->c, NULL, &keys, &err);
	if (rc != code)
		fail_msg("%d and not %d: %s", rc, code, error_text(&err));
	assert_int_equal(err.code, code);
	assert_null(keys.access_key);
	for (; *words != NULL; words++)
		if (strstr(error_text(&err), *words) == NULL)
			fail_msg("'%s' is not in: %s", *words, error_text(&err));
	if (strstr(error_text(&err), "s3cr3t") != NULL)
		fail_msg("a secret is in: %s", error_text(&err));
}
