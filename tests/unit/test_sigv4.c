/* SPDX-License-Identifier: MIT */
/* The examples of the S3 API reference, "Signature Calculations for the Authorization Header", and what they leave out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/sigv4.h"

enum { EXAMPLE_NOW = 1369353600 }; /* 2013-05-24T00:00:00Z */
static const char empty_hash[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static const struct sigv4_identity example = {.access_key = "AKIAIOSFODNN7EXAMPLE",
	.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	.region = "us-east-1",
	.service = "s3"};

/* The header that was made, behind its name; freed by the caller. */
static char *header_of(const struct buf *headers, const char *name)
{
	const char *p = (const char *)headers->data, *end = p + headers->len;
	for (; p < end; p += strlen(p) + 1)
		if (strncmp(p, name, strlen(name)) == 0 && p[strlen(name)] == ':')
			return strdup(p + strlen(name) + 2);
	return NULL;
}

static void assert_signed(const struct sigv4_request *r, const char *names, const char *signature)
{
	struct error err = ERROR_INIT;
	struct buf headers = {0};
	char want[400];
	snprintf(want, sizeof(want),
		"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=%s,"
		"Signature=%s",
		names, signature);
	assert_int_equal(sigv4_sign(r, &example, EXAMPLE_NOW, &headers, &err), 0);
	char *got = header_of(&headers, "authorization");
	assert_string_equal(got, want);
	free(got);
	buf_release(&headers);
}

static void test_sigv4__a_range_of_an_object_is_signed_as_published(void **state)
{
	(void)state;
	struct sigv4_param range = {"range", "bytes=0-9"};
	struct sigv4_request r = {.method = "GET",
		.path = "/test.txt",
		.host = "examplebucket.s3.amazonaws.com",
		.payload_hash = empty_hash,
		.headers = &range,
		.header_count = 1};
	assert_signed(&r, "host;range;x-amz-content-sha256;x-amz-date",
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void test_sigv4__a_put_with_an_odd_name_is_signed_as_published(void **state)
{
	(void)state;
	char hash[SIGV4_HASH_HEX];
	struct sigv4_param headers[] = {
		{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"date", "Fri, 24 May 2013 00:00:00 GMT"}};
	sigv4_hash("Welcome to Amazon S3.", strlen("Welcome to Amazon S3."), hash);
	assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
	struct sigv4_request r = {.method = "PUT",
		.path = "/test$file.text",
		.host = "examplebucket.s3.amazonaws.com",
		.payload_hash = hash,
		.headers = headers,
		.header_count = 2};
	assert_signed(&r, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void test_sigv4__a_subresource_without_a_value_is_signed_as_published(void **state)
{
	(void)state;
	struct sigv4_param query = {"lifecycle", ""};
	struct sigv4_request r = {.method = "GET",
		.path = "/",
		.query = &query,
		.query_count = 1,
		.host = "examplebucket.s3.amazonaws.com",
		.payload_hash = empty_hash};
	assert_signed(&r, "host;x-amz-content-sha256;x-amz-date",
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void test_sigv4__parameters_in_any_order_are_signed_as_published(void **state)
{
	(void)state;
	struct sigv4_param query[] = {{"prefix", "J"}, {"max-keys", "2"}};
	struct sigv4_request r = {.method = "GET",
		.path = "/",
		.query = query,
		.query_count = 2,
		.host = "examplebucket.s3.amazonaws.com",
		.payload_hash = empty_hash};
	assert_signed(&r, "host;x-amz-content-sha256;x-amz-date",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void assert_canonical(const struct sigv4_request *r, const char *want)
{
	struct buf text = {0};
	assert_int_equal(sigv4_canonical(r, &example, EXAMPLE_NOW, &text, NULL), 0);
	buf_put_u8(&text, 0);
	assert_string_equal((const char *)text.data, want);
	buf_release(&text);
}

static void test_sigv4__names_are_sorted_as_they_are_encoded_and_paths_stay_as_they_are(void **state)
{
	(void)state;
	struct sigv4_param query[] = {{"b", "2"}, {"a/", "x y"}, {"a", "+&="}, {"b", "1"}, {"A", "\xc3\xa9~"}};
	struct sigv4_request r = {.method = "GET",
		.path = "/b//./../a b%2f*'()!",
		.query = query,
		.query_count = 5,
		.host = "h:8080",
		.payload_hash = SIGV4_UNSIGNED};
	assert_canonical(&r, "GET\n/b//./../a%20b%252f%2A%27%28%29%21\nA=%C3%A9~&a=%2B%26%3D&a%2F=x%20y&b=1&b=2\n"
			     "host:h:8080\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20130524T000000Z\n\n"
			     "host;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD");
}

static void test_sigv4__blanks_in_values_are_folded_where_they_are_signed(void **state)
{
	(void)state;
	struct sigv4_param header = {"x-amz-meta-a", "  one   two  "};
	struct sigv4_request r = {.method = "GET",
		.path = "/",
		.host = "h",
		.payload_hash = empty_hash,
		.headers = &header,
		.header_count = 1};
	struct buf text = {0};
	assert_int_equal(sigv4_canonical(&r, &example, EXAMPLE_NOW, &text, NULL), 0);
	buf_put_u8(&text, 0);
	assert_non_null(strstr((const char *)text.data, "\nx-amz-meta-a:one two\n"));
	buf_release(&text);
}

static void test_sigv4__a_token_is_sent_and_signed(void **state)
{
	(void)state;
	struct sigv4_identity identity = example;
	struct sigv4_request r = {.method = "GET", .path = "/", .host = "h", .payload_hash = empty_hash};
	struct buf headers = {0};
	identity.session_token = "tok/en==";
	assert_int_equal(sigv4_sign(&r, &identity, EXAMPLE_NOW, &headers, NULL), 0);
	char *token = header_of(&headers, "x-amz-security-token"), *by = header_of(&headers, "authorization");
	assert_string_equal(token, "tok/en==");
	assert_non_null(strstr(by, ";x-amz-security-token,"));
	free(token);
	free(by);
	buf_release(&headers);
}

static void test_sigv4__a_line_end_in_a_header_is_refused(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	struct sigv4_param header = {"x-amz-meta-a", "one\r\nx-amz-acl: public-read"};
	struct sigv4_request r = {.method = "GET",
		.path = "/",
		.host = "h",
		.payload_hash = empty_hash,
		.headers = &header,
		.header_count = 1};
	struct buf headers = {0};
	assert_int_equal(sigv4_sign(&r, &example, EXAMPLE_NOW, &headers, &err), ERR_USAGE);
	buf_release(&headers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sigv4__a_range_of_an_object_is_signed_as_published),
		cmocka_unit_test(test_sigv4__a_put_with_an_odd_name_is_signed_as_published),
		cmocka_unit_test(test_sigv4__a_subresource_without_a_value_is_signed_as_published),
		cmocka_unit_test(test_sigv4__parameters_in_any_order_are_signed_as_published),
		cmocka_unit_test(test_sigv4__names_are_sorted_as_they_are_encoded_and_paths_stay_as_they_are),
		cmocka_unit_test(test_sigv4__blanks_in_values_are_folded_where_they_are_signed),
		cmocka_unit_test(test_sigv4__a_token_is_sent_and_signed),
		cmocka_unit_test(test_sigv4__a_line_end_in_a_header_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
