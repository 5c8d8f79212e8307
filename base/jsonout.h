/* SPDX-License-Identifier: MIT */
#ifndef BASE_JSONOUT_H
#define BASE_JSONOUT_H

/*
 * JSON by jansson, with what every user of it here needs: text that may not
 * be UTF-8 (file names) becomes a JSON string in which each byte that is not
 * part of valid UTF-8 stands as U+FFFD, and the caller adds the exact bytes
 * in hexadecimal as "<key>_hex"; one object a line.
 */

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* A fresh string of `len` bytes. NULL without memory. */
json_t *jsonout_text(const void *bytes, size_t len);
/* obj[key] = text, and obj[key_hex] when the bytes were not UTF-8. */
void jsonout_set_name(json_t *obj, const char *key, const void *bytes, size_t len);
/* RFC 3339 with nine decimals. */
json_t *jsonout_time(int64_t ns);
/* Writes obj as one line to out and releases it. 0, or -1 when writing failed. */
int jsonout_line(FILE *out, json_t *obj);

#endif
