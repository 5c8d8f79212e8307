/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "archive/repo.h"
#include "base/fileio.h"
#include "base/hex.h"
#include "base/host.h"

#define KEY_FILE_WORD "drfs-key-1 "

enum {
	KEY_FILE_MAX = 4096,
	KEY_FILE_WORD_LEN = sizeof(KEY_FILE_WORD) - 1,
	KEY_FILE_DIGITS = 64,
};

/* One line without its end. */
static bool key_line(const char *line, size_t len, uint8_t ret_key[static 32])
{
	char digits[KEY_FILE_DIGITS + 1];
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (len != KEY_FILE_WORD_LEN + KEY_FILE_DIGITS || memcmp(line, KEY_FILE_WORD, KEY_FILE_WORD_LEN) != 0)
		return false;
	memcpy(digits, line + KEY_FILE_WORD_LEN, KEY_FILE_DIGITS);
	digits[KEY_FILE_DIGITS] = '\0';
	bool ok = strlen(digits) == KEY_FILE_DIGITS && hex_decode(digits, 32, ret_key);
	host_wipe(digits, sizeof(digits));
	return ok;
}

int repo_key_file_read(const char *path, uint8_t ret_key[static 32], struct error *err)
{
	uint8_t key[32];
	struct buf text = {0};
	int rc = fileio_slurp(path, KEY_FILE_MAX, &text, err);
	bool found = false;
	for (size_t at = 0; rc == 0 && !found && at < text.len;) {
		const uint8_t *line = text.data + at;
		const uint8_t *end = memchr(line, '\n', text.len - at);
		size_t len = end ? (size_t)(end - line) : text.len - at;
		found = key_line((const char *)line, len, key);
		at += len + 1;
	}
	if (rc == 0 && !found)
		rc = error_set(err, ERR_CORRUPT,
			"'%s' is no key file: it holds no line of '" KEY_FILE_WORD "' and 64 digits", path);
	if (rc == 0)
		memcpy(ret_key, key, sizeof(key));
	host_wipe(key, sizeof(key));
	buf_wipe(&text);
	return rc;
}

int repo_key_file_make(const char *path, uint8_t ret_key[static 32], struct error *err)
{
	uint8_t key[32];
	char digits[KEY_FILE_DIGITS + 1], line[KEY_FILE_WORD_LEN + KEY_FILE_DIGITS + 2];
	host_random(key, sizeof(key));
	hex_encode(key, sizeof(key), digits);
	int len = snprintf(line, sizeof(line), KEY_FILE_WORD "%s\n", digits);
	int rc = fileio_create(path, 0600, line, (size_t)len, err);
	if (rc == 0)
		memcpy(ret_key, key, sizeof(key));
	host_wipe(key, sizeof(key));
	host_wipe(digits, sizeof(digits));
	host_wipe(line, sizeof(line));
	return rc;
}
