/* SPDX-License-Identifier: MIT */

/* Keys as values: checked, copied, compared, wiped; and read from JSON. */

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "backends/aws_impl.h"
#include "base/clock.h"
#include "base/hex.h"

enum { CODE_SHOWN = 80 };

static void wipe(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

void aws_keys_release(struct aws_keys *keys)
{
	wipe(&keys->access_key);
	wipe(&keys->secret_key);
	wipe(&keys->session_token);
	free((char *)(uintptr_t)keys->source);
	*keys = (struct aws_keys){0};
}

static bool copy_text(const char *text, char **ret)
{
	*ret = text != NULL ? strdup(text) : NULL;
	return text == NULL || *ret != NULL;
}

int aws_keys_copy(const struct aws_keys *keys, struct aws_keys *ret, struct error *err)
{
	struct aws_keys copy = {.expires = keys->expires};
	char *source = NULL;

	bool ok = copy_text(keys->access_key, &copy.access_key) && copy_text(keys->secret_key, &copy.secret_key) &&
		  copy_text(keys->session_token, &copy.session_token) && copy_text(keys->source, &source);
	copy.source = source;
	if (!ok) {
		aws_keys_release(&copy);
		return error_no_memory(err, "credentials");
	}
	*ret = copy;
	return 0;
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool aws_keys_equal(const struct aws_keys *a, const struct aws_keys *b)
{
	return same(a->access_key, b->access_key) && same(a->secret_key, b->secret_key) &&
	       same(a->session_token, b->session_token);
}

/* They go into headers: a blank or a line's end is a slip of who pasted them, at best. */
static int check(const char *text, const char *name, const char *source, struct error *err)
{
	if (text == NULL || text[0] == '\0')
		return error_set(
			err, ERR_USAGE, "%s: there is no %s beside the other parts of the credentials", source, name);
	for (const char *p = text; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return error_set(err, ERR_USAGE,
				"%s: the %s holds a space or another character that none has; write it again", source,
				name);
	return 0;
}

int aws_keys_make(const struct aws_raw *raw, const char *source, struct aws_keys *ret, struct error *err)
{
	const char *token = raw->token != NULL && raw->token[0] != '\0' ? raw->token : NULL;
	int64_t expires = 0, last;
	int rc = check(raw->access, "access key", source, err);

	if (rc == 0)
		rc = check(raw->secret, "secret key", source, err);
	if (rc == 0 && token != NULL)
		rc = check(token, "session token", source, err);
	if (rc == 0 && raw->expires != NULL && !clock_parse(raw->expires, &expires, &last))
		rc = error_set(err, ERR_USAGE, "%s: when the credentials expire is no time", source);
	if (rc < 0)
		return rc;
	/* Borrowed, but for the copy. */
	struct aws_keys keys = {.access_key = (char *)(uintptr_t)raw->access,
		.secret_key = (char *)(uintptr_t)raw->secret,
		.session_token = (char *)(uintptr_t)token,
		.expires = expires,
		.source = source};
	return aws_keys_copy(&keys, ret, err);
}

/* ---- JSON ---- */

static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* Before it is let go of: the library wipes nothing. */
static void wipe_texts(json_t *o)
{
	const char *name;
	json_t *value;

	json_object_foreach(o, name, value)
	{
		if (json_is_string(value))
			explicit_bzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
	}
}

/* An instance says in "Code" why it has none. */
static int check_code(const json_t *o, const char *source, struct error *err)
{
	const char *code = text_of(o, "Code");
	char shown[CODE_SHOWN];

	if (code == NULL || strcmp(code, "Success") == 0)
		return 0;
	return error_set(err, ERR_DENIED, "%s: no credentials are given: '%s'", source,
		hex_printable_to(code, strlen(code), shown, sizeof(shown)));
}

static int from_object(const json_t *o, bool versioned, const char *source, struct aws_keys *ret, struct error *err)
{
	struct aws_raw raw = {.access = text_of(o, "AccessKeyId"),
		.secret = text_of(o, "SecretAccessKey"),
		.token = text_of(o, versioned ? "SessionToken" : "Token"),
		.expires = text_of(o, "Expiration")};
	int rc = versioned ? 0 : check_code(o, source, err);

	if (rc < 0)
		return rc;
	if (versioned && json_integer_value(json_object_get(o, "Version")) != 1)
		return error_set(err, ERR_USAGE, "%s: the answer has no 'Version' of 1", source);
	return aws_keys_make(&raw, source, ret, err);
}

int aws_keys_from_json(
	const void *text, size_t len, bool versioned, const char *source, struct aws_keys *ret, struct error *err)
{
	json_t *o = len <= AWS_TOKEN_MOST ? json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	int rc = json_is_object(o)
			 ? from_object(o, versioned, source, ret, err)
			 : error_set(err, ERR_IO, "%s: the answer is no JSON object with credentials", source);

	if (json_is_object(o))
		wipe_texts(o);
	json_decref(o);
	return rc;
}
