/* SPDX-License-Identifier: MIT */

/* From a URL as users write it to a store. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "backends/driver.h"
#include "backends/fault.h"

/* Length of a leading "scheme" where "://" follows it, else 0. */
static size_t scheme_len(const char *url)
{
	size_t n = 0;

	while (isalnum((unsigned char)url[n]) || (n > 0 && strchr("+.-", url[n]) && url[n]))
		n++;
	return strncmp(url + n, "://", 3) == 0 ? n : 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX. A NUL byte cannot be part of a path, so %00 is refused with what is no number. */
static int percent_decode(const char *url, const char *src, char **ret_path, struct error *err)
{
	char *path = malloc(strlen(src) + 1);
	size_t n = 0;

	if (!path)
		return error_no_memory(err, url);
	for (; *src; src++) {
		if (*src == '%') {
			int high = hex_value(src[1]);
			int low = high < 0 ? -1 : hex_value(src[2]);

			if (low < 0 || high + low == 0) {
				free(path);
				return error_set(err, ERR_USAGE,
					"'%s': %% must be followed by two hexadecimal digits, and %%25 stands for %% "
					"itself",
					url);
			}
			path[n++] = (char)(high * 16 + low);
			src += 2;
		} else {
			path[n++] = *src;
		}
	}
	path[n] = '\0';
	*ret_path = path;
	return 0;
}

/* "file:///path", "file://localhost/path" and "file:/path"; `rest` is what follows "file:". */
static int open_file_url(const char *url, const char *rest, const struct store_options *options,
	struct store **ret_store, struct error *err)
{
	char *path = NULL;

	if (strncmp(rest, "//localhost/", 12) == 0)
		rest += 11;
	else if (strncmp(rest, "///", 3) == 0)
		rest += 2;
	if (rest[0] != '/' || rest[1] == '/')
		return error_set(err, ERR_USAGE, "'%s' names another host or no path, write 'file:///path'", url);
	int rc = percent_decode(url, rest, &path, err);
	if (rc < 0)
		return rc;
	rc = store_file_open(path, options, ret_store, err);
	free(path);
	return rc;
}

int store_open_url(const char *url, const struct store_options *options, struct store **ret_store, struct error *err)
{
	size_t scheme = scheme_len(url);

	if (url[0] == '\0')
		return error_set(err, ERR_USAGE, "the repository's URL is empty");
	if (strcmp(url, "memory:") == 0)
		return store_memory_open(ret_store, err);
	if (strncmp(url, "file:/", 6) == 0)
		return open_file_url(url, url + 5, options, ret_store, err);
	if (strncmp(url, "s3://", 5) == 0)
		return store_s3_open(url, options, ret_store, err);
	if (strncmp(url, "gs://", 5) == 0)
		return error_set(err, ERR_UNSUPPORTED, "'%s': gs:// stores are not built into this version yet", url);
	if (scheme > 0)
		return error_set(err, ERR_USAGE, "'%s': '%.*s://' is no kind of store, write /path or file:///path",
			url, (int)scheme, url);
	return store_file_open(url, options, ret_store, err);
}

int store_open(const char *url, const struct store_options *options, struct store **ret_store, struct error *err)
{
	static const struct store_options defaults;
	struct store *store;

	int rc = store_open_url(url, options ? options : &defaults, &store, err);
	if (rc < 0)
		return rc;
	rc = store_fault_from_env(&store, err);
	if (rc < 0) {
		store_close(store);
		return rc;
	}
	*ret_store = store;
	return 0;
}
