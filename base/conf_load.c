/* SPDX-License-Identifier: MIT */
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/conf_values.h"
#include "base/fileio.h"

/*
 * inih splits lines into names and values. It cuts lines at 200 bytes and
 * names of sections at 50, and joins an indented line to the one before it; so
 * it is given lines without their indent, and what would be cut, and all
 * sections, are read here from the line itself.
 */

enum { FILE_MAX_BYTES = 1024 * 1024 };

struct reader {
	const char *path;
	const char *next; /* what is not read yet, up to a NUL */
	char *line;       /* the line at hand without spaces around it */
	int number;       /* of the line at hand, from 1 */
	bool is_cut;      /* inih has only the beginning of it */
	struct conf *conf;
	struct conf_dataset *dataset; /* the section at hand; NULL: [repository], or none */
	bool in_repository;
	uint32_t seen; /* keys of this section that stood, by their place in conf_keys */
	uint32_t seen_repository;
	uint32_t warned; /* likewise, keys that were warned about */
	struct log *log;
	int rc;
	struct error *err;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The range from `start` to `end` without spaces around it, as a fresh string. */
static char *trimmed(const char *start, const char *end)
{
	while (start < end && is_space(*start))
		start++;
	while (end > start && is_space(end[-1]))
		end--;
	return strndup(start, (size_t)(end - start));
}

static struct conf_dataset *dataset_add(struct reader *r, const char *name)
{
	struct conf *conf = r->conf;
	struct conf_dataset *grown = reallocarray(conf->datasets, (size_t)conf->dataset_count + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	conf->datasets = grown;
	struct conf_dataset *dataset = &grown[conf->dataset_count];
	*dataset = *conf_dataset(NULL, name); /* the defaults */
	dataset->name = strdup(name);
	if (!dataset->name)
		return NULL;
	conf->dataset_count++;
	return dataset;
}

static int enter_dataset(struct reader *r, const char *name)
{
	if (!conf_dataset_name_ok(name))
		return error_set(r->err, ERR_USAGE, "%s:%d: no dataset can be called '%s'", r->path, r->number, name);
	for (unsigned i = 0; i < r->conf->dataset_count; i++) {
		if (strcmp(r->conf->datasets[i].name, name) == 0)
			return error_set(r->err, ERR_USAGE, "%s:%d: there is a second section [dataset %s]; join them",
				r->path, r->number, name);
	}
	r->dataset = dataset_add(r, name);
	r->in_repository = false;
	r->seen = 0;
	return r->dataset ? 0 : error_no_memory(r->err, r->path);
}

static int enter_named(struct reader *r, const char *name)
{
	static const char dataset[] = "dataset";
	size_t n = sizeof(dataset) - 1;
	if (strcmp(name, "repository") == 0) {
		r->dataset = NULL;
		r->in_repository = true;
		return 0;
	}
	if (strncmp(name, dataset, n) == 0 && is_space(name[n]))
		return enter_dataset(r, name + n + strspn(name + n, " \t"));
	return error_set(r->err, ERR_USAGE, "%s:%d: unknown section [%s]; there are [repository] and [dataset NAME]",
		r->path, r->number, name);
}

/* A line "[name]", after which only a comment may stand. */
static int enter_section(struct reader *r)
{
	const char *close = strchr(r->line, ']');
	const char *rest = close ? close + 1 + strspn(close + 1, " \t") : "";
	if (!close || (*rest != 0 && *rest != ';' && *rest != '#'))
		return error_set(r->err, ERR_USAGE, "%s:%d: a section is written [repository] or [dataset NAME]",
			r->path, r->number);
	char *name = trimmed(r->line + 1, close);
	if (!name)
		return error_no_memory(r->err, r->path);
	int rc = enter_named(r, name);
	free(name);
	return rc;
}

/* inih asks for its next line here. NULL ends the file, also after an error. */
static char *next_line(char *dst, int cap, void *stream)
{
	struct reader *r = stream;
	if (r->rc < 0 || *r->next == 0)
		return NULL;
	const char *end = strchrnul(r->next, '\n');
	free(r->line);
	r->line = trimmed(r->next, end);
	r->next = *end ? end + 1 : end;
	r->number++;
	if (!r->line)
		r->rc = error_no_memory(r->err, r->path);
	else if (r->line[0] == '[')
		r->rc = enter_section(r);
	if (r->rc < 0)
		return NULL;
	size_t len = r->line[0] == '[' ? 0 : strlen(r->line);
	size_t room = (size_t)cap - 2;
	r->is_cut = len > room;
	if (r->is_cut)
		len = room;
	memcpy(dst, r->line, len);
	memcpy(dst + len, "\n", 2);
	return dst;
}

/* The value of a line, by inih's rules: from the equals sign to the end or to a semicolon after a space. */
static const char *value_range(const char *line, const char **ret_end)
{
	const char *start = line + strcspn(line, "=:");
	start += *start != 0;
	const char *end = start;
	while (*end && !(*end == ';' && end > start && is_space(end[-1])))
		end++;
	*ret_end = end;
	return start;
}

/* The value of a line that was too long for inih. */
static char *long_value(const char *line)
{
	const char *end, *start = value_range(line, &end);
	return trimmed(start, end);
}

/*
 * A command that is cut at ' ;' is another command, and may well say yes to everything. Further off stands what is
 * meant as a comment.
 */
static void warn_cut(struct reader *r, const struct conf_key *key)
{
	const char *end;
	const char *start = value_range(r->line, &end);
	bool is_apart = end - start >= 2 && is_space(end[-2]);
	if (key->is_command && *end == ';' && !is_apart)
		log_warn(r->log,
			"%s:%d: the command of '%s' ends before ' ;', which begins a comment: write ';' without a "
			"space before it, or put two spaces before the comment",
			r->path, r->number, key->name);
}

static void warn_pending(struct reader *r, const struct conf_key *key, const char *value)
{
	uint32_t bit = UINT32_C(1) << (key - conf_keys);
	if (!key->is_pending || (r->warned & bit) || (key->harmless && strcmp(key->harmless, value) == 0))
		return;
	r->warned |= bit;
	log_warn(r->log, "%s:%d: this version does not act on '%s' yet", r->path, r->number, key->name);
}

static int set_value(struct reader *r, const struct conf_key *key, const char *value)
{
	void *section = r->dataset ? (void *)r->dataset : (void *)r->conf;
	uint32_t *seen = r->dataset ? &r->seen : &r->seen_repository;
	uint32_t bit = UINT32_C(1) << (key - conf_keys);
	if ((*seen & bit) && !key->repeats)
		return error_set(r->err, ERR_USAGE, "%s:%d: '%s' stands a second time in this section; remove one",
			r->path, r->number, key->name);
	*seen |= bit;
	int rc = key->parse(key, value, section);
	if (rc == ERR_USAGE)
		return error_set(r->err, rc, "%s:%d: '%s' cannot be '%s'; expected %s", r->path, r->number, key->name,
			value, key->expected);
	if (rc < 0)
		return error_no_memory(r->err, r->path);
	warn_pending(r, key, value);
	warn_cut(r, key);
	return 0;
}

static int take_value(struct reader *r, const char *name, const char *value)
{
	enum conf_scope scope = r->dataset ? CONF_DATASET : CONF_REPOSITORY;
	const struct conf_key *key = conf_key_find(scope, name);
	if (!key)
		return error_set(r->err, ERR_USAGE, "%s:%d: unknown key '%s'", r->path, r->number, name);
	if (key->scope != scope || (!r->dataset && !r->in_repository))
		return error_set(r->err, ERR_USAGE, "%s:%d: '%s' belongs into a section %s", r->path, r->number, name,
			key->scope == CONF_DATASET ? "[dataset NAME]" : "[repository]");
	if (!r->is_cut)
		return set_value(r, key, value);
	char *whole = long_value(r->line);
	int rc = whole ? set_value(r, key, whole) : error_no_memory(r->err, r->path);
	free(whole);
	return rc;
}

static int on_value(void *user, const char *section, const char *name, const char *value)
{
	(void)section;
	struct reader *r = user;
	r->rc = take_value(r, name, value);
	return r->rc == 0;
}

static int read_text(const char *path, const char *text, struct log *log, struct conf *conf, struct error *err)
{
	struct reader r = {.path = path, .next = text, .conf = conf, .log = log, .err = err};
	static const char mark[] = "\xef\xbb\xbf"; /* some editors put it before UTF-8 */
	if (strncmp(text, mark, sizeof(mark) - 1) == 0)
		r.next += sizeof(mark) - 1;
	int bad_line = ini_parse_stream(next_line, &r, on_value, &r);
	free(r.line);
	if (bad_line < 0)
		return error_no_memory(err, path);
	/* inih names the first line that it or on_value() refused; an error of ours may lie behind one of its own. */
	if (bad_line > 0 && (r.rc == 0 || bad_line < r.number))
		return error_set(err, ERR_USAGE, "%s:%d: expected 'key = value'", path, bad_line);
	return r.rc;
}

/* The file as a C string in `ret`. */
static int read_file(const char *path, struct buf *ret, struct error *err)
{
	int rc = fileio_slurp(path, FILE_MAX_BYTES, ret, err);
	if (rc < 0)
		return rc;
	bool has_nul = ret->len > 0 && memchr(ret->data, 0, ret->len) != NULL;
	buf_put_u8(ret, 0);
	if (!has_nul && !buf_failed(ret))
		return 0;
	buf_release(ret);
	return has_nul ? error_set(err, ERR_USAGE, "'%s' is no text file: it holds a zero byte", path)
		       : error_no_memory(err, path);
}

/* Reads one file. A missing one is ERR_NOT_FOUND. */
static int load_file(const char *path, struct log *log, struct conf *conf, struct error *err)
{
	struct buf text = {0};
	int rc = read_file(path, &text, err);
	if (rc < 0)
		return rc;
	rc = read_text(path, (const char *)text.data, log, conf, err);
	buf_release(&text);
	if (rc < 0)
		return rc;
	conf->path = strdup(path);
	return conf->path ? 0 : error_no_memory(err, path);
}

/* $XDG_CONFIG_HOME/drfs/drfs.conf, else below ~/.config. Caller frees; NULL without memory or either variable. */
static char *user_place(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	if (xdg && xdg[0] == '/')
		return fileio_format("%s/drfs/drfs.conf", xdg);
	return home && home[0] == '/' ? fileio_format("%s/.config/drfs/drfs.conf", home) : NULL;
}

/* The first default place that has a file; without one `conf` stays as it is. */
static int load_default(struct log *log, struct conf *conf, struct error *err)
{
	int rc = ERR_NOT_FOUND;
	char *place = user_place();
	if (place)
		rc = load_file(place, log, conf, err);
	free(place);
	if (rc == ERR_NOT_FOUND)
		rc = load_file("/etc/drfs/drfs.conf", log, conf, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	error_clear(err);
	return 0;
}

int conf_load(const char *path, struct log *log, struct conf **ret_conf, struct error *err)
{
	int rc;
	struct conf *conf = calloc(1, sizeof(*conf));
	if (!conf)
		return error_no_memory(err, "the configuration");
	conf->min_copies = 1;
	const char *variable = getenv("DRFS_CONFIG");
	const char *named = path ? path : variable && variable[0] ? variable : NULL;
	if (named) {
		rc = load_file(named, log, conf, err);
		if (rc == ERR_NOT_FOUND)
			rc = error_set(err, ERR_USAGE, "there is no configuration file '%s'", named);
	} else {
		rc = load_default(log, conf, err);
	}
	if (rc < 0)
		conf_free(conf);
	else
		*ret_conf = conf;
	return rc;
}
