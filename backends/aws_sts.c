/* SPDX-License-Identifier: MIT */

/* Roles, taken at AWS's Security Token Service. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backends/aws_impl.h"
#include "backends/sigv4.h"
#include "base/clock.h"

enum { REGION_MOST = 64, URL_MOST = 512 };

static const char form[] = "application/x-www-form-urlencoded; charset=utf-8";

/* A question to STS, from its parts to the keys in its answer. */
struct exchange {
	struct aws_fetch *f;
	const struct aws_role *role;
	char region[REGION_MOST], url[URL_MOST];
	const char *host; /* in url, up to its end */
	struct buf body, headers;
	const char *secret; /* that no message may repeat; NULL: none */
};

/* ---- where ---- */

static int find_region(struct exchange *x, struct error *err)
{
	const struct aws_options *o = &x->f->c->o;
	const char *region = aws_env(o, "AWS_REGION");

	if (region == NULL)
		region = aws_env(o, "AWS_DEFAULT_REGION");
	if (region == NULL)
		region = aws_profile_setting(&x->f->files, x->f->c->profile, "region");
	if (region == NULL)
		region = "us-east-1";
	/* It becomes part of a host's name. */
	if (strlen(region) >= REGION_MOST || strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region))
		return error_set(err, ERR_USAGE, "the region '%.80s' is none", region);
	strcpy(x->region, region);
	return 0;
}

static const char *given_endpoint(const struct exchange *x)
{
	const struct aws_options *o = &x->f->c->o;
	const char *e = o->sts_endpoint;

	if (e != NULL || aws_env_true(o, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
		return e;
	e = aws_env(o, "AWS_ENDPOINT_URL_STS");
	return e != NULL ? e : aws_profile_setting(&x->f->files, x->f->c->profile, "sts.endpoint_url");
}

static int find_endpoint(struct exchange *x, struct error *err)
{
	const char *given = given_endpoint(x);
	size_t len = given != NULL ? strlen(given) : 0, scheme = 0;
	int n;

	if (given == NULL) {
		n = snprintf(x->url, URL_MOST, "https://sts.%s.amazonaws.com%s", x->region,
			strncmp(x->region, "cn-", 3) == 0 ? ".cn" : "");
		x->host = x->url + strlen("https://");
		return n > 0 && n < URL_MOST ? 0 : error_set(err, ERR_USAGE, "the region '%s' is none", x->region);
	}
	while (len > 0 && given[len - 1] == '/')
		len--;
	if (strncasecmp(given, "https://", 8) == 0 || strncasecmp(given, "http://", 7) == 0)
		scheme = (size_t)(strstr(given, "://") - given) + 3;
	if (scheme == 0 || len <= scheme || len >= URL_MOST || strcspn(given + scheme, "/?#@ \t\r\n") < len - scheme)
		return error_set(
			err, ERR_USAGE, "the endpoint for STS, '%.200s', must be http(s)://HOST[:PORT]", given);
	memcpy(x->url, given, len);
	x->url[len] = '\0';
	x->host = x->url + scheme;
	return 0;
}

/* ---- what is asked ---- */

static void put_field(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	aws_put_text(b, b->len > 0 ? "&" : "");
	aws_put_text(b, name);
	aws_put_text(b, "=");
	sigv4_encode(b, value, strlen(value), 0);
}

static void put_fields(struct exchange *x, const char *action)
{
	const struct aws_role *r = x->role;

	put_field(&x->body, "Action", action);
	put_field(&x->body, "Version", "2011-06-15");
	put_field(&x->body, "RoleArn", r->arn);
	put_field(&x->body, "RoleSessionName", r->session_name != NULL ? r->session_name : "drfs");
	put_field(&x->body, "DurationSeconds", r->duration);
}

static int sign(struct exchange *x, const struct aws_keys *by, struct error *err)
{
	const struct sigv4_param type = {"content-type", form};
	char hash[SIGV4_HASH_HEX];

	sigv4_hash(x->body.data, x->body.len, hash);
	struct sigv4_identity identity = {.access_key = by->access_key,
		.secret_key = by->secret_key,
		.session_token = by->session_token,
		.region = x->region,
		.service = "sts"};
	struct sigv4_request request = {.method = "POST",
		.path = "/",
		.host = x->host,
		.payload_hash = hash,
		.headers = &type,
		.header_count = 1};
	return sigv4_sign(&request, &identity, aws_now(&x->f->c->o) / CLOCK_SECOND, &x->headers, err);
}

/* ---- what the answer means ---- */

static int refused(const struct exchange *x, int status, const struct aws_sts_answer *a, struct error *err)
{
	bool repeats = x->secret != NULL && strstr(a->message, x->secret) != NULL;
	bool slow = strncmp(a->code, "Throttl", 7) == 0;

	return error_set(err, slow ? ERR_THROTTLED : ERR_DENIED,
		"%s: STS at '%s' does not give the role '%.200s': %s%s%s (%d)", x->role->source, x->host, x->role->arn,
		a->code, a->message[0] != '\0' && !repeats ? ": " : "", repeats ? "" : a->message, status);
}

static const char *text(const struct buf *b)
{
	return b->len > 0 ? (const char *)b->data : NULL;
}

static int understand(const struct exchange *x, const struct http_answer *h, struct aws_keys *ret, struct error *err)
{
	struct aws_sts_answer a = {.code = ""};
	bool known = aws_sts_parse(h->text.data, h->text.len, &a);
	struct aws_raw raw = {.access = text(&a.access),
		.secret = text(&a.secret),
		.token = text(&a.token),
		.expires = text(&a.expires)};
	int rc;

	if (known && a.code[0] != '\0')
		rc = refused(x, h->status, &a, err);
	else if (known && h->status / 100 == 2)
		rc = aws_keys_make(&raw, x->role->source, ret, err);
	else
		rc = error_set(err, h->status == 401 || h->status == 403 ? ERR_DENIED : ERR_IO,
			"%s: what answers at '%s' (%d) is no STS; is the endpoint right?", x->role->source, x->host,
			h->status);
	aws_sts_answer_release(&a);
	return rc;
}

static int run(struct exchange *x, struct aws_keys *ret, struct error *err)
{
	char what[400];
	struct http_answer a = {0};

	(void)snprintf(what, sizeof(what), "%s: role '%.200s'", x->role->source, x->role->arn);
	struct aws_question q = {
		.what = what, .method = "POST", .url = x->url, .headers = &x->headers, .body = &x->body, .sts = true};
	int rc = buf_failed(&x->body) || buf_failed(&x->headers) ? error_no_memory(err, what) : 0;
	if (rc == 0)
		rc = aws_ask(x->f, &q, &a, err);
	if (rc == 0)
		rc = understand(x, &a, ret, err);
	http_answer_release(&a);
	return rc;
}

static int begin(struct exchange *x, struct error *err)
{
	int rc = find_region(x, err);

	return rc < 0 ? rc : find_endpoint(x, err);
}

static void end(struct exchange *x)
{
	buf_wipe(&x->body);
	buf_wipe(&x->headers);
}

/* ---- both ways ---- */

int aws_sts_web_identity(struct aws_fetch *f, const struct aws_role *role, struct aws_keys *ret, struct error *err)
{
	struct exchange x = {.f = f, .role = role};
	struct buf token = {0};
	int rc = begin(&x, err);

	if (rc == 0)
		rc = aws_read_secret(role->token_file, AWS_TOKEN_MOST, &token, err);
	if (rc == 0 && token.len == 0)
		rc = error_set(err, ERR_USAGE, "'%s' is empty", role->token_file);
	if (rc < 0)
		(void)error_wrap(err, rc, "%s: the token of the web identity", role->source);
	if (rc == 0) {
		/* Three times the token, and the rest: so that it is never moved. */
		buf_reserve(&x.body, 3 * token.len + 8192);
		put_fields(&x, "AssumeRoleWithWebIdentity");
		put_field(&x.body, "WebIdentityToken", (const char *)token.data);
		aws_put_header(&x.headers, "content-type", form);
		x.secret = (const char *)token.data;
		rc = run(&x, ret, err);
	}
	buf_wipe(&token);
	end(&x);
	return rc;
}

int aws_sts_assume(struct aws_fetch *f, const struct aws_role *role, const struct aws_keys *by, struct aws_keys *ret,
	struct error *err)
{
	struct exchange x = {.f = f, .role = role, .secret = by->secret_key};
	int rc = begin(&x, err);

	if (rc == 0) {
		put_fields(&x, "AssumeRole");
		put_field(&x.body, "ExternalId", role->external_id);
		rc = buf_failed(&x.body) ? error_no_memory(err, "credentials") : sign(&x, by, err);
	}
	if (rc == 0)
		rc = run(&x, ret, err);
	end(&x);
	return rc;
}
