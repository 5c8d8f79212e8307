/* SPDX-License-Identifier: MIT */

/* Keys that the machine itself is given: by the agent of its container, or by the metadata service of the instance. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backends/aws_impl.h"
#include "backends/sigv4.h"

enum { HOST_MOST = 64, ROLE_MOST = 256, URL_MOST = 2048 };

/* ---- where a container's keys are ---- */

/* Without TLS only what cannot leave the machine: loopback, and the agents' own addresses. */
static bool may_be_plain(const char *host, size_t len)
{
	static const char *const fine[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
	char name[HOST_MOST];
	struct in_addr v4;

	if (len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		if (strcasecmp(name, fine[i]) == 0)
			return true;
	return inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

/* The host of "scheme://host:port/path", with its brackets. */
static size_t host_length(const char *host)
{
	const char *close = host[0] == '[' ? strchr(host, ']') : NULL;

	return close != NULL ? (size_t)(close - host) + 1 : strcspn(host, ":/?#");
}

static int check_full(const char *url, struct error *err)
{
	const char *host;

	for (const char *p = url; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			return error_set(
				err, ERR_USAGE, "AWS_CONTAINER_CREDENTIALS_FULL_URI holds what is in no URL: a space?");
	if (strlen(url) > URL_MOST || strchr(url, '@') != NULL)
		return error_set(err, ERR_USAGE, "AWS_CONTAINER_CREDENTIALS_FULL_URI is too long, or holds an '@'");
	if (strncasecmp(url, "https://", 8) == 0)
		return 0;
	host = url + 7;
	if (strncasecmp(url, "http://", 7) == 0 && may_be_plain(host, host_length(host)))
		return 0;
	return error_set(err, ERR_USAGE,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI: keys are not fetched from '%.100s' without https://", url);
}

int aws_container_url(struct aws_fetch *f, struct buf *ret, struct error *err)
{
	const char *relative = aws_env(&f->c->o, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = aws_env(&f->c->o, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	int rc = 0;

	if (relative == NULL && full == NULL)
		return aws_note(f, "no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI");
	if (relative != NULL && (relative[0] != '/' || strpbrk(relative, " \t\r\n") || strlen(relative) > URL_MOST))
		rc = error_set(err, ERR_USAGE, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must be a path, from '/' on");
	else if (relative != NULL)
		aws_put_text(ret, "http://169.254.170.2");
	else
		rc = check_full(full, err);
	if (rc < 0)
		return rc;
	aws_put_text(ret, relative != NULL ? relative : full);
	buf_put_u8(ret, 0);
	return buf_failed(ret) ? error_no_memory(err, "credentials") : 0;
}

/* ---- the container ---- */

static int put_authorization(struct aws_fetch *f, struct buf *headers, struct error *err)
{
	const char *file = aws_env(&f->c->o, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = aws_env(&f->c->o, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	struct buf text = {0};
	int rc = 0;

	if (file != NULL) {
		rc = aws_read_secret(file, AWS_TOKEN_MOST, &text, err);
		if (rc < 0)
			(void)error_wrap(err, rc, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
		token = (const char *)text.data;
	}
	if (rc == 0 && token != NULL && strpbrk(token, "\r\n") != NULL)
		rc = error_set(err, ERR_USAGE, "the container's authorization token is more than one line");
	if (rc == 0 && token != NULL && token[0] != '\0')
		aws_put_header(headers, "authorization", token);
	buf_wipe(&text);
	return rc == 0 && buf_failed(headers) ? error_no_memory(err, "credentials") : rc;
}

int aws_from_container(struct aws_fetch *f, struct aws_keys *ret, struct error *err)
{
	struct buf url = {0}, headers = {0};
	struct http_answer a = {0};
	struct aws_question q = {
		.what = "credentials of the container", .method = "GET", .headers = &headers, .sts = false};
	int rc = aws_container_url(f, &url, err);

	if (rc == 0)
		rc = put_authorization(f, &headers, err);
	if (rc == 0) {
		q.url = (const char *)url.data;
		rc = aws_ask(f, &q, &a, err);
	}
	if (rc == 0 && a.status / 100 != 2)
		rc = error_set(err, ERR_DENIED,
			"credentials of the container: '%.200s' answers %d; is the token in "
			"AWS_CONTAINER_AUTHORIZATION_TOKEN right?",
			q.url, a.status);
	if (rc == 0)
		rc = aws_keys_from_json(a.text.data, a.text.len, false, "container", ret, err);
	http_answer_release(&a);
	buf_wipe(&headers);
	buf_release(&url);
	return rc;
}

/* ---- the instance ---- */

struct instance {
	struct aws_fetch *f;
	const char *base; /* without a slash at its end */
	int base_len;
	struct buf headers; /* with the token; empty: none (version 1) */
	char role[ROLE_MOST];
};

static int ask(struct instance *i, const char *method, const char *path, struct http_answer *ret, struct error *err)
{
	char url[URL_MOST + ROLE_MOST];
	struct aws_question q = {
		.what = "credentials of the instance", .method = method, .url = url, .headers = &i->headers};

	(void)snprintf(url, sizeof(url), "%.*s%s", i->base_len, i->base, path);
	http_answer_release(ret);
	return aws_ask(i->f, &q, ret, err);
}

static bool is_one_line(const struct buf *b, size_t most)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] <= ' ' || b->data[i] > '~')
			return false;
	return b->len > 0 && b->len < most;
}

/* Makes of the answer the header that goes with all further questions. */
static int keep_token(struct instance *i, const struct http_answer *a, struct error *err)
{
	static const char name[] = "x-aws-ec2-metadata-token: ";

	buf_clear(&i->headers);
	if (!is_one_line(&a->text, URL_MOST))
		return error_set(err, ERR_IO, "credentials of the instance: its metadata service gives no token");
	buf_reserve(&i->headers, sizeof(name) + a->text.len);
	buf_put(&i->headers, name, sizeof(name) - 1);
	buf_put(&i->headers, a->text.data, a->text.len);
	buf_put_u8(&i->headers, 0);
	return buf_failed(&i->headers) ? error_no_memory(err, "credentials") : 0;
}

static int get_token(struct instance *i, struct http_answer *a, struct error *err)
{
	aws_put_header(&i->headers, "x-aws-ec2-metadata-token-ttl-seconds", "21600");
	int rc = ask(i, "PUT", "/latest/api/token", a, err);

	if (rc == ERR_UNAVAILABLE && a->status == 0) { /* most machines are no instance */
		error_clear(err);
		return aws_note(i->f, "no instance metadata service answers at %.*s", i->base_len, i->base);
	}
	if (rc < 0)
		return rc;
	if (a->status / 100 == 2)
		return keep_token(i, a, err);
	buf_clear(&i->headers);
	if (aws_env_true(&i->f->c->o, "AWS_EC2_METADATA_V1_DISABLED") || a->status == 400)
		return error_set(err, ERR_DENIED,
			"credentials of the instance: its metadata service refuses a token (%d)", a->status);
	return 0;
}

static int get_role(struct instance *i, struct http_answer *a, struct error *err)
{
	struct buf line = {0}, path = {0};
	int rc = ask(i, "GET", "/latest/meta-data/iam/security-credentials/", a, err);

	if (rc < 0)
		return rc;
	if (a->status != 200)
		return aws_note(i->f, "the instance has no role (its metadata service answers %d)", a->status);
	const char *text = (const char *)a->text.data;
	for (size_t n = 0; n < a->text.len && text[n] != '\n' && text[n] != '\r'; n++)
		buf_put_u8(&line, (uint8_t)text[n]);
	if (is_one_line(&line, ROLE_MOST / 3))
		sigv4_encode(&path, (const char *)line.data, line.len, 0);
	rc = buf_failed(&line) || buf_failed(&path) ? error_no_memory(err, "credentials") : 0;
	if (rc == 0 && path.len == 0)
		rc = error_set(err, ERR_IO, "credentials of the instance: the name of its role is none");
	if (rc == 0)
		(void)snprintf(i->role, sizeof(i->role), "%.*s", (int)path.len, (const char *)path.data);
	buf_release(&line);
	buf_release(&path);
	return rc;
}

static int get_keys(struct instance *i, struct http_answer *a, struct aws_keys *ret, struct error *err)
{
	char path[ROLE_MOST + 64];

	(void)snprintf(path, sizeof(path), "/latest/meta-data/iam/security-credentials/%s", i->role);
	int rc = ask(i, "GET", path, a, err);
	if (rc < 0)
		return rc;
	if (a->status / 100 != 2)
		return error_set(err, ERR_DENIED, "credentials of the instance: for its role '%.80s' the answer is %d",
			i->role, a->status);
	return aws_keys_from_json(a->text.data, a->text.len, false, "instance", ret, err);
}

static const char *instance_base(const struct aws_options *o)
{
	const char *given = aws_env(o, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = aws_env(o, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

	if (given != NULL)
		return given;
	return mode != NULL && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
}

int aws_from_instance(struct aws_fetch *f, struct aws_keys *ret, struct error *err)
{
	struct instance i = {.f = f, .base = instance_base(&f->c->o)};
	struct http_answer a = {0};
	size_t len = strlen(i.base);

	if (aws_env_true(&f->c->o, "AWS_EC2_METADATA_DISABLED"))
		return aws_note(f, "the instance is not asked, by AWS_EC2_METADATA_DISABLED");
	while (len > 0 && i.base[len - 1] == '/')
		len--;
	if (len > URL_MOST / 2 || (strncasecmp(i.base, "http://", 7) != 0 && strncasecmp(i.base, "https://", 8) != 0))
		return error_set(
			err, ERR_USAGE, "AWS_EC2_METADATA_SERVICE_ENDPOINT must begin with http:// or https://");
	i.base_len = (int)len;
	int rc = get_token(&i, &a, err);
	if (rc == 0)
		rc = get_role(&i, &a, err);
	if (rc == 0)
		rc = get_keys(&i, &a, ret, err);
	http_answer_release(&a);
	buf_wipe(&i.headers);
	return rc;
}
