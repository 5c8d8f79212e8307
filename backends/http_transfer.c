/* SPDX-License-Identifier: MIT */

/* One attempt as libcurl's easy handle: what goes out and what comes in. */

#include <ctype.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/http_impl.h"
#include "base/clock.h"

enum {
	BUFFER = 128 << 10,
	OBJECT_LEAST = 1000, /* bytes of an object in the time after which it counts as stalled */
};

/* ---- what goes out ---- */

static size_t give(char *dst, size_t size, size_t count, void *arg)
{
	struct http_transfer *t = arg;
	uint64_t left = t->body->len - t->sent;
	size_t n = size * count < left ? size * count : (size_t)left;

	if (n == 0)
		return 0;
	if (t->body->data != NULL) {
		memcpy(dst, (const char *)t->body->data + t->sent, n);
	} else {
		ssize_t got;
		do
			got = pread(t->body->fd, dst, n, (off_t)t->sent);
		while (got < 0 && errno == EINTR);
		if (got <= 0) {
			t->short_body = true;
			return CURL_READFUNC_ABORT;
		}
		n = (size_t)got;
	}
	t->sent += n;
	t->moved += n;
	return n;
}

/* libcurl sends from the start again where a kept connection turned out to be closed. */
static int seek(void *arg, curl_off_t off, int origin)
{
	struct http_transfer *t = arg;

	if (origin != SEEK_SET || off < 0 || (uint64_t)off > t->body->len)
		return CURL_SEEKFUNC_FAIL;
	t->sent = (uint64_t)off;
	return CURL_SEEKFUNC_OK;
}

/* ---- what comes in ---- */

static size_t take_object(struct http_transfer *t, const char *data, size_t n)
{
	size_t room = t->dst_len - (size_t)t->answer.len;
	size_t fits = n < room ? n : room;

	memcpy(t->dst + t->answer.len, data, fits);
	t->answer.len += fits;
	t->over = fits < n;
	return t->over ? 0 : n; /* 0 of some: the rest is not wanted */
}

static size_t take(char *data, size_t size, size_t count, void *arg)
{
	struct http_transfer *t = arg;
	size_t n = size * count;
	long status = 0;

	t->moved += n;
	if (t->answer.len == 0 && t->answer.text.len == 0) {
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		t->to_dst = t->dst != NULL && status / 100 == 2;
	}
	if (t->to_dst)
		return take_object(t, data, n);
	if (t->answer.text.len + n > HTTP_TEXT_MAX) {
		t->over = true;
		return 0;
	}
	buf_put(&t->answer.text, data, n);
	t->answer.len += n;
	return buf_failed(&t->answer.text) ? 0 : n;
}

/* A header's line as "name: value" with a NUL, the name in lower case; a status line begins the answer anew. */
static size_t take_header(char *line, size_t size, size_t count, void *arg)
{
	struct http_transfer *t = arg;
	size_t n = size * count, len = n;
	const char *colon;

	t->moved += n;
	if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
		buf_clear(&t->answer.headers);
		return n;
	}
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	colon = memchr(line, ':', len);
	if (colon == NULL || memchr(line, '\0', len) != NULL || t->answer.headers.len + len + 1 > HTTP_HEADERS_MAX)
		return n;
	for (const char *p = line; p < colon; p++)
		buf_put_u8(&t->answer.headers, (uint8_t)tolower((unsigned char)*p));
	buf_put(&t->answer.headers, colon, len - (size_t)(colon - line));
	buf_put_u8(&t->answer.headers, 0);
	return n;
}

/* libcurl does not tell which socket a transfer runs on before it is over: it is known by its local port. */
static int note_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct http_transfer *t = arg;

	(void)purpose;
	t->opened = fd;
	return CURL_SOCKOPT_OK;
}

static bool has_port(int fd, int port)
{
	struct sockaddr_in6 at = {0};
	socklen_t len = sizeof(at);

	if (fd < 0 || getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return false;
	/* An IPv4 address has it at the same place. */
	return (at.sin6_family == AF_INET || at.sin6_family == AF_INET6) && ntohs(at.sin6_port) == port;
}

/*
 * Before anything is sent: bytes that already lie on a kept connection belong to no answer of this request. A server
 * that sent more than it announced left them; libcurl would take them for the answer.
 */
static int look_before(void *arg, char *to, char *from, int to_port, int from_port)
{
	struct http_transfer *t = arg;
	int *kept = &t->engine->kept[(unsigned)from_port % HTTP_KEPT];
	bool made = t->opened >= 0;
	char byte;

	(void)to, (void)from, (void)to_port;
	if (made)
		*kept = t->opened;
	t->opened = -1;
	t->fd = has_port(*kept, from_port) ? *kept : -1;
	if (made || t->fd < 0 || recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0)
		return CURL_PREREQFUNC_OK;
	t->stale = true;
	return CURL_PREREQFUNC_ABORT;
}

bool http_transfer_renew(struct http_transfer *t)
{
	if (!t->stale)
		return false;
	t->stale = false;
	t->words[0] = '\0';
	curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
	return true;
}

/* ---- the handle ---- */

static bool add_line(struct http_transfer *t, const char *line)
{
	struct curl_slist *more = curl_slist_append(t->headers, line);

	if (more != NULL)
		t->headers = more;
	return more != NULL;
}

/* "name:" without a value means to libcurl that there is to be no such header; "name;" is one without a value. */
static bool add_empty(struct http_transfer *t, const char *line, size_t name_len)
{
	char *copy = strndup(line, name_len + 1);

	if (copy == NULL)
		return false;
	copy[name_len] = ';';
	bool ok = add_line(t, copy);
	free(copy);
	return ok;
}

static int add_headers(struct http_transfer *t, struct error *err)
{
	const char *p = (const char *)t->message.headers.data, *end = p != NULL ? p + t->message.headers.len : p;
	/* None of libcurl's own: Expect costs a round trip, the others were not signed. */
	bool ok = add_line(t, "Expect:") && add_line(t, "Accept:") && add_line(t, "Content-Type:");

	for (; ok && p < end; p += strlen(p) + 1) {
		size_t name = strcspn(p, ":");
		if (strpbrk(p, "\r\n") != NULL)
			return error_set(
				err, ERR_USAGE, "the header '%.*s' would hold the end of a line", (int)name, p);
		ok = p[name] == ':' && p[name + 1 + strspn(p + name + 1, " ")] == '\0' ? add_empty(t, p, name)
										       : add_line(t, p);
	}
	return ok ? 0 : error_no_memory(err, "a request");
}

static void set_method(struct http_transfer *t)
{
	CURL *e = t->easy;
	const char *plain = t->message.head ? "HEAD" : t->body != NULL ? "PUT" : "GET";

	if (t->message.head)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	if (t->body != NULL) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->body->len);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, give);
		curl_easy_setopt(e, CURLOPT_READDATA, t);
		curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, seek);
		curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
	}
	if (strcmp(t->message.method, plain) != 0)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, t->message.method);
}

static void set_line(const struct http *h, struct http_transfer *t)
{
	CURL *e = t->easy;

	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(h->o.connect_ns / (CLOCK_SECOND / 1000)));
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)BUFFER);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER);
	if (h->ca_file != NULL)
		curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_file);
	if (h->o.no_proxy)
		curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	if (t->fresh)
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	if (t->twin)
		curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L); /* perhaps another of the name's hosts */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* or dropping one would wait for the resolver, and all with it */
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->words);
}

int http_transfer_begin(struct http *h, struct http_transfer *t, CURL *easy, struct error *err)
{
	t->easy = easy;
	t->engine = h;
	t->fd = t->opened = -1;
	if (buf_failed(&t->message.url) || buf_failed(&t->message.headers))
		return error_no_memory(err, "a request");
	int r = add_headers(t, err);
	if (r < 0)
		return r;
	set_line(h, t);
	set_method(t);
	curl_easy_setopt(easy, CURLOPT_URL, (const char *)t->message.url.data);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, note_socket);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, t);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, look_before);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	return 0;
}

/*
 * What was handed to the kernel moves on though libcurl does not see it: at the end of a body that is the buffers'
 * whole content, and on a slow line that may take longer than a stall.
 */
static bool kernel_sends(struct http_transfer *t)
{
	int unsent = 0, before = t->unsent_then;

	if (t->body == NULL || t->fd < 0 || ioctl(t->fd, SIOCOUTQ, &unsent) != 0)
		return false;
	t->unsent_then = unsent;
	return unsent < before;
}

bool http_transfer_stalls(struct http_transfer *t, int64_t now, int64_t stall_ns)
{
	uint64_t least = t->to_dst ? OBJECT_LEAST : 1; /* other answers are kept alive by a blank now and then */

	if (t->moved - t->moved_then >= least || kernel_sends(t)) {
		t->moved_then = t->moved;
		t->looked = now;
	}
	return now - t->looked >= stall_ns;
}

static bool hopeless(const struct http_transfer *t)
{
	switch (t->code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_URL_MALFORMAT:
	case CURLE_OUT_OF_MEMORY:
		return true;
	case CURLE_UNSUPPORTED_PROTOCOL: /* also of an answer that is none in HTTP */
		return !t->answer.sent;
	default:
		return t->short_body;
	}
}

static const char *words(const struct http_transfer *t)
{
	if (t->short_body)
		return "the file to be sent is shorter than its length";
	if (t->code == CURLE_OPERATION_TIMEDOUT && t->words[0] == '\0')
		return "nothing moved for too long";
	return t->words[0] != '\0' ? t->words : curl_easy_strerror((CURLcode)t->code);
}

void http_transfer_end(struct http_transfer *t)
{
	struct http_answer *a = &t->answer;
	long status = 0, request = 0;
	const char *date;

	t->ended = clock_monotonic();
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request);
	a->sent = request > 0;
	/* What broke off because there was more than asked for has all that was asked for. */
	if (t->code == CURLE_OK || t->over) {
		a->status = (int)status;
	} else {
		snprintf(a->broken, sizeof(a->broken), "%s", words(t));
		a->hopeless = hopeless(t);
	}
	a->over = t->over;
	date = http_answer_header(a, "date");
	time_t when = date != NULL ? curl_getdate(date, NULL) : -1;
	a->date = when > 0 ? (int64_t)when * CLOCK_SECOND : 0;
}

void http_transfer_release(struct http_transfer *t)
{
	for (struct curl_slist *s = t->headers; s != NULL; s = s->next)
		explicit_bzero(s->data, strlen(s->data));
	curl_slist_free_all(t->headers);
	buf_release(&t->message.url);
	buf_wipe(&t->message.headers);
	http_answer_release(&t->answer);
	free(t);
}

void http_answer_release(struct http_answer *a)
{
	buf_release(&a->headers);
	buf_wipe(&a->text); /* it may hold keys */
	*a = (struct http_answer){0};
}

const char *http_answer_header(const struct http_answer *a, const char *name)
{
	const char *p = (const char *)a->headers.data, *end = p != NULL ? p + a->headers.len : p;
	size_t len = strlen(name);

	for (; p != NULL && p < end; p += strlen(p) + 1) {
		if (strncmp(p, name, len) != 0 || p[len] != ':')
			continue;
		p += len + 1;
		return p + strspn(p, " \t");
	}
	return NULL;
}

void http_header_add(struct http_message *m, const char *name, const char *value)
{
	buf_put(&m->headers, name, strlen(name));
	buf_put(&m->headers, ": ", 2);
	buf_put(&m->headers, value, strlen(value) + 1);
}
