/* SPDX-License-Identifier: MIT */

/* One place after the other, and the words for when all were empty. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backends/aws_impl.h"
#include "base/clock.h"

const char *aws_env(const struct aws_options *o, const char *name)
{
	const char *value = o->env != NULL ? o->env(o->env_arg, name) : getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

bool aws_env_true(const struct aws_options *o, const char *name)
{
	const char *value = aws_env(o, name);

	return value != NULL && strcasecmp(value, "true") == 0;
}

int64_t aws_now(const struct aws_options *o)
{
	return o->now != NULL ? o->now(o->env_arg) : clock_now();
}

int aws_note(struct aws_fetch *f, const char *fmt, ...)
{
	size_t used = strlen(f->trail);
	va_list args;

	if (used > 0 && used + 2 < sizeof(f->trail)) {
		memcpy(f->trail + used, "; ", 3);
		used += 2;
	}
	va_start(args, fmt);
	(void)vsnprintf(f->trail + used, sizeof(f->trail) - used, fmt, args);
	va_end(args);
	return AWS_NOTHING;
}

int aws_from_environment(struct aws_fetch *f, struct aws_keys *ret, struct error *err)
{
	const struct aws_options *o = &f->c->o;
	struct aws_raw raw = {.access = aws_env(o, "AWS_ACCESS_KEY_ID"),
		.secret = aws_env(o, "AWS_SECRET_ACCESS_KEY"),
		.token = aws_env(o, "AWS_SESSION_TOKEN")};

	if (raw.access == NULL && raw.secret == NULL)
		return aws_note(f, "AWS_ACCESS_KEY_ID is not set");
	if (raw.access == NULL || raw.secret == NULL)
		return error_set(
			err, ERR_USAGE, "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set: set both");
	f->fixed = true;
	return aws_keys_make(&raw, "environment", ret, err);
}

static int from_web_identity(struct aws_fetch *f, struct aws_keys *ret, struct error *err)
{
	const struct aws_options *o = &f->c->o;
	struct aws_role role = {.arn = aws_env(o, "AWS_ROLE_ARN"),
		.session_name = aws_env(o, "AWS_ROLE_SESSION_NAME"),
		.token_file = aws_env(o, "AWS_WEB_IDENTITY_TOKEN_FILE"),
		.source = "web identity"};

	if (role.token_file == NULL)
		return aws_note(f, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
	if (role.arn == NULL)
		return error_set(
			err, ERR_USAGE, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but not AWS_ROLE_ARN: set it as well");
	return aws_sts_web_identity(f, &role, ret, err);
}

typedef int source_fn(struct aws_fetch *f, struct aws_keys *ret, struct error *err);

int aws_fetch_keys(struct aws_fetch *f, struct aws_keys *ret, struct error *err)
{
	static source_fn *const sources[] = {
		aws_from_environment, from_web_identity, aws_from_profile, aws_from_container, aws_from_instance};
	/* A profile that the caller names is meant; what else is set in the environment is not. */
	size_t first = f->c->o.profile != NULL ? 2 : 0;
	int rc = AWS_NOTHING;

	for (size_t i = first; rc == AWS_NOTHING && i < sizeof(sources) / sizeof(sources[0]); i++)
		rc = sources[i](f, ret, err);
	if (rc != AWS_NOTHING)
		return rc;
	return error_set(err, ERR_DENIED,
		"found no credentials for AWS; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (looked "
		"at: %s)",
		f->trail);
}
