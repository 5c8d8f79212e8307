/* SPDX-License-Identifier: MIT */

/*
 * The files of profiles: sections, "name = value", and names with others
 * indented below them. Read here and not by libinih, which base/conf uses: it
 * cuts lines at 200 bytes, where a session's token has a thousand, joins what
 * is indented, and would keep copies of the keys.
 */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "backends/aws_impl.h"

enum { ENTRIES_MOST = 10000, NAME_MOST = 200 };

struct reader {
	const char *path;
	struct aws_ini *ini;
	unsigned number; /* of the line, from 1 */
	bool in_section;
	char section[NAME_MOST + 1];
	char parent[NAME_MOST + 1]; /* the last name without an indent, where its value is empty; "" none */
	size_t indent;              /* of the lines of this section */
	struct error *err;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct range {
	const char *at, *end;
};

static struct range trimmed(const char *at, const char *end)
{
	while (at < end && is_space(*at))
		at++;
	while (end > at && is_space(end[-1]))
		end--;
	return (struct range){at, end};
}

static size_t length(struct range r)
{
	return (size_t)(r.end - r.at);
}

static bool equals(struct range r, const char *text)
{
	return length(r) == strlen(text) && memcmp(r.at, text, length(r)) == 0;
}

static int bad(const struct reader *r, const char *what)
{
	return error_set(r->err, ERR_USAGE, "%s:%u: %s", r->path, r->number, what);
}

static int append(struct reader *r, const char *name, struct range value)
{
	struct aws_ini *ini = r->ini;

	if (ini->count == ENTRIES_MOST)
		return bad(r, "the file has more lines than a file of profiles can have");
	if (ini->count == ini->room) {
		size_t room = ini->room != 0 ? 2 * ini->room : 16;
		struct aws_ini_entry *grown = reallocarray(ini->list, room, sizeof(*grown)); /* pointers only */
		if (grown == NULL)
			return error_no_memory(r->err, r->path);
		ini->list = grown;
		ini->room = room;
	}
	struct aws_ini_entry *e = &ini->list[ini->count++];
	*e = (struct aws_ini_entry){strdup(r->section), strdup(name), strndup(value.at, length(value))};
	return e->section && e->name && e->value ? 0 : error_no_memory(r->err, r->path);
}

/* ---- a section's line ---- */

static struct range unquoted(struct range r)
{
	if (length(r) >= 2 && (*r.at == '"' || *r.at == '\'') && r.end[-1] == *r.at)
		return trimmed(r.at + 1, r.end - 1);
	return r;
}

/* Of two words there is one blank between them, and quotes around the second are none of it. */
static int set_section(struct reader *r, struct range name)
{
	struct range first = name, rest;

	first.end = first.at;
	while (first.end < name.end && !is_space(*first.end))
		first.end++;
	rest = unquoted(trimmed(first.end, name.end));
	first = length(rest) == 0 ? unquoted(first) : first;
	size_t len = length(first), more = length(rest);
	if (len == 0 || len + more + 1 > NAME_MOST)
		return bad(r, "a section's name is empty or longer than any");
	memcpy(r->section, first.at, len);
	if (more > 0)
		r->section[len++] = ' ';
	memcpy(r->section + len, rest.at, more);
	r->section[len + more] = '\0';
	return 0;
}

static int take_section(struct reader *r, struct range line)
{
	const char *close = memchr(line.at, ']', length(line));
	struct range rest = trimmed(close != NULL ? close + 1 : line.end, line.end);

	if (close == NULL || (length(rest) > 0 && *rest.at != '#' && *rest.at != ';'))
		return bad(r, "a section is written [NAME]");
	int rc = set_section(r, trimmed(line.at + 1, close));
	if (rc < 0)
		return rc;
	r->in_section = true;
	r->parent[0] = '\0';
	r->indent = SIZE_MAX;
	return append(r, "", (struct range){line.end, line.end});
}

/* ---- a value's line ---- */

/* A comment may follow after a space; but in a command both signs are the shell's. */
static struct range without_comment(struct range name, struct range value)
{
	if (equals(name, "credential_process"))
		return value;
	for (const char *p = value.at; p < value.end; p++)
		if ((*p == '#' || *p == ';') && (p == value.at || is_space(p[-1])))
			return trimmed(value.at, p);
	return value;
}

/* In lower case, below `parent` where that is not "". */
static int write_name(struct reader *r, const char *parent, struct range name, char dst[static NAME_MOST + 1])
{
	size_t len = strlen(parent);

	if (length(name) == 0 || len + 1 + length(name) > NAME_MOST)
		return bad(r, "the name before '=' is empty or longer than any");
	memcpy(dst, parent, len);
	if (len > 0)
		dst[len++] = '.';
	for (const char *p = name.at; p < name.end; p++)
		dst[len++] = (char)tolower((unsigned char)*p);
	dst[len] = '\0';
	return 0;
}

static int take_value(struct reader *r, struct range line, size_t indent)
{
	const char *equal = memchr(line.at, '=', length(line));
	char name[NAME_MOST + 1];

	if (!r->in_section)
		return bad(r, "a value stands before the first section");
	if (equal == NULL)
		return bad(r, "expected 'name = value'");
	if (r->indent == SIZE_MAX)
		r->indent = indent;
	bool nested = r->parent[0] != '\0' && indent > r->indent;
	struct range key = trimmed(line.at, equal);
	struct range value = without_comment(key, trimmed(equal + 1, line.end));
	int rc = write_name(r, nested ? r->parent : "", key, name);
	if (rc < 0)
		return rc;
	if (!nested)
		strcpy(r->parent, length(value) == 0 ? name : "");
	return append(r, name, value);
}

static int take_line(struct reader *r, const char *at, const char *end)
{
	struct range line = trimmed(at, end);
	size_t indent = (size_t)(line.at - at);

	if (length(line) == 0 || *line.at == '#' || *line.at == ';')
		return 0;
	return *line.at == '[' ? take_section(r, line) : take_value(r, line, indent);
}

int aws_ini_parse(const char *path, const char *text, size_t len, struct aws_ini *ret, struct error *err)
{
	struct reader r = {.path = path, .ini = ret, .err = err};
	static const char mark[] = "\xef\xbb\xbf"; /* some editors put it before UTF-8 */
	const char *end = text + len;
	int rc = 0;

	*ret = (struct aws_ini){0};
	if (len == 0)
		return 0;
	if (memchr(text, '\0', len) != NULL)
		return error_set(err, ERR_USAGE, "'%s' is no text file: it holds a zero byte", path);
	if (len >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0)
		text += sizeof(mark) - 1;
	while (rc == 0 && text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		stop = stop != NULL ? stop : end;
		r.number++;
		rc = take_line(&r, text, stop);
		text = stop < end ? stop + 1 : end;
	}
	return rc;
}

/* ---- what was read ---- */

const char *aws_ini_get(const struct aws_ini *ini, const char *section, const char *name)
{
	for (size_t i = ini->count; i-- > 0;) {
		const struct aws_ini_entry *e = &ini->list[i];
		if (strcmp(e->name, name) == 0 && strcmp(e->section, section) == 0)
			return e->value[0] != '\0' ? e->value : NULL;
	}
	return NULL;
}

bool aws_ini_has(const struct aws_ini *ini, const char *section)
{
	for (size_t i = 0; i < ini->count; i++)
		if (strcmp(ini->list[i].section, section) == 0)
			return true;
	return false;
}

void aws_ini_release(struct aws_ini *ini)
{
	for (size_t i = 0; i < ini->count; i++) {
		struct aws_ini_entry *e = &ini->list[i];
		if (e->value != NULL)
			explicit_bzero(e->value, strlen(e->value));
		free(e->section);
		free(e->name);
		free(e->value);
	}
	free(ini->list);
	*ini = (struct aws_ini){0};
}
