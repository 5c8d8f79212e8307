/* SPDX-License-Identifier: MIT */
#ifndef BACKENDS_AWS_CREDENTIALS_H
#define BACKENDS_AWS_CREDENTIALS_H

/*
 * Who asks: keys for S3, found where the users of AWS's own tools put them, in
 * their order: environment, web identity, profile (shared credentials and
 * configuration files, with source_profile, credential_process and role_arn),
 * container, instance. A profile that the caller names goes before all of them.
 * Keys that expire are fetched anew some minutes before; what is there stays in
 * use while that fails and they are still good. Files are read anew each time.
 *
 * Threads: any may call aws_credentials_get() at once; one of them fetches, the
 * others wait for it or, while what is there is still good, do not. No lock is
 * held over I/O. Keys are wiped when they are let go of, and are in no message.
 *
 * Errors: ERR_DENIED where nothing was found or what was found is refused, with all places that were looked at and why
 * each had nothing; ERR_USAGE where a variable or a file says what cannot be; ERR_UNAVAILABLE where a service that
 * should know does not answer; ERR_IO where it answers with what is no answer.
 */

#include "backends/http.h"

struct aws_keys {
	char *access_key, *secret_key;
	char *session_token; /* NULL: none */
	int64_t expires;     /* ns since 1970; 0: never */
	const char *source;  /* "environment", "profile 'x'" …, for messages; owned */
};
/* Wipes. A zeroed one is a no-op. */
void aws_keys_release(struct aws_keys *keys);

/* What the environment is asked through, so that tests need not change it. NULL: getenv(). */
typedef const char *aws_env_fn(void *arg, const char *name);

struct aws_options {
	aws_env_fn *env;
	void *env_arg;
	int64_t (*now)(void *env_arg); /* ns since 1970; NULL: the host's clock */
	const char *profile;           /* NULL: AWS_PROFILE, else "default" */
	/* For STS, which may lie behind a proxy; borrowed. NULL: an engine of its own, past all proxies, as the
	 * services of the machine (container, instance) are asked through in any case. */
	struct http *http;
	struct log *log;
	const char *sts_endpoint; /* NULL: AWS_ENDPOINT_URL_STS, the profile's for sts, else AWS's own */
};

/* What a variable holds; NULL: it is not set, or empty. Borrowed from the environment. */
const char *aws_env(const struct aws_options *o, const char *name);
/* Is it set to "true", in any case of letters? */
bool aws_env_true(const struct aws_options *o, const char *name);

struct aws_credentials;
/*
 * Reads the files, for aws_setting(), and asks nobody. Strings are copied. ERR_USAGE: the profile that was asked for is
 * in neither file, or a file cannot be understood.
 */
int aws_credentials_new(const struct aws_options *options, struct aws_credentials **ret, struct error *err);
/* No call may be under way. NULL is a no-op. */
void aws_credentials_free(struct aws_credentials *c);
/* A copy that the caller releases. `limits` may be NULL. May block on files, a command and the network. */
int aws_credentials_get(
	struct aws_credentials *c, const struct store_call *limits, struct aws_keys *ret, struct error *err);
/* The server said that these are not good (any more): the next get fetches anew, if that can help. Returns whether. */
bool aws_credentials_refused(struct aws_credentials *c, const struct aws_keys *keys);

/* A setting of the profile ("region", "endpoint_url"; in its [services] section, or nested in the profile itself, as
 * "s3.endpoint_url"), or NULL. Borrowed from c. */
const char *aws_setting(const struct aws_credentials *c, const char *name);

#endif
