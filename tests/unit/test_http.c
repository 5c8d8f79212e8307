/* SPDX-License-Identifier: MIT */

/* What goes out and what comes back, over a line that works. */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/http_asking.h"

enum { BIG = 20 << 20, THREADS = 16, CALLS = 200 };

/* ---- bodies that come ---- */

static void answer_object(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_answer(peer, 206, "", "0123456789", 10);
}

static void test_http_run__an_object_is_put_where_the_caller_wants_it(void **state)
{
	struct line line;
	struct http_answer a;
	char dst[16] = "";
	struct ask get = {.path = "/o", .dst = dst, .dst_len = 12};

	(void)state;
	line_start(&line, answer_object, NULL, NULL);
	ask_ok(&line, &get, &a);
	assert_int_equal(a.status, 206);
	assert_int_equal(a.len, 10);
	assert_false(a.over);
	assert_int_equal(a.text.len, 0);
	assert_string_equal(dst, "0123456789");
	assert_int_equal(line_metrics(&line).received_bytes, 10);
	http_answer_release(&a);
	line_stop(&line);
}

static void test_http_run__more_than_asked_for_is_cut_off_and_said(void **state)
{
	struct line line;
	struct http_answer a;
	char dst[16] = "";
	struct ask get = {.path = "/o", .dst = dst, .dst_len = 4}, none = {.path = "/o", .dst = dst, .dst_len = 0};

	(void)state;
	line_start(&line, answer_object, NULL, NULL);
	ask_ok(&line, &get, &a);
	assert_true(a.over);
	assert_int_equal(a.len, 4);
	assert_string_equal(dst, "0123");
	http_answer_release(&a);
	ask_ok(&line, &none, &a);
	assert_true(a.over);
	assert_int_equal(a.len, 0);
	http_answer_release(&a);
	assert_int_equal(http_server_requests(line.server), 2);
	line_stop(&line);
}

static void refuse_in_words(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_answer(peer, 403, "", "you may not", 11);
}

static void test_http_run__words_of_a_refusal_never_reach_the_place_of_the_object(void **state)
{
	struct line line;
	struct http_answer a;
	struct error err = ERROR_INIT;
	char dst[16] = "untouched";
	struct ask get = {.path = "/o", .dst = dst, .dst_len = 12};

	(void)state;
	line_start(&line, refuse_in_words, NULL, NULL);
	assert_int_equal(ask(&line, &get, &a, &err), ERR_DENIED);
	assert_int_equal(a.status, 403);
	assert_text(&a, "you may not");
	assert_string_equal(dst, "untouched");
	http_answer_release(&a);
	line_stop(&line);
}

static void answer_much(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	size_t len = (size_t)atol(seen->target + 1);
	uint8_t *much = calloc(1, len + 1);

	(void)arg;
	if (much != NULL)
		http_answer(peer, 200, "", much, len);
	free(much);
}

static void test_http_run__text_has_a_bound(void **state)
{
	struct line line;
	struct http_answer a;
	struct ask fits = {.path = "/1048576"}, over = {.path = "/1048577"};

	(void)state;
	line_start(&line, answer_much, NULL, NULL);
	ask_ok(&line, &fits, &a);
	assert_int_equal(a.text.len, HTTP_TEXT_MAX);
	assert_false(a.over);
	http_answer_release(&a);
	ask_ok(&line, &over, &a);
	assert_true(a.over);
	assert_true(a.text.len <= HTTP_TEXT_MAX);
	http_answer_release(&a);
	line_stop(&line);
}

static void answer_chunked(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_say(peer, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n"
		       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
}

static void test_http_run__chunks_are_put_together_and_early_answers_forgotten(void **state)
{
	struct line line;
	struct http_answer a;
	struct ask get = {.path = "/o"};

	(void)state;
	line_start(&line, answer_chunked, NULL, NULL);
	ask_ok(&line, &get, &a);
	assert_text(&a, "abcde");
	assert_null(http_answer_header(&a, "x-early"));
	http_answer_release(&a);
	line_stop(&line);
}

/* ---- headers ---- */

static void answer_headers(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_answer(peer, 200,
		"ETag:   \"X y\"  \r\nX-Empty:\r\nx-two: first\r\nX-Two: second\r\nDate: Thu, 01 Jan 1970 00:00:07 "
		"GMT\r\n",
		"", 0);
}

static void test_http_run__headers_are_found_by_their_names_in_lower_case(void **state)
{
	struct line line;
	struct http_answer a;
	struct ask get = {.path = "/o"};

	(void)state;
	line_start(&line, answer_headers, NULL, NULL);
	ask_ok(&line, &get, &a);
	assert_string_equal(http_answer_header(&a, "etag"), "\"X y\"");
	assert_string_equal(http_answer_header(&a, "x-empty"), "");
	assert_string_equal(http_answer_header(&a, "x-two"), "first");
	assert_null(http_answer_header(&a, "x-tw"));
	assert_null(http_answer_header(&a, "x-three"));
	assert_int_equal(a.date, 7 * CLOCK_SECOND);
	http_answer_release(&a);
	line_stop(&line);
}

static void answer_many_headers(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
	for (unsigned i = 0; i < 90; i++)
		http_say(peer, "X-%u: %01000u\r\n", i, i);
	http_say(peer, "\r\nok");
}

static void test_http_run__headers_have_a_bound(void **state)
{
	struct line line;
	struct http_answer a;
	struct ask get = {.path = "/o"};

	(void)state;
	line_start(&line, answer_many_headers, NULL, NULL);
	ask_ok(&line, &get, &a);
	assert_true(a.headers.len <= HTTP_HEADERS_MAX);
	assert_true(a.headers.len > HTTP_HEADERS_MAX - 2000);
	assert_non_null(http_answer_header(&a, "x-1"));
	assert_text(&a, "ok");
	http_answer_release(&a);
	line_stop(&line);
}

static void answer_own_header(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	char value[100], other[1200];
	const char *unwanted[] = {"expect", "accept", "content-type", "user-agent", "transfer-encoding"};

	(void)arg;
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
		if (!http_seen_header(seen, unwanted[i], other, sizeof(other)))
			continue;
		http_answer(peer, 200, "", unwanted[i], strlen(unwanted[i]));
		return;
	}
	if (http_seen_header(seen, "x-own", value, sizeof(value)))
		snprintf(other, sizeof(other), "%s [%s]", seen->target, value);
	else
		snprintf(other, sizeof(other), "%s none", seen->target);
	http_answer(peer, 200, "", other, strlen(other));
}

static void test_http_run__what_was_signed_goes_out_as_it_is(void **state)
{
	struct line line;
	struct http_answer a;
	struct ask full = {.path = "/a/./b/../c%2f%20d?x=%2B&uploads=", .header = "x-own", .value = "a: b;"},
		   empty = {.path = "/e", .header = "x-own", .value = ""}, none = {.path = "/n"};

	(void)state;
	line_start(&line, answer_own_header, NULL, NULL);
	ask_ok(&line, &full, &a);
	assert_text(&a, "/a/./b/../c%2f%20d?x=%2B&uploads= [a: b;]");
	http_answer_release(&a);
	ask_ok(&line, &empty, &a);
	assert_text(&a, "/e []");
	http_answer_release(&a);
	ask_ok(&line, &none, &a);
	assert_text(&a, "/n none");
	http_answer_release(&a);
	line_stop(&line);
}

static void test_http_run__a_header_cannot_smuggle_in_another_one(void **state)
{
	struct line line;
	struct http_answer a;
	struct error err = ERROR_INIT;
	struct ask get = {.path = "/o", .header = "x-own", .value = "a\r\nx-other: b"};

	(void)state;
	line_start(&line, answer_own_header, NULL, NULL);
	assert_int_equal(ask(&line, &get, &a, &err), ERR_USAGE);
	assert_non_null(strstr(error_text(&err), "x-own"));
	http_answer_release(&a);
	assert_int_equal(http_server_requests(line.server), 0);
	line_stop(&line);
}

/* ---- methods and bodies that go out ---- */

struct got {
	char method[16];
	uint8_t *body;
	size_t len;
	bool has_length;
};

static void keep_body(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	struct got *got = arg;
	char length[32];

	strcpy(got->method, seen->method);
	free(got->body);
	got->body = malloc(seen->body_len + 1);
	if (got->body != NULL)
		memcpy(got->body, seen->body, seen->body_len);
	got->len = seen->body_len;
	got->has_length = http_seen_header(seen, "content-length", length, sizeof(length));
	http_answer(peer, 200, "", "", 0);
}

static void put(struct line *line, struct got *got, const char *method, const struct store_body *body)
{
	struct http_answer a;
	struct ask request = {.method = method, .path = "/o", .body = body};

	unsigned before = http_server_requests(line->server);
	ask_ok(line, &request, &a);
	http_answer_release(&a);
	assert_int_equal(http_server_requests(line->server), before + 1);
	assert_string_equal(got->method, method);
	assert_true(got->has_length);
	assert_int_equal(got->len, body->len);
	assert_non_null(got->body);
}

static void test_http_run__bodies_go_out_from_memory_and_from_a_file(void **state)
{
	struct line line;
	struct got got = {0};
	uint8_t *bytes = malloc(BIG);
	char path[] = "/tmp/drfs-http-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_non_null(bytes);
	assert_true(fd >= 0);
	unlink(path);
	made_bytes(bytes, BIG, 7);
	assert_int_equal(pwrite(fd, bytes, BIG, 0), BIG);
	line_start(&line, keep_body, &got, NULL);
	put(&line, &got, "PUT", &(struct store_body){.data = bytes, .len = BIG});
	assert_memory_equal(got.body, bytes, BIG);
	put(&line, &got, "PUT", &(struct store_body){.data = NULL, .fd = fd, .len = BIG});
	assert_memory_equal(got.body, bytes, BIG);
	put(&line, &got, "PUT", &(struct store_body){.data = "", .len = 0});
	put(&line, &got, "PUT", &(struct store_body){.data = NULL, .fd = fd, .len = 0});
	put(&line, &got, "POST", &(struct store_body){.data = "a=b", .len = 3});
	assert_memory_equal(got.body, "a=b", 3);
	put(&line, &got, "POST", &(struct store_body){.data = "", .len = 0});
	assert_int_equal(line_metrics(&line).sent_bytes, 2 * (uint64_t)BIG + 3);
	assert_int_equal(line_metrics(&line).connections, http_server_connections(line.server));
	line_stop(&line);
	free(got.body);
	free(bytes);
	close(fd);
}

static void test_http_run__a_file_shorter_than_told_is_not_sent_again(void **state)
{
	struct line line;
	struct got got = {0};
	struct http_answer a;
	struct error err = ERROR_INIT;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct store_body body = {.fd = fd, .len = 100};
	struct ask request = {.path = "/o", .body = &body};

	(void)state;
	assert_true(fd >= 0);
	line_start(&line, keep_body, &got, NULL);
	assert_int_equal(ask(&line, &request, &a, &err), ERR_UNAVAILABLE);
	assert_non_null(strstr(error_text(&err), "shorter"));
	assert_int_equal(request.prepared, 1);
	http_answer_release(&a);
	line_stop(&line);
	free(got.body);
	close(fd);
}

static void answer_head(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	if (strcmp(seen->method, "HEAD") == 0)
		http_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n");
	else if (strcmp(seen->method, "DELETE") == 0)
		http_say(peer, "HTTP/1.1 204 No Content\r\n\r\n");
	else
		http_answer(peer, 200, "", seen->method, strlen(seen->method));
}

static void test_http_run__methods_without_bodies_leave_the_connection_usable(void **state)
{
	struct line line;
	struct http_answer a;
	struct ask head = {.method = "HEAD", .path = "/o"}, del = {.method = "DELETE", .path = "/o"},
		   get = {.path = "/o"};

	(void)state;
	line_start(&line, answer_head, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		ask_ok(&line, &head, &a);
		assert_string_equal(http_answer_header(&a, "content-length"), "123456");
		assert_int_equal(a.len, 0);
		http_answer_release(&a);
		ask_ok(&line, &del, &a);
		assert_int_equal(a.status, 204);
		http_answer_release(&a);
		ask_ok(&line, &get, &a);
		assert_text(&a, "GET");
		http_answer_release(&a);
	}
	assert_int_equal(http_server_requests(line.server), 6);
	assert_int_equal(http_server_connections(line.server), 1);
	assert_int_equal(line_metrics(&line).requests, 6);
	assert_int_equal(line_metrics(&line).connections, 1);
	line_stop(&line);
}

static void refuse_early(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	http_answer(peer, strcmp(seen->method, "GET") == 0 ? 200 : 307, "Location: /elsewhere\r\n", "", 0);
}

static void test_http_run__a_redirect_is_left_to_the_caller(void **state)
{
	struct line line;
	struct http_answer a;
	struct error err = ERROR_INIT;
	struct store_body body = {.data = "x", .len = 1};
	struct ask request = {.path = "/o", .body = &body};

	(void)state;
	line_start(&line, refuse_early, NULL, NULL);
	assert_int_equal(ask(&line, &request, &a, &err), ERR_IO);
	assert_int_equal(a.status, 307);
	assert_string_equal(http_answer_header(&a, "location"), "/elsewhere");
	assert_int_equal(http_server_requests(line.server), 1);
	http_answer_release(&a);
	line_stop(&line);
}

/* ---- many at once ---- */

static void answer_seeded(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	unsigned seed = (unsigned)atoi(seen->target + 1);
	uint8_t bytes[50000];
	size_t len = 1 + (size_t)seed * 977 % sizeof(bytes);

	(void)arg;
	made_bytes(bytes, len, seed);
	http_answer(peer, 200, "", bytes, len);
}

struct crowd {
	struct line *line;
	atomic_uint next, wrong;
};

static void *ask_many(void *arg)
{
	struct crowd *c = arg;
	unsigned n;

	while ((n = atomic_fetch_add(&c->next, 1)) < CALLS) {
		uint8_t want[50000], dst[50000];
		size_t len = 1 + (size_t)n * 977 % sizeof(want);
		struct http_answer a;
		char path[16];
		struct ask get = {.path = path, .dst = dst, .dst_len = len, .hedge = true};
		snprintf(path, sizeof(path), "/%u", n);
		made_bytes(want, len, n);
		if (ask(c->line, &get, &a, NULL) != 0 || a.len != len || memcmp(dst, want, len) != 0)
			atomic_fetch_add(&c->wrong, 1);
		http_answer_release(&a);
	}
	return NULL;
}

static void test_http_run__each_of_many_threads_gets_its_own_answers_over_few_connections(void **state)
{
	struct http_options few = {.parallel = 4};
	struct line line;
	struct crowd crowd = {.line = &line};
	pthread_t threads[THREADS];

	(void)state;
	line_start(&line, answer_seeded, NULL, &few);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &crowd), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	struct http_metrics m = line_metrics(&line);
	assert_int_equal(crowd.wrong, 0);
	assert_in_range(m.requests, CALLS, CALLS + m.hedged); /* a twin may be dropped before its turn */
	assert_int_equal(m.failed, 0);
	assert_true(m.connections <= 4 + 2 * m.hedged);
	assert_true(m.limit <= 4);
	line_stop(&line);
}

static void test_http_run__concurrency_widens_while_answers_come(void **state)
{
	struct line line;
	struct crowd crowd = {.line = &line};
	pthread_t threads[2 * THREADS];
	struct http_options wide = {.parallel = 24};

	(void)state;
	line_start(&line, answer_seeded, NULL, &wide);
	assert_int_equal(line_metrics(&line).limit, 16);
	for (int i = 0; i < 2 * THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &crowd), 0);
	for (int i = 0; i < 2 * THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd.wrong, 0);
	assert_true(line_metrics(&line).limit > 16);
	assert_true(line_metrics(&line).limit <= 24);
	line_stop(&line);
}

static void test_http_free__engines_that_were_never_used_and_nothing_are_fine(void **state)
{
	struct http_options options = {0};
	struct http *h = NULL;

	(void)state;
	assert_int_equal(http_new(&options, &h, NULL), 0);
	http_free(h);
	http_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_run__an_object_is_put_where_the_caller_wants_it),
		cmocka_unit_test(test_http_run__more_than_asked_for_is_cut_off_and_said),
		cmocka_unit_test(test_http_run__words_of_a_refusal_never_reach_the_place_of_the_object),
		cmocka_unit_test(test_http_run__text_has_a_bound),
		cmocka_unit_test(test_http_run__chunks_are_put_together_and_early_answers_forgotten),
		cmocka_unit_test(test_http_run__headers_are_found_by_their_names_in_lower_case),
		cmocka_unit_test(test_http_run__headers_have_a_bound),
		cmocka_unit_test(test_http_run__what_was_signed_goes_out_as_it_is),
		cmocka_unit_test(test_http_run__a_header_cannot_smuggle_in_another_one),
		cmocka_unit_test(test_http_run__bodies_go_out_from_memory_and_from_a_file),
		cmocka_unit_test(test_http_run__a_file_shorter_than_told_is_not_sent_again),
		cmocka_unit_test(test_http_run__methods_without_bodies_leave_the_connection_usable),
		cmocka_unit_test(test_http_run__a_redirect_is_left_to_the_caller),
		cmocka_unit_test(test_http_run__each_of_many_threads_gets_its_own_answers_over_few_connections),
		cmocka_unit_test(test_http_run__concurrency_widens_while_answers_come),
		cmocka_unit_test(test_http_free__engines_that_were_never_used_and_nothing_are_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
