/* SPDX-License-Identifier: MIT */

/* What a profile says about its keys: they stand there, a command has them, or a role is taken with those of another.
 */

#include <stdio.h>
#include <string.h>

#include "backends/aws_impl.h"

enum { SOURCE_MOST = 160, NAMES_MOST = 500 };

static int resolve(struct aws_fetch *f, const char *name, struct aws_keys *ret, struct error *err);

/* ---- keys of its own ---- */

/* All of them from one file: a token does not belong to another file's key. */
static int written_keys(
	struct aws_fetch *f, const char *name, const char *source, struct aws_keys *ret, struct error *err)
{
	const struct aws_file *places[] = {&f->files.credentials, &f->files.config};

	for (size_t i = 0; i < 2; i++) {
		const struct aws_file *p = places[i];
		struct aws_raw raw = {.access = aws_file_get(&f->files, p, name, "aws_access_key_id"),
			.secret = aws_file_get(&f->files, p, name, "aws_secret_access_key"),
			.token = aws_file_get(&f->files, p, name, "aws_session_token")};
		if (raw.access != NULL || raw.secret != NULL)
			return aws_keys_make(&raw, source, ret, err);
	}
	return AWS_NOTHING;
}

static int check_sign_in(struct aws_fetch *f, const char *name, const char *source, struct error *err)
{
	static const char *const names[] = {"sso_session", "sso_start_url", "login_session"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (aws_files_get(&f->files, name, names[i]) != NULL)
			return error_set(err, ERR_UNSUPPORTED,
				"%s signs in by a browser (%s), which drfs cannot: give it a credential_process of "
				"'aws configure export-credentials --profile NAME --format process'",
				source, names[i]);
	return aws_note(f, "%s has no keys", source);
}

static int own_keys(struct aws_fetch *f, const char *name, const char *source, struct aws_keys *ret, struct error *err)
{
	const char *command = aws_files_get(&f->files, name, "credential_process");
	int rc = written_keys(f, name, source, ret, err);

	if (rc != AWS_NOTHING)
		return rc;
	if (command != NULL)
		return aws_from_process(f, command, source, ret, err);
	return check_sign_in(f, name, source, err);
}

/* ---- a role ---- */

static int keys_of_source(
	struct aws_fetch *f, const char *which, const char *source, struct aws_keys *ret, struct error *err)
{
	if (strcmp(which, "Environment") == 0)
		return aws_from_environment(f, ret, err);
	if (strcmp(which, "EcsContainer") == 0)
		return aws_from_container(f, ret, err);
	if (strcmp(which, "Ec2InstanceMetadata") == 0)
		return aws_from_instance(f, ret, err);
	return error_set(err, ERR_USAGE,
		"%s: credential_source is '%.60s', it can be Environment, Ec2InstanceMetadata or EcsContainer", source,
		which);
}

/* The keys by which the role is asked for. */
static int base_keys(struct aws_fetch *f, const char *name, const char *source, struct aws_keys *ret, struct error *err)
{
	const char *by = aws_files_get(&f->files, name, "source_profile");
	const char *place = aws_files_get(&f->files, name, "credential_source");
	int rc;

	if ((by == NULL) == (place == NULL))
		return error_set(err, ERR_USAGE,
			"%s has a role_arn: it needs either source_profile or credential_source beside it", source);
	if (place != NULL)
		rc = keys_of_source(f, place, source, ret, err);
	else if (strcmp(by, name) == 0)
		rc = own_keys(f, name, source, ret, err);
	else
		rc = resolve(f, by, ret, err);
	if (rc == AWS_NOTHING)
		rc = error_set(err, ERR_DENIED, "%s takes a role by '%.100s', where no credentials are (%.300s)",
			source, by != NULL ? by : place, f->trail);
	return rc;
}

static int take_role(struct aws_fetch *f, const char *name, const char *source, struct aws_keys *ret, struct error *err)
{
	const struct aws_files *files = &f->files;
	struct aws_role role = {.arn = aws_files_get(files, name, "role_arn"),
		.session_name = aws_files_get(files, name, "role_session_name"),
		.external_id = aws_files_get(files, name, "external_id"),
		.duration = aws_files_get(files, name, "duration_seconds"),
		.token_file = aws_files_get(files, name, "web_identity_token_file"),
		.source = source};
	struct aws_keys base = {0};

	if (role.token_file != NULL)
		return aws_sts_web_identity(f, &role, ret, err);
	if (aws_files_get(files, name, "mfa_serial") != NULL)
		return error_set(err, ERR_UNSUPPORTED,
			"%s asks for a code of a device (mfa_serial), which drfs cannot: use a profile without it",
			source);
	int rc = base_keys(f, name, source, &base, err);
	if (rc == 0) {
		f->fixed = false; /* what the role gives is not what stands in the environment */
		rc = aws_sts_assume(f, &role, &base, ret, err);
	}
	aws_keys_release(&base);
	return rc;
}

/* ---- from profile to profile ---- */

static int enter(struct aws_fetch *f, const char *name, struct error *err)
{
	for (unsigned i = 0; i < f->depth; i++)
		if (strcmp(f->chain[i], name) == 0)
			return error_set(err, ERR_USAGE,
				"source_profile leads from profile '%.100s' back to itself: one of them must have keys",
				name);
	if (f->depth == AWS_CHAIN_MOST)
		return error_set(err, ERR_USAGE, "source_profile leads through more than %d profiles from '%.100s' on",
			AWS_CHAIN_MOST, f->chain[0]);
	f->chain[f->depth++] = name;
	return 0;
}

static int resolve(struct aws_fetch *f, const char *name, struct aws_keys *ret, struct error *err)
{
	char source[SOURCE_MOST], names[NAMES_MOST];
	int rc = enter(f, name, err);

	if (rc < 0)
		return rc;
	(void)snprintf(source, sizeof(source), "profile '%.100s'", name);
	if (!aws_files_has(&f->files, name))
		return error_set(err, ERR_USAGE, "there is no %s in %s; write it there", source,
			aws_files_names(&f->files, names, sizeof(names)));
	if (aws_files_get(&f->files, name, "role_arn") != NULL)
		return take_role(f, name, source, ret, err);
	if (aws_files_get(&f->files, name, "web_identity_token_file") != NULL)
		return error_set(
			err, ERR_USAGE, "%s has a web_identity_token_file: it needs a role_arn beside it", source);
	return own_keys(f, name, source, ret, err);
}

int aws_from_profile(struct aws_fetch *f, struct aws_keys *ret, struct error *err)
{
	char names[NAMES_MOST];

	if (!f->c->asked && !aws_files_has(&f->files, f->c->profile))
		return aws_note(f, "no profile '%.100s' in %s", f->c->profile,
			aws_files_names(&f->files, names, sizeof(names)));
	return resolve(f, f->c->profile, ret, err);
}
