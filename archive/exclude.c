/* SPDX-License-Identifier: MIT */
#include "archive/exclude.h"

#include <stdlib.h>
#include <string.h>

struct pattern {
	char *text;
	bool negated, dirs_only, anchored, rooted;
};

struct exclude {
	struct pattern *list;
	size_t count;
};

int exclude_new(char *const *patterns, size_t count, struct exclude **ret_exclude, struct error *err)
{
	struct exclude *e = calloc(1, sizeof(*e));

	if (e == NULL || (e->list = calloc(count == 0 ? 1 : count, sizeof(*e->list))) == NULL)
		goto fail;
	for (size_t i = 0; i < count; i++) {
		const char *text = patterns[i];
		struct pattern *p = &e->list[e->count];
		if (text[0] == '\0' || text[0] == '#')
			continue;
		p->negated = text[0] == '!';
		text += p->negated ? 1 : 0;
		size_t len = strlen(text);
		p->dirs_only = len > 1 && text[len - 1] == '/';
		len -= p->dirs_only ? 1 : 0;
		p->anchored = memchr(text, '/', len) != NULL;
		p->rooted = text[0] == '/';
		if (p->rooted) {
			text++;
			len--;
		}
		p->text = strndup(text, len);
		if (p->text == NULL)
			goto fail;
		e->count++;
	}
	*ret_exclude = e;
	return 0;
fail:
	exclude_free(e);
	return error_no_memory(err, "exclude patterns");
}

void exclude_free(struct exclude *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; e->list != NULL && i < e->count; i++)
		free(e->list[i].text);
	free(e->list);
	free(e);
}

/* Whether c is in the class that begins after '['. *ret_end: behind its ']'; NULL when it never ends. */
static bool in_class(const char *p, char c, const char **ret_end)
{
	bool negated = *p == '!' || *p == '^', found = false;
	const char *start = p += negated ? 1 : 0;

	*ret_end = NULL;
	for (; *p != '\0' && (*p != ']' || p == start); p++) {
		if (p[1] == '-' && p[2] != ']' && p[2] != '\0') {
			found = found ||
				((unsigned char)c >= (unsigned char)p[0] && (unsigned char)c <= (unsigned char)p[2]);
			p += 2;
		} else {
			found = found || *p == c;
		}
	}
	if (*p == ']')
		*ret_end = p + 1;
	return found != negated && c != '/';
}

static bool glob(const char *p, const char *s, unsigned depth);

/* p stands on a star. */
static bool glob_star(const char *p, const char *s, unsigned depth)
{
	bool deep = p[1] == '*';

	p += deep ? 2 : 1;
	if (deep && *p == '/' && glob(p + 1, s, depth + 1)) /* "**" and its slash may stand for nothing */
		return true;
	for (;; s++) {
		if (glob(p, s, depth + 1))
			return true;
		if (*s == '\0' || (*s == '/' && !deep))
			return false;
	}
}

static bool glob(const char *p, const char *s, unsigned depth)
{
	if (depth > 64) /* more stars than anyone means; the cost is bounded */
		return false;
	for (; *p != '\0'; p++, s++) {
		const char *end = NULL;
		if (*p == '*')
			return glob_star(p, s, depth);
		if (*s == '\0')
			return false;
		if (*p == '[') {
			bool fits = in_class(p + 1, *s, &end);
			if (end != NULL && !fits)
				return false;
			if (end != NULL) {
				p = end - 1;
				continue;
			}
		}
		if (*p == '?' && *s != '/')
			continue;
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (*p != *s)
			return false;
	}
	return *s == '\0';
}

bool exclude_has_rooted(const struct exclude *e)
{
	for (size_t i = 0; e != NULL && i < e->count; i++)
		if (e->list[i].rooted)
			return true;
	return false;
}

bool exclude_match(const struct exclude *e, const char *path, const char *absolute, bool is_dir)
{
	bool out = false;

	if (e == NULL)
		return false;
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	const char *whole = absolute == NULL ? path : absolute + strspn(absolute, "/");
	for (size_t i = 0; i < e->count; i++) {
		const struct pattern *p = &e->list[i];
		if (p->dirs_only && !is_dir)
			continue;
		if (glob(p->text, p->anchored ? path : name, 0) || (p->rooted && glob(p->text, whole, 0)))
			out = !p->negated;
	}
	return out;
}
