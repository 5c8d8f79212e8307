/* SPDX-License-Identifier: MIT */

/* Where a bucket is: s3://bucket/prefix, the endpoint and the region that AWS's own tools would take. */

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backends/s3_impl.h"

enum { BUCKET_MOST = 63, PREFIX_MOST = 700 };

/* ---- bucket and prefix ---- */

static bool bucket_ok(const char *bucket, size_t len)
{
	if (len < 3 || len > BUCKET_MOST)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)bucket[i]) && strchr(".-_", bucket[i]) == NULL)
			return false;
	return true;
}

static int set_prefix(const char *url, const char *prefix, struct s3_place *ret, struct error *err)
{
	size_t len = strlen(prefix);

	while (len > 0 && prefix[len - 1] == '/')
		len--;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)prefix[i] < ' ' || prefix[i] == 0x7f)
			return error_set(err, ERR_USAGE, "'%s': a control character cannot be part of a prefix", url);
	if (len > PREFIX_MOST)
		return error_set(err, ERR_USAGE, "'%s': the prefix is longer than %d bytes", url, PREFIX_MOST);
	if (asprintf(&ret->prefix, "%.*s%s", (int)len, prefix, len > 0 ? "/" : "") < 0) {
		ret->prefix = NULL;
		return error_no_memory(err, "a store");
	}
	return 0;
}

static int parse_url(const char *url, struct s3_place *ret, struct error *err)
{
	const char *bucket = url + strlen("s3://");
	size_t len = strcspn(bucket, "/");

	if (!bucket_ok(bucket, len))
		return error_set(err, ERR_USAGE, "'%s': '%.*s' is no name of a bucket, write s3://BUCKET[/PREFIX]", url,
			(int)len, bucket);
	ret->bucket = strndup(bucket, len);
	if (ret->bucket == NULL)
		return error_no_memory(err, "a store");
	return set_prefix(url, bucket + len + (bucket[len] == '/'), ret, err);
}

/* ---- region and endpoint ---- */

static int set_region(struct aws_credentials *c, const struct aws_options *o, struct s3_place *ret, struct error *err)
{
	const char *region = aws_env(o, "AWS_REGION");

	if (region == NULL)
		region = aws_env(o, "AWS_DEFAULT_REGION");
	if (region == NULL)
		region = aws_setting(c, "region");
	if (region != NULL && strlen(region) >= sizeof(ret->region))
		return error_set(err, ERR_USAGE, "the region '%.80s' is longer than any", region);
	strcpy(ret->region, region != NULL ? region : "us-east-1");
	return 0;
}

static const char *given_endpoint(struct aws_credentials *c, const struct aws_options *o)
{
	const char *e;

	if (aws_env_true(o, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
		return NULL;
	e = aws_env(o, "AWS_ENDPOINT_URL_S3");
	if (e == NULL)
		e = aws_env(o, "AWS_ENDPOINT_URL");
	if (e == NULL)
		e = aws_setting(c, "s3.endpoint_url");
	return e != NULL ? e : aws_setting(c, "endpoint_url");
}

/* "https://host[:port]"; the scheme's own port is left out, as it is not signed. */
static int parse_endpoint(const char *endpoint, struct s3_place *ret, struct error *err)
{
	bool tls = strncasecmp(endpoint, "https://", 8) == 0;
	const char *host = endpoint + (tls ? 8 : 7), *own = tls ? ":443" : ":80";
	size_t len;

	if (!tls && strncasecmp(endpoint, "http://", 7) != 0)
		return error_set(err, ERR_USAGE, "the endpoint '%s' must begin with https:// or http://", endpoint);
	len = strlen(host);
	while (len > 0 && host[len - 1] == '/')
		len--;
	if (len == 0 || strcspn(host, "/?#@ \t") < len)
		return error_set(
			err, ERR_USAGE, "the endpoint '%s' must be a host and a port, nothing behind", endpoint);
	if (len > strlen(own) && strncmp(host + len - strlen(own), own, strlen(own)) == 0)
		len -= strlen(own);
	ret->scheme = strdup(tls ? "https" : "http");
	ret->host = strndup(host, len);
	return ret->scheme != NULL && ret->host != NULL ? 0 : error_no_memory(err, "a store");
}

static int own_endpoint(struct s3_place *ret, struct error *err)
{
	bool china = strncmp(ret->region, "cn-", 3) == 0;

	ret->scheme = strdup("https");
	if (asprintf(&ret->host, "s3.%s.amazonaws.com%s", ret->region, china ? ".cn" : "") < 0)
		ret->host = NULL;
	return ret->scheme != NULL && ret->host != NULL ? 0 : error_no_memory(err, "a store");
}

/* ---- how the bucket is named in a request ---- */

static bool is_address(const char *host)
{
	char name[64];
	unsigned char raw[16];
	size_t len = strcspn(host, ":");

	if (host[0] == '[')
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1), host);
	return inet_pton(AF_INET, name, raw) == 1 || strcmp(name, "localhost") == 0;
}

static bool wants_path(struct aws_credentials *c, const struct s3_place *p)
{
	const char *style = aws_setting(c, "s3.addressing_style");

	if (style != NULL && strcmp(style, "path") == 0)
		return true;
	if (style != NULL && strcmp(style, "virtual") == 0)
		return false;
	/* A certificate for *.host does not cover a name with dots; and capitals and _ are in no host's name. */
	for (const char *b = p->bucket; *b != '\0'; b++)
		if (isupper((unsigned char)*b) || *b == '_' || (*b == '.' && strcmp(p->scheme, "https") == 0))
			return true;
	return is_address(p->host);
}

int s3_place_find(const char *url, struct aws_credentials *c, const struct aws_options *o, struct s3_place *ret,
	struct error *err)
{
	int rc = parse_url(url, ret, err);

	if (rc == 0)
		rc = set_region(c, o, ret, err);
	if (rc == 0) {
		const char *endpoint = given_endpoint(c, o);
		rc = endpoint != NULL ? parse_endpoint(endpoint, ret, err) : own_endpoint(ret, err);
	}
	if (rc == 0)
		ret->path_style = wants_path(c, ret);
	return rc;
}

void s3_place_release(struct s3_place *p)
{
	free(p->bucket);
	free(p->prefix);
	free(p->scheme);
	free(p->host);
	*p = (struct s3_place){0};
}
