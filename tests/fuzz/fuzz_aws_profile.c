/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a file of profiles: refused with a message that names the file and a line, or read so that every entry
 * can be found again. And as an answer of STS and as JSON with keys, which are read or refused.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backends/aws_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_profiles(const char *text, size_t size)
{
	struct error err = ERROR_INIT;
	struct aws_ini ini;
	int rc = aws_ini_parse("the-file", text, size, &ini, &err);

	if (rc < 0 && (rc != ERR_USAGE || !strstr(error_text(&err), "the-file")))
		abort();
	for (size_t i = 0; rc == 0 && i < ini.count && i < 100; i++) {
		const struct aws_ini_entry *e = &ini.list[i];
		const char *found = aws_ini_get(&ini, e->section, e->name);
		if (!aws_ini_has(&ini, e->section) || (found != NULL && found[0] == '\0'))
			abort();
		if (strchr(e->value, '\n') != NULL || strlen(e->section) > size || strlen(e->value) > size)
			abort();
	}
	aws_ini_release(&ini);
}

static void read_json(const char *text, size_t size)
{
	for (int versioned = 0; versioned < 2; versioned++) {
		struct error err = ERROR_INIT;
		struct aws_keys keys = {0};
		int rc = aws_keys_from_json(text, size, versioned, "the-source", &keys, &err);
		if (rc == 0 ? keys.access_key == NULL || keys.secret_key == NULL
			    : strstr(error_text(&err), "the-source") == NULL)
			abort();
		aws_keys_release(&keys);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct aws_sts_answer answer;

	if (size == 0)
		return 0;
	if (text[0] == '{') {
		read_json(text, size);
	} else if (text[0] == '<') {
		(void)aws_sts_parse(text, size, &answer);
		aws_sts_answer_release(&answer);
	} else {
		read_profiles(text, size);
	}
	return 0;
}
