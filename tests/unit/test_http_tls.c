/* SPDX-License-Identifier: MIT */

/* Who is on the other side, and through whom: certificates and proxies. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/http_asking.h"

enum { BIG = 3 << 20 };

struct place {
	char folder[64], cert[80];
};

static void place_make(struct place *p)
{
	strcpy(p->folder, "/tmp/drfs-http-tls-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->cert, sizeof(p->cert), "%s/cert.pem", p->folder);
}

static void place_clean(const struct place *p)
{
	unlink(p->cert);
	rmdir(p->folder);
}

static void tls_start(struct line *line, http_server_fn *fn, const struct place *place, const char *ca_file)
{
	struct http_options options = {.ca_file = ca_file, .backoff_ns = 1};
	struct error err = ERROR_INIT;

	forget_proxies();
	line->server = http_server_start(fn, NULL, place->folder);
	line->http = NULL;
	if (http_new(&options, &line->http, &err) != 0)
		fail_msg("%s", error_text(&err));
}

static void tell_sum(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	char text[1200];
	unsigned sum = 0;

	(void)arg;
	for (size_t i = 0; i < seen->body_len; i++)
		sum += seen->body[i];
	int n = snprintf(text, sizeof(text), "%s %zu %u", seen->target, seen->body_len, sum);
	http_answer(peer, 200, "", text, (size_t)n);
}

static void test_http_run__a_server_is_trusted_by_the_file_that_names_its_authority(void **state)
{
	struct place place;
	struct line line;
	struct http_answer a;
	uint8_t *bytes = calloc(1, BIG);
	struct store_body body = {.data = bytes, .len = BIG};
	struct ask get = {.path = "/o"}, put = {.path = "/p", .body = &body};

	(void)state;
	assert_non_null(bytes);
	bytes[0] = bytes[BIG - 1] = 100;
	place_make(&place);
	tls_start(&line, tell_sum, &place, place.cert);
	for (int i = 0; i < 2; i++) {
		ask_ok(&line, &get, &a);
		assert_text(&a, "/o 0 0");
		http_answer_release(&a);
		ask_ok(&line, &put, &a);
		assert_text(&a, "/p 3145728 200");
		http_answer_release(&a);
	}
	assert_int_equal(http_server_connections(line.server), 1);
	line_stop(&line);
	place_clean(&place);
	free(bytes);
}

static void is_refused(struct line *line, const char *base)
{
	struct ask get = {.path = "/o", .base = base};
	struct http_answer a;
	struct error err = ERROR_INIT;

	assert_int_equal(ask(line, &get, &a, &err), ERR_UNAVAILABLE);
	assert_non_null(strstr(error_text(&err), "certificate"));
	assert_int_equal(get.prepared, 1);
	assert_int_equal(line_metrics(line).repeated, 0);
	assert_int_equal(http_server_requests(line->server), 0);
	http_answer_release(&a);
}

static void test_http_run__a_server_of_an_unknown_authority_is_refused_for_good(void **state)
{
	struct place place;
	struct line line;

	(void)state;
	place_make(&place);
	tls_start(&line, tell_sum, &place, NULL);
	is_refused(&line, NULL);
	line_stop(&line);
	place_clean(&place);
}

static void test_http_run__a_server_with_anothers_certificate_is_refused_for_good(void **state)
{
	struct place place;
	struct line line;
	char base[80];

	(void)state;
	place_make(&place);
	tls_start(&line, tell_sum, &place, place.cert);
	snprintf(base, sizeof(base), "https://localhost%s", strrchr(http_server_url(line.server), ':'));
	is_refused(&line, base);
	line_stop(&line);
	place_clean(&place);
}

static void test_http_run__a_file_of_authorities_that_is_not_there_is_said(void **state)
{
	struct place place;
	struct line line;

	(void)state;
	place_make(&place);
	tls_start(&line, tell_sum, &place, "/nonexistent/ca.pem");
	is_refused(&line, NULL);
	line_stop(&line);
	place_clean(&place);
}

static void reset_some(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	if (seen->number % 2 == 0)
		http_reset(peer);
	else
		tell_sum(arg, peer, seen);
}

/* A signal from a write to what is closed would end this program. */
static void test_http_run__resets_under_tls_are_only_repeated(void **state)
{
	struct place place;
	struct line line;
	uint8_t *bytes = calloc(1, BIG);
	struct store_body body = {.data = bytes, .len = BIG};

	(void)state;
	assert_non_null(bytes);
	place_make(&place);
	tls_start(&line, reset_some, &place, place.cert);
	for (int i = 0; i < 4; i++) {
		struct ask put = {.path = "/p", .body = &body};
		struct http_answer a;
		ask_ok(&line, &put, &a);
		assert_text(&a, "/p 3145728 0");
		http_answer_release(&a);
	}
	line_stop(&line);
	place_clean(&place);
	free(bytes);
}

/* ---- proxies ---- */

static void tell_target(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	if (strcmp(seen->method, "CONNECT") == 0)
		http_answer(peer, 403, "x-of-proxy: 1\r\n", "no", 2);
	else
		http_answer(peer, 200, "", seen->target, strlen(seen->target));
}

static void asks_and_hears(struct line *line, const char *base, const char *path, const char *words)
{
	struct ask get = {.base = base, .path = path};
	struct http_answer a;

	ask_ok(line, &get, &a);
	assert_text(&a, words);
	http_answer_release(&a);
}

static void test_http_run__the_proxy_of_the_usual_variable_is_asked(void **state)
{
	struct line line;

	(void)state;
	line_start(&line, tell_target, NULL, NULL);
	setenv("http_proxy", http_server_url(line.server), 1);
	asks_and_hears(&line, "http://store.invalid", "/a/./%2f?b=%2B", "http://store.invalid/a/./%2f?b=%2B");
	unsetenv("http_proxy");
	line_stop(&line);
}

static void test_http_run__a_proxy_that_refuses_is_said(void **state)
{
	struct http_options two = {.attempts = 2, .backoff_ns = 1};
	struct line line;
	struct ask get = {.base = "https://store.invalid", .path = "/o"};
	struct http_answer a;
	struct error err = ERROR_INIT;

	(void)state;
	line_start(&line, tell_target, NULL, &two);
	setenv("https_proxy", http_server_url(line.server), 1);
	assert_int_equal(ask(&line, &get, &a, &err), ERR_UNAVAILABLE);
	unsetenv("https_proxy");
	assert_non_null(strstr(error_text(&err), "403"));
	assert_int_equal(a.status, 0);
	assert_null(http_answer_header(&a, "x-of-proxy"));
	http_answer_release(&a);
	line_stop(&line);
}

static void test_http_run__no_proxy_is_asked_where_none_is_to_be(void **state)
{
	struct http_options none = {.no_proxy = true};
	struct line proxy, direct, line;

	(void)state;
	line_start(&proxy, tell_target, NULL, NULL);
	line_start(&direct, tell_target, NULL, &none);
	line_start(&line, tell_target, NULL, NULL);
	setenv("http_proxy", http_server_url(proxy.server), 1);
	asks_and_hears(&direct, NULL, "/o", "/o");
	setenv("no_proxy", "127.0.0.1", 1);
	asks_and_hears(&line, NULL, "/o", "/o");
	assert_int_equal(http_server_requests(proxy.server), 0);
	unsetenv("no_proxy");
	unsetenv("http_proxy");
	line_stop(&proxy);
	line_stop(&direct);
	line_stop(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_run__a_server_is_trusted_by_the_file_that_names_its_authority),
		cmocka_unit_test(test_http_run__a_server_of_an_unknown_authority_is_refused_for_good),
		cmocka_unit_test(test_http_run__a_server_with_anothers_certificate_is_refused_for_good),
		cmocka_unit_test(test_http_run__a_file_of_authorities_that_is_not_there_is_said),
		cmocka_unit_test(test_http_run__resets_under_tls_are_only_repeated),
		cmocka_unit_test(test_http_run__the_proxy_of_the_usual_variable_is_asked),
		cmocka_unit_test(test_http_run__a_proxy_that_refuses_is_said),
		cmocka_unit_test(test_http_run__no_proxy_is_asked_where_none_is_to_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
