/* SPDX-License-Identifier: MIT */
/* What the S3 driver asks and what it makes of each answer, against a server that follows a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/s3_xml.h"
#include "base/clock.h"
#include "http_script.h"

#include "backends/store.h"

enum { ANSWER = 2000 };

/* A store whose environment is this. */
struct place {
	struct http_script *server;
	struct store *store;
	char endpoint[100];
};

static const char *env_of(void *arg, const char *name)
{
	struct place *p = arg;
	const char *const list[][2] = {{"AWS_ACCESS_KEY_ID", "AKID"}, {"AWS_SECRET_ACCESS_KEY", "sEcReT"},
		{"AWS_ENDPOINT_URL_S3", p->endpoint}, {"AWS_REGION", "eu-west-1"},
		{"AWS_EC2_METADATA_DISABLED", "true"}, {"HOME", "/nonexistent"}};
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (strcmp(list[i][0], name) == 0)
			return list[i][1];
	return NULL;
}

static void open_place(struct place *p, const struct http_step *steps, size_t count)
{
	struct error err = ERROR_INIT;
	struct store_options options = {.env = env_of, .env_arg = p};
	p->server = http_script_start(steps, count);
	snprintf(p->endpoint, sizeof(p->endpoint), "%s", http_script_url(p->server));
	if (store_s3_open("s3://buck-et/pre/fix", &options, &p->store, &err) != 0)
		fail_msg("%s", error_text(&err));
}

static void close_place(struct place *p)
{
	store_close(p->store);
	http_script_end(p->server);
}

#define OPEN(p, steps) open_place((p), (steps), sizeof(steps) / sizeof((steps)[0]))

static int put(struct place *p, const char *text, struct error *err)
{
	return store_put_mem(p->store, NULL, "packs/a", text, strlen(text), NULL, err);
}

/* ---- what is asked ---- */

static void test_s3__a_create_is_conditional_signed_and_carries_its_hash(void **state)
{
	(void)state;
	struct place p = {0};
	const struct http_step steps[] = {
		{.expect = "PUT /buck-et/pre/fix/packs/a HTTP/1.1", .header = "if-none-match: *"}};
	OPEN(&p, steps);
	assert_int_equal(put(&p, "hello", NULL), 0);
	const char *asked = http_script_request(p.server, 0);
	assert_non_null(strstr(asked, "x-amz-content-sha256: "
				      "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"));
	assert_non_null(strstr(asked, "Credential=AKID/"));
	assert_non_null(
		strstr(asked, "/eu-west-1/s3/aws4_request,SignedHeaders=host;if-none-match;x-amz-content-sha256;"
			      "x-amz-date,"));
	assert_non_null(strcasestr(asked, "content-length: 5\r\n"));
	assert_null(strcasestr(asked, "expect:"));
	assert_null(strstr(asked, "sEcReT"));
	close_place(&p);
}

static void test_s3__a_range_is_asked_for_and_checked(void **state)
{
	(void)state;
	struct place p = {0};
	char got[8];
	size_t n;
	struct error err = ERROR_INIT;
	const struct http_step steps[] = {{.expect = "GET /buck-et/pre/fix/packs/a",
						  .header = "range: bytes=5-8\r\n",
						  .status = 206,
						  .headers = "Content-Range: bytes 5-8/100\r\n",
						  .body = "5678"},
		{.expect = "GET ", .status = 206, .headers = "Content-Range: bytes 0-3/100\r\n", .body = "0123"},
		{.expect = "GET ", .status = 200, .body = "0123456789"},
		{.expect = "GET ", .status = 206, .headers = "Content-Range: bytes 5-7/100\r\n", .body = "567"},
		{.expect = "GET ", .status = 206, .body = "5678"}};
	OPEN(&p, steps);
	assert_int_equal(store_get(p.store, NULL, "packs/a", 5, 4, got, &n, NULL), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(got, "5678", 4);
	assert_int_equal(store_get(p.store, NULL, "packs/a", 5, 4, got, &n, &err), ERR_IO);
	assert_int_equal(n, 0);
	assert_int_equal(store_get(p.store, NULL, "packs/a", 5, 4, got, &n, &err), ERR_UNSUPPORTED);
	assert_int_equal(store_get(p.store, NULL, "packs/a", 5, 4, got, &n, &err), ERR_IO);
	assert_int_equal(store_get(p.store, NULL, "packs/a", 5, 4, got, &n, &err), ERR_IO);
	close_place(&p);
}

static int count_names(void *arg, const char *name, uint64_t size, struct error *err)
{
	char *all = arg;
	(void)err;
	sprintf(all + strlen(all), "%s:%d ", name, (int)size);
	return 0;
}

#define PAGE(more, objects) \
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" more objects "</ListBucketResult>"
#define OBJECT(key, size) "<Contents><Key>" key "</Key><Size>" size "</Size></Contents>"

static void test_s3__a_listing_goes_from_page_to_page_and_shows_objects_only(void **state)
{
	(void)state;
	struct place p = {0};
	char all[500] = "";
	const struct http_step pages[] = {
		{.expect = "GET "
			   "/buck-et?encoding-type=url&list-type=2&prefix=pre%2Ffix%2Fpacks%2F&start-after=pre%2Ffix%"
			   "2Fpacks%2Fa ",
			.body = PAGE(
				"<IsTruncated>true</IsTruncated><NextContinuationToken>a+b/c=</NextContinuationToken>",
				OBJECT("pre/fix/packs/b", "1") OBJECT("pre/fix/packs/dir/", "0")
					OBJECT("pre/fix/packs/NOT%20OURS", "5"))},
		{.expect = "GET "
			   "/buck-et?continuation-token=a%2Bb%2Fc%3D&encoding-type=url&list-type=2&prefix=pre%2Ffix%"
			   "2Fpacks%2F ",
			.body = PAGE("<IsTruncated>false</IsTruncated>", OBJECT("pre/fix/packs/c%2Dd", "22"))}};
	OPEN(&p, pages);
	assert_int_equal(store_list(p.store, NULL, "packs/", "packs/a", count_names, all, NULL), 0);
	assert_string_equal(all, "packs/b:1 packs/c-d:22 ");
	close_place(&p);
}

/* ---- what is made of answers ---- */

static void test_s3__what_may_be_asked_again_is_asked_again(void **state)
{
	(void)state;
	struct place p = {0};
	const struct http_step steps[] = {{.expect = "PUT ", .status = 500}, {.expect = "PUT ", .cut = true},
		{.expect = "PUT ", .status = 409, .body = "<Error><Code>ConditionalRequestConflict</Code></Error>"},
		{.expect = "PUT ", .status = 200, .body = "<Error><Code>InternalError</Code></Error>"},
		{.expect = "PUT ", .status = 400, .body = "<Error><Code>RequestTimeout</Code></Error>"},
		{.expect = "PUT ", .status = 200}};
	OPEN(&p, steps);
	assert_int_equal(put(&p, "hello", NULL), 0);
	close_place(&p);
}

static void test_s3__slow_down_is_waited_for(void **state)
{
	(void)state;
	struct place p = {0};
	const struct http_step steps[] = {
		{.expect = "PUT ", .status = 503, .body = "<Error><Code>SlowDown</Code></Error>"},
		{.expect = "PUT ", .status = 200}};
	OPEN(&p, steps);
	assert_int_equal(put(&p, "hello", NULL), 0);
	close_place(&p);
}

static void test_s3__what_was_put_already_counts_as_put_and_another_thing_does_not(void **state)
{
	(void)state;
	struct place p = {0};
	const struct http_step steps[] = {{.expect = "PUT ", .status = 412},
		{.expect = "HEAD ", .raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{.expect = "GET ", .status = 206, .headers = "Content-Range: bytes 0-4/5\r\n", .body = "hello"},
		{.expect = "PUT ", .status = 412},
		{.expect = "HEAD ", .raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{.expect = "GET ", .status = 206, .headers = "Content-Range: bytes 0-4/5\r\n", .body = "other"},
		{.expect = "PUT ", .status = 412},
		{.expect = "HEAD ", .raw = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"}};
	OPEN(&p, steps);
	assert_int_equal(put(&p, "hello", NULL), 0);
	assert_int_equal(put(&p, "hello", NULL), ERR_EXISTS);
	assert_int_equal(put(&p, "hello", NULL), ERR_EXISTS);
	close_place(&p);
}

static void test_s3__a_server_without_conditions_is_looked_at_before(void **state)
{
	(void)state;
	struct place p = {0};
	const struct http_step steps[] = {{.expect = "PUT ", .header = "if-none-match", .status = 501},
		{.expect = "HEAD ", .status = 404}, {.expect = "PUT ", .absent = "if-none-match"},
		{.expect = "HEAD ", .status = 404}, {.expect = "PUT ", .absent = "if-none-match"}};
	OPEN(&p, steps);
	assert_true(store_features(p.store) & STORE_CREATE_ONLY);
	assert_int_equal(put(&p, "hello", NULL), 0);
	assert_false(store_features(p.store) & STORE_CREATE_ONLY);
	assert_int_equal(put(&p, "again", NULL), 0);
	close_place(&p);
}

static void test_s3__the_clock_is_put_right_by_the_servers(void **state)
{
	(void)state;
	struct place p = {0};
	const struct http_step steps[] = {{.expect = "PUT ",
						  .status = 403,
						  .headers = "Date: Tue, 01 Jan 2030 10:00:00 GMT\r\n",
						  .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
		{.expect = "PUT ", .header = "x-amz-date: 20300101T1000"}};
	OPEN(&p, steps);
	assert_int_equal(put(&p, "hello", NULL), 0);
	close_place(&p);
}

static void test_s3__a_bucket_elsewhere_is_found_by_its_region(void **state)
{
	(void)state;
	struct place p = {0};
	const struct http_step steps[] = {
		{.expect = "PUT ",
			.status = 400,
			.body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-1</Region></Error>"},
		{.expect = "PUT ", .header = "/ap-south-1/s3/"},
		{.expect = "HEAD ",
			.raw = "HTTP/1.1 301 x\r\nx-amz-bucket-region: us-west-2\r\nContent-Length: 0\r\n\r\n"},
		{.expect = "HEAD ", .header = "/us-west-2/s3/", .raw = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"}};
	uint64_t size = 0;
	OPEN(&p, steps);
	assert_int_equal(put(&p, "hello", NULL), 0);
	assert_int_equal(store_stat(p.store, NULL, "packs/a", &size, NULL), 0);
	assert_int_equal(size, 9);
	close_place(&p);
}

static void assert_fails(const char *body, int status, int code, const char *words)
{
	struct place p = {0};
	struct error err = ERROR_INIT;
	const struct http_step steps[] = {{.expect = "PUT ", .status = status, .body = body}};
	OPEN(&p, steps);
	assert_int_equal(put(&p, "hello", &err), code);
	if (strstr(error_text(&err), words) == NULL)
		fail_msg("'%s' does not say '%s'", error_text(&err), words);
	assert_non_null(strstr(error_text(&err), "s3://buck-et/pre/fix"));
	assert_null(strstr(error_text(&err), "sEcReT"));
	close_place(&p);
}

static void test_s3__what_is_refused_is_told_in_words_and_not_asked_again(void **state)
{
	(void)state;
	assert_fails("<Error><Code>InvalidAccessKeyId</Code><Message>who?</Message></Error>", 403, ERR_DENIED,
		"InvalidAccessKeyId: who?");
	assert_fails("<Error><Code>AccessDenied</Code></Error>", 403, ERR_DENIED, "environment");
	assert_fails("<Error><Code>NoSuchBucket</Code></Error>", 404, ERR_NO_REPO, "no bucket 'buck-et'");
	assert_fails("<html>a proxy's page</html>", 403, ERR_DENIED, "access denied");
	assert_fails(
		"<Error><Code>InvalidArgument</Code><Message>bad\nthing</Message></Error>", 400, ERR_IO, "bad?thing");
}

static void test_s3__a_page_that_is_none_is_an_error(void **state)
{
	(void)state;
	struct place p = {0};
	char all[100] = "";
	const struct http_step steps[] = {{.expect = "GET ", .body = "<html>hello</html>"},
		{.expect = "GET ", .body = "rubbish"},
		{.expect = "GET ", .body = PAGE("<IsTruncated>true</IsTruncated>", "")},
		{.expect = "GET ", .body = PAGE("", OBJECT("pre/fix/b", "1") OBJECT("pre/fix/a", "1"))},
		{.expect = "GET ", .body = PAGE("", "<Contents><Key>pre/fix/a</Key></Contents>")},
		{.expect = "GET ", .body = PAGE("", OBJECT("pre/fix/a", "-1"))}};
	OPEN(&p, steps);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		assert_true(store_list(p.store, NULL, "", "", count_names, all, NULL) < 0);
	close_place(&p);
}

static void test_s3_xml__entities_and_depth_are_bounded(void **state)
{
	(void)state;
	static const char bomb[] = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>"
				   "<Error><Code>&b;</Code></Error>";
	struct s3_fault f;
	assert_false(s3_xml_fault(bomb, strlen(bomb), &f));
	assert_false(s3_xml_fault("<Error><Code>x</Code>", 21, &f));
	assert_true(s3_xml_fault("<Error><Code>x</Code></Error>", 29, &f));
	assert_string_equal(f.code, "x");
}

/* ---- where ---- */

static void assert_refused(const char *url, const char *words)
{
	struct place p = {0};
	struct error err = ERROR_INIT;
	struct store_options options = {.env = env_of, .env_arg = &p};
	struct store *store = NULL;
	strcpy(p.endpoint, "http://127.0.0.1:1");
	assert_int_equal(store_s3_open(url, &options, &store, &err), ERR_USAGE);
	if (strstr(error_text(&err), words) == NULL)
		fail_msg("'%s' does not say '%s'", error_text(&err), words);
}

static void test_s3__a_url_that_is_none_is_refused(void **state)
{
	(void)state;
	assert_refused("s3://", "no name of a bucket");
	assert_refused("s3:///prefix", "no name of a bucket");
	assert_refused("s3://a b/prefix", "no name of a bucket");
	assert_refused("s3://bucket/a\nb", "control character");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_s3__a_create_is_conditional_signed_and_carries_its_hash),
		cmocka_unit_test(test_s3__a_range_is_asked_for_and_checked),
		cmocka_unit_test(test_s3__a_listing_goes_from_page_to_page_and_shows_objects_only),
		cmocka_unit_test(test_s3__what_may_be_asked_again_is_asked_again),
		cmocka_unit_test(test_s3__slow_down_is_waited_for),
		cmocka_unit_test(test_s3__what_was_put_already_counts_as_put_and_another_thing_does_not),
		cmocka_unit_test(test_s3__a_server_without_conditions_is_looked_at_before),
		cmocka_unit_test(test_s3__the_clock_is_put_right_by_the_servers),
		cmocka_unit_test(test_s3__a_bucket_elsewhere_is_found_by_its_region),
		cmocka_unit_test(test_s3__what_is_refused_is_told_in_words_and_not_asked_again),
		cmocka_unit_test(test_s3__a_page_that_is_none_is_an_error),
		cmocka_unit_test(test_s3_xml__entities_and_depth_are_bounded),
		cmocka_unit_test(test_s3__a_url_that_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
