/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tests/unit/http_server.h"

enum { PEERS = 512, HEAD_MAX = 64 << 10, LINE_MAX_LEN = 4096, SLOW_PIECE = 16 << 10 };

struct http_peer {
	struct http_server *s;
	pthread_t thread;
	int fd;
	SSL *ssl;
	unsigned connection;
	bool end, gone; /* after this request; nothing can be sent any more */
	char *head;     /* what was read: a request's head, and perhaps more */
	size_t have;
};

struct http_server {
	http_server_fn *fn;
	void *arg;
	SSL_CTX *tls;
	int fd;
	char url[64];
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t change;
	bool open, stopping, slow;
	unsigned requests, connections;
	struct http_peer *peers[PEERS];
};

static void die(const char *what)
{
	perror(what);
	abort();
}

/* ---- bytes ---- */

static ssize_t peer_read(struct http_peer *p, void *dst, size_t len)
{
	ssize_t n;

	if (p->ssl != NULL)
		return SSL_read(p->ssl, dst, (int)len);
	do
		n = recv(p->fd, dst, len, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

void http_send(struct http_peer *p, const void *data, size_t len)
{
	const char *at = data;

	/* What the function wrote before is seen by whoever asks for the counts when the answer is there. */
	pthread_mutex_lock(&p->s->lock);
	pthread_mutex_unlock(&p->s->lock);
	while (len > 0 && !p->gone) {
		ssize_t n = p->ssl != NULL ? SSL_write(p->ssl, at, len < 16384 ? (int)len : 16384)
					   : send(p->fd, at, len, MSG_NOSIGNAL);
		if (n <= 0) {
			p->gone = p->end = true;
			return;
		}
		at += n;
		len -= (size_t)n;
	}
}

void http_say(struct http_peer *p, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(line))
		die("a line");
	http_send(p, line, (size_t)n);
}

void http_answer(struct http_peer *p, int status, const char *headers, const void *body, size_t len)
{
	http_say(p, "HTTP/1.1 %d Said\r\nContent-Length: %zu\r\n%s\r\n", status, len, headers);
	http_send(p, body, len);
}

void http_hang_up(struct http_peer *p)
{
	p->end = true;
}

void http_reset(struct http_peer *p)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	p->end = p->gone = true;
}

/* ---- waiting ---- */

void http_hold(struct http_peer *p)
{
	struct http_server *s = p->s;

	pthread_mutex_lock(&s->lock);
	while (!s->open && !s->stopping)
		pthread_cond_wait(&s->change, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void http_drip_pause(struct http_peer *p, unsigned ms)
{
	struct http_server *s = p->s;
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	long ns = at.tv_nsec + (long)(ms % 1000) * 1000000;
	at.tv_sec += ms / 1000 + ns / 1000000000;
	at.tv_nsec = ns % 1000000000;
	pthread_mutex_lock(&s->lock);
	while (!s->stopping && pthread_cond_timedwait(&s->change, &s->lock, &at) == 0)
		;
	pthread_mutex_unlock(&s->lock);
}

bool http_gone(struct http_peer *p)
{
	char byte;

	if (recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		p->gone = true;
	pthread_mutex_lock(&p->s->lock);
	bool stopping = p->s->stopping;
	pthread_mutex_unlock(&p->s->lock);
	return stopping || p->gone;
}

void http_server_await(struct http_server *s, unsigned requests)
{
	pthread_mutex_lock(&s->lock);
	while (s->requests < requests)
		pthread_cond_wait(&s->change, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void http_server_open(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->open = true;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
}

void http_server_read_slowly(struct http_server *s)
{
	int room = SLOW_PIECE / 2; /* or all of a body would be there at once */

	setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	pthread_mutex_lock(&s->lock);
	s->slow = true;
	pthread_mutex_unlock(&s->lock);
}

unsigned http_server_requests(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	unsigned n = s->requests;
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned http_server_connections(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	unsigned n = s->connections;
	pthread_mutex_unlock(&s->lock);
	return n;
}

const char *http_server_url(const struct http_server *s)
{
	return s->url;
}

/* ---- requests ---- */

bool http_seen_header(const struct http_seen *seen, const char *name, char *dst, size_t size)
{
	size_t len = strlen(name);

	for (const char *p = strstr(seen->headers, "\r\n"); p != NULL; p = strstr(p, "\r\n")) {
		p += 2;
		if (strncasecmp(p, name, len) != 0 || p[len] != ':')
			continue;
		p += len + 1;
		p += strspn(p, " ");
		snprintf(dst, size, "%.*s", (int)strcspn(p, "\r"), p);
		return true;
	}
	return false;
}

/* Reads until the head is whole: its length with the empty line; 0: the other side went. */
static size_t read_head(struct http_peer *p)
{
	for (;;) {
		p->head[p->have] = '\0';
		char *end = strstr(p->head, "\r\n\r\n");
		if (end != NULL)
			return (size_t)(end - p->head) + 4;
		ssize_t n = p->have < HEAD_MAX ? peer_read(p, p->head + p->have, HEAD_MAX - p->have) : 0;
		if (n <= 0)
			return 0;
		p->have += (size_t)n;
	}
}

static uint8_t *read_body(struct http_peer *p, size_t head, size_t len)
{
	uint8_t *body = malloc(len + 1);
	size_t got = p->have - head < len ? p->have - head : len;

	if (body == NULL)
		die("a body");
	memcpy(body, p->head + head, got);
	memmove(p->head, p->head + head + got, p->have - head - got);
	p->have -= head + got;
	pthread_mutex_lock(&p->s->lock);
	size_t most = p->s->slow ? SLOW_PIECE : 1 << 20;
	pthread_mutex_unlock(&p->s->lock);
	while (got < len) {
		if (most == SLOW_PIECE)
			http_drip_pause(p, 30);
		ssize_t n = peer_read(p, body + got, len - got < most ? len - got : most);
		if (n <= 0) {
			free(body);
			return NULL;
		}
		got += (size_t)n;
	}
	return body;
}

static void count_request(struct http_server *s, struct http_seen *seen)
{
	pthread_mutex_lock(&s->lock);
	seen->number = ++s->requests;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
}

static bool serve_one(struct http_peer *p)
{
	struct http_seen seen = {.connection = p->connection};
	char length[32] = "0";
	size_t head = read_head(p);

	if (head == 0)
		return false;
	char *headers = strndup(p->head, head - 2);
	if (headers == NULL || sscanf(headers, "%15s %1023s", seen.method, seen.target) != 2)
		die("a request");
	seen.headers = headers;
	(void)http_seen_header(&seen, "content-length", length, sizeof(length));
	seen.body_len = strtoul(length, NULL, 10);
	uint8_t *body = read_body(p, head, seen.body_len);
	seen.body = body;
	if (body != NULL) {
		count_request(p->s, &seen);
		p->s->fn(p->s->arg, p, &seen);
	}
	free(body);
	free(headers);
	return body != NULL && !p->end;
}

static void *peer_main(void *arg)
{
	struct http_peer *p = arg;

	if (p->ssl == NULL || SSL_accept(p->ssl) == 1)
		while (serve_one(p))
			;
	if (p->ssl != NULL && !p->gone)
		SSL_shutdown(p->ssl);
	SSL_free(p->ssl);
	pthread_mutex_lock(&p->s->lock);
	close(p->fd);
	p->fd = -1;
	pthread_mutex_unlock(&p->s->lock);
	return NULL;
}

static void take_peer(struct http_server *s, int fd)
{
	struct http_peer *p = calloc(1, sizeof(*p));
	int on = 1;

	if (p == NULL || (p->head = malloc(HEAD_MAX + 1)) == NULL)
		die("a connection");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	p->s = s;
	p->fd = fd;
	p->ssl = s->tls != NULL ? SSL_new(s->tls) : NULL;
	if (p->ssl != NULL)
		SSL_set_fd(p->ssl, fd);
	pthread_mutex_lock(&s->lock);
	if (s->connections == PEERS)
		die("too many connections");
	s->peers[s->connections++] = p;
	p->connection = s->connections;
	if (pthread_create(&p->thread, NULL, peer_main, p) != 0)
		die("a thread");
	pthread_mutex_unlock(&s->lock);
}

static void *accept_main(void *arg)
{
	struct http_server *s = arg;

	for (;;) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			take_peer(s, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			return NULL;
	}
}

/* ---- TLS ---- */

static void name_it(X509 *cert)
{
	X509_NAME *name = X509_get_subject_name(cert);
	X509V3_CTX ctx;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"drfs test", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *host = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, "IP:127.0.0.1");
	X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");
	if (host == NULL || ca == NULL || X509_add_ext(cert, host, -1) != 1 || X509_add_ext(cert, ca, -1) != 1)
		die("a certificate");
	X509_EXTENSION_free(host);
	X509_EXTENSION_free(ca);
}

static SSL_CTX *make_tls(const char *folder)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char path[512];

	if (key == NULL || cert == NULL || ctx == NULL)
		die("a certificate");
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	name_it(cert);
	snprintf(path, sizeof(path), "%s/cert.pem", folder);
	FILE *f = fopen(path, "w");
	if (X509_sign(cert, key, EVP_sha256()) == 0 || f == NULL || PEM_write_X509(f, cert) != 1 || fclose(f) != 0 ||
		SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)
		die("a certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

/* ---- the whole ---- */

static void listen_anywhere(struct http_server *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(s->fd, 128) != 0 ||
		getsockname(s->fd, (struct sockaddr *)&at, &len) != 0)
		die("a server");
	snprintf(s->url, sizeof(s->url), "%s://127.0.0.1:%d", s->tls != NULL ? "https" : "http", ntohs(at.sin_port));
}

struct http_server *http_server_start(http_server_fn *fn, void *arg, const char *tls_folder)
{
	struct http_server *s = calloc(1, sizeof(*s));
	sigset_t pipe_set, before;

	if (s == NULL)
		die("a server");
	s->fn = fn;
	s->arg = arg;
	s->tls = tls_folder != NULL ? make_tls(tls_folder) : NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->change, NULL);
	listen_anywhere(s);
	/* OpenSSL's writes raise it; in the tests' own threads it stays deadly, as the engine must not raise it. */
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
	if (pthread_create(&s->thread, NULL, accept_main, s) != 0)
		die("a thread");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return s;
}

void http_server_stop(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->change);
	pthread_mutex_unlock(&s->lock);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->connections; i++)
		if (s->peers[i]->fd >= 0)
			shutdown(s->peers[i]->fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->connections; i++) {
		pthread_join(s->peers[i]->thread, NULL);
		free(s->peers[i]->head);
		free(s->peers[i]);
	}
	SSL_CTX_free(s->tls);
	pthread_cond_destroy(&s->change);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
