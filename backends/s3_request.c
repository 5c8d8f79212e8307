/* SPDX-License-Identifier: MIT */

/* One request to S3: signed anew for each attempt, and what its answer means. */

#include <stdlib.h>
#include <string.h>

#include "backends/s3_impl.h"
#include "backends/s3_xml.h"
#include "base/clock.h"

void s3_add_header(struct s3_request *r, const char *name, const char *value)
{
	if (r->header_count < S3_HEADERS)
		r->headers[r->header_count++] = (struct sigv4_param){name, value};
}

void s3_add_query(struct s3_request *r, const char *name, const char *value)
{
	if (r->query_count < S3_PARAMS)
		r->query[r->query_count++] = (struct sigv4_param){name, value};
}

/* ---- what goes out ---- */

static void put_text(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

/* "/bucket/prefix/name" or, where the bucket is in the host, "/prefix/name"; with its NUL. */
static void put_path(const struct s3_request *r, struct buf *b)
{
	const struct s3_place *p = &r->s->place;

	buf_put_u8(b, '/');
	if (p->path_style)
		put_text(b, p->bucket);
	if (r->name != NULL) {
		if (p->path_style)
			buf_put_u8(b, '/');
		put_text(b, p->prefix);
		put_text(b, r->name);
	}
	buf_put_u8(b, 0);
}

static void put_host(const struct s3_request *r, struct buf *b)
{
	const struct s3_place *p = &r->s->place;

	if (!p->path_style) {
		put_text(b, p->bucket);
		buf_put_u8(b, '.');
	}
	put_text(b, p->host);
	buf_put_u8(b, 0);
}

static int put_url(
	const struct s3_request *r, const struct buf *path, const struct buf *host, struct buf *url, struct error *err)
{
	put_text(url, r->s->place.scheme);
	put_text(url, "://");
	buf_put(url, host->data, host->len - 1);
	sigv4_encode(url, (const char *)path->data, path->len - 1, 1);
	int rc = sigv4_query(url, r->query, r->query_count, err);
	buf_put_u8(url, 0);
	return rc;
}

static void get_region(struct s3 *s, char dst[static S3_REGION_MAX])
{
	pthread_mutex_lock(&s->lock);
	memcpy(dst, s->place.region, S3_REGION_MAX);
	pthread_mutex_unlock(&s->lock);
}

static int sign(const struct s3_request *r, const struct buf *path, const struct buf *host, struct http_message *m,
	struct error *err)
{
	char region[S3_REGION_MAX], empty[SIGV4_HASH_HEX];
	int64_t now = (clock_now() + atomic_load(&r->s->skew)) / CLOCK_SECOND;

	get_region(r->s, region);
	sigv4_hash("", 0, empty);
	struct sigv4_identity identity = {.access_key = r->keys.access_key,
		.secret_key = r->keys.secret_key,
		.session_token = r->keys.session_token,
		.region = region,
		.service = "s3"};
	struct sigv4_request request = {.method = r->method,
		.path = (const char *)path->data,
		.query = r->query,
		.query_count = r->query_count,
		.host = (const char *)host->data,
		.payload_hash = r->payload_hash != NULL ? r->payload_hash : empty,
		.headers = r->headers,
		.header_count = r->header_count};
	return sigv4_sign(&request, &identity, now, &m->headers, err);
}

static int prepare(void *arg, unsigned attempt, struct http_message *m, struct error *err)
{
	struct s3_request *r = arg;
	struct buf path = {0}, host = {0};

	(void)attempt;
	aws_keys_release(&r->keys);
	int rc = aws_credentials_get(r->s->credentials, r->call.limits, &r->keys, err);
	if (rc < 0)
		return error_wrap(err, rc, "%s", r->call.what);
	put_path(r, &path);
	put_host(r, &host);
	rc = buf_failed(&path) || buf_failed(&host) ? error_no_memory(err, "a request") : 0;
	if (rc == 0)
		rc = put_url(r, &path, &host, &m->url, err);
	if (rc == 0)
		rc = sign(r, &path, &host, m, err);
	m->method = r->method;
	m->head = strcmp(r->method, "HEAD") == 0;
	buf_release(&path);
	buf_release(&host);
	return rc;
}

/* ---- what came back ---- */

static bool is_fine(const struct s3_request *r, int status)
{
	for (size_t i = 0; i < sizeof(r->fine) / sizeof(r->fine[0]) && r->fine[i] != 0; i++)
		if (r->fine[i] == status)
			return true;
	return false;
}

/* The bucket is elsewhere: the same again, signed for that region. */
static bool learn_region(struct s3 *s, const struct http_answer *a, const struct s3_fault *fault)
{
	const char *told = http_answer_header(a, "x-amz-bucket-region");
	const char *region = told != NULL ? told : fault->region;
	bool news = false;

	if (region[0] == '\0' || strlen(region) >= S3_REGION_MAX)
		return false;
	pthread_mutex_lock(&s->lock);
	news = strcmp(s->place.region, region) != 0;
	if (news)
		strcpy(s->place.region, region);
	pthread_mutex_unlock(&s->lock);
	return news;
}

static bool learn_skew(struct s3 *s, const struct http_answer *a)
{
	static const int64_t worth = 60 * CLOCK_SECOND;
	int64_t skew = a->date != 0 ? a->date - clock_now() : 0, known = atomic_load(&s->skew);

	if (a->date == 0 || (skew - known < worth && known - skew < worth))
		return false;
	atomic_store(&s->skew, skew);
	return true;
}

static bool is(const struct s3_fault *f, const char *code)
{
	return strcmp(f->code, code) == 0;
}

/* What can be put right and asked again at once. */
static bool put_right(struct s3_request *r, const struct http_answer *a, const struct s3_fault *f)
{
	struct s3 *s = r->s;

	if (a->status == 301 || a->status == 307 || is(f, "AuthorizationHeaderMalformed") ||
		(a->status == 400 && f->code[0] == '\0'))
		return learn_region(s, a, f);
	if (is(f, "RequestTimeTooSkewed"))
		return learn_skew(s, a);
	if (is(f, "ExpiredToken") || is(f, "TokenRefreshRequired") || is(f, "InvalidToken"))
		return aws_credentials_refused(s->credentials, &r->keys);
	return false;
}

static enum http_verdict refused(
	const struct s3_request *r, const struct http_answer *a, const struct s3_fault *f, struct error *err)
{
	const char *what = r->call.what, *by = r->keys.source != NULL ? r->keys.source : "?";

	if (is(f, "NoSuchBucket"))
		error_set(err, ERR_NO_REPO, "%s: there is no bucket '%s' at %s", what, r->s->place.bucket,
			r->s->place.host);
	else if (is(f, "RequestTimeTooSkewed"))
		error_set(err, ERR_DENIED, "%s: this host's clock is too far off the server's: set it", what);
	else if (a->status == 401 || a->status == 403 || is(f, "ExpiredToken") || is(f, "InvalidToken"))
		error_set(err, ERR_DENIED, "%s: access denied (%s%s%s) with the keys of %s", what,
			f->code[0] != '\0' ? f->code : "403", f->message[0] != '\0' ? ": " : "", f->message, by);
	else if (a->status == 404)
		error_set(err, ERR_NOT_FOUND, "%s: it is not there", what);
	else if (a->status == 301 || a->status == 307)
		error_set(err, ERR_USAGE, "%s: the bucket is in another region: set AWS_REGION", what);
	else
		error_set(err, ERR_IO, "%s: the server answered %d%s%s%s%s", what, a->status, f->code[0] ? " " : "",
			f->code, f->message[0] ? ": " : "", f->message);
	return HTTP_FAILED;
}

static enum http_verdict judge(void *arg, const struct http_answer *a, struct error *err)
{
	struct s3_request *r = arg;
	struct s3_fault f = {0};
	bool faulty = s3_xml_fault(a->text.data, a->text.len, &f);

	if (is_fine(r, a->status) || (a->status / 100 == 2 && !faulty))
		return HTTP_DONE;
	if (put_right(r, a, &f)) {
		error_set(err, ERR_DENIED, "%s: %s", r->call.what, f.code[0] != '\0' ? f.code : "wrong region");
		return HTTP_AT_ONCE;
	}
	if (is(&f, "SlowDown") || strncmp(f.code, "Throttling", 10) == 0) {
		error_set(err, ERR_THROTTLED, "%s: the server asks to slow down (%s)", r->call.what, f.code);
		return HTTP_THROTTLED;
	}
	/* An error may come in an answer that began well; and 409 is a race that the server wants run again. */
	if (a->status / 100 == 2 || a->status == 409 || is(&f, "RequestTimeout") || is(&f, "InternalError")) {
		error_set(err, ERR_UNAVAILABLE, "%s: %s (%d)", r->call.what, f.code, a->status);
		return HTTP_AGAIN;
	}
	if (a->status == 408 || a->status == 429 || a->status >= 500)
		return http_judge_status(a, r->call.what, err);
	return refused(r, a, &f, err);
}

int s3_run(struct s3_request *r, const struct store_call *limits, struct http_answer *ret, struct error *err)
{
	r->call.limits = limits;
	r->call.prepare = prepare;
	r->call.judge = judge;
	r->call.arg = r;
	r->call.repeatable = true; /* names are created once, and what is put again is compared */
	int rc = http_run(r->s->http, &r->call, ret, err);
	aws_keys_release(&r->keys);
	return rc;
}
