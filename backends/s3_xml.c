/* SPDX-License-Identifier: MIT */

#include "backends/s3_xml.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { DEPTH_MOST = 8, TEXT_MOST = 8192, NAME_MOST = 40 };

/* Where the parser stands. */
struct parse {
	XML_Parser parser;
	char path[DEPTH_MOST][NAME_MOST]; /* elements that are open, without their name spaces */
	unsigned depth;
	struct buf text; /* of the innermost one */
	bool too_much;
	/* What is looked for: called at the end of each element. */
	void (*end)(struct parse *p, const char *name, const char *text);
	void *arg;
};

static void XMLCALL start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct parse *p = arg;
	const char *colon = strrchr(name, ':');

	(void)attributes;
	if (p->depth >= DEPTH_MOST) {
		p->too_much = true;
		XML_StopParser(p->parser, XML_FALSE);
		return;
	}
	snprintf(p->path[p->depth++], NAME_MOST, "%s", colon != NULL ? colon + 1 : name);
	buf_clear(&p->text);
}

static void XMLCALL characters(void *arg, const XML_Char *text, int len)
{
	struct parse *p = arg;

	if (p->text.len + (size_t)len > TEXT_MOST) {
		p->too_much = true;
		XML_StopParser(p->parser, XML_FALSE);
		return;
	}
	buf_put(&p->text, text, (size_t)len);
}

static void XMLCALL end(void *arg, const XML_Char *name)
{
	struct parse *p = arg;

	(void)name;
	buf_put_u8(&p->text, 0);
	if (buf_failed(&p->text))
		XML_StopParser(p->parser, XML_FALSE);
	else
		p->end(p, p->path[p->depth - 1], (const char *)p->text.data);
	buf_clear(&p->text);
	p->depth--;
}

/* A document type is none of theirs, and the door for entities that grow. */
static void XMLCALL doctype(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public, int subset)
{
	struct parse *p = arg;

	(void)name, (void)system, (void)public, (void)subset;
	p->too_much = true;
	XML_StopParser(p->parser, XML_FALSE);
}

static bool run(struct parse *p, const void *text, size_t len)
{
	p->parser = XML_ParserCreate(NULL);
	if (p->parser == NULL || len > INT32_MAX) {
		XML_ParserFree(p->parser);
		return false;
	}
	XML_SetUserData(p->parser, p);
	XML_SetElementHandler(p->parser, start, end);
	XML_SetCharacterDataHandler(p->parser, characters);
	XML_SetStartDoctypeDeclHandler(p->parser, doctype);
	bool ok = XML_Parse(p->parser, text, (int)len, XML_TRUE) == XML_STATUS_OK && !p->too_much;
	XML_ParserFree(p->parser);
	buf_release(&p->text);
	return ok;
}

/* ---- errors ---- */

static void keep(char *dst, size_t room, const char *text)
{
	size_t n = 0;

	for (; n + 1 < room && text[n] != '\0'; n++)
		dst[n] = (unsigned char)text[n] < ' ' || text[n] == 0x7f ? '?' : text[n];
	dst[n] = '\0';
}

static void fault_end(struct parse *p, const char *name, const char *text)
{
	struct s3_fault *f = p->arg;

	if (p->depth != 2 || strcmp(p->path[0], "Error") != 0)
		return;
	if (strcmp(name, "Code") == 0)
		keep(f->code, sizeof(f->code), text);
	else if (strcmp(name, "Message") == 0)
		keep(f->message, sizeof(f->message), text);
	else if (strcmp(name, "Region") == 0)
		keep(f->region, sizeof(f->region), text);
}

bool s3_xml_fault(const void *text, size_t len, struct s3_fault *ret)
{
	struct parse p = {.end = fault_end, .arg = ret};

	*ret = (struct s3_fault){0};
	return len > 0 && run(&p, text, len) && ret->code[0] != '\0';
}

/* ---- a page of a listing ---- */

struct page {
	struct s3_page *ret;
	s3_object_fn *fn;
	void *arg;
	struct error *err;
	int result; /* of fn, or of what is wrong */
	bool is_page;
	char key[S3_KEY_MAX + 1];
	bool has_key, has_size;
	uint64_t size;
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes encoding-type=url. False: it is damaged, or longer than a key may be. */
static bool decode(const char *text, char dst[static S3_KEY_MAX + 1])
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		char c = *text == '+' ? ' ' : *text;
		if (c == '%') {
			int high = hex(text[1]), low = high < 0 ? -1 : hex(text[2]);
			if (low < 0 || high + low == 0)
				return false;
			c = (char)(high * 16 + low);
			text += 2;
		}
		if (n == S3_KEY_MAX)
			return false;
		dst[n++] = c;
	}
	dst[n] = '\0';
	return true;
}

static void page_fail(struct parse *p, int result)
{
	struct page *page = p->arg;

	page->result = result;
	XML_StopParser(p->parser, XML_FALSE);
}

static void object_end(struct parse *p)
{
	struct page *page = p->arg;

	if (!page->has_key || !page->has_size)
		page_fail(p, error_set(page->err, ERR_IO, "a listing names an object without its key or size"));
	else if (page->result == 0 && (page->result = page->fn(page->arg, page->key, page->size, page->err)) != 0)
		XML_StopParser(p->parser, XML_FALSE);
	page->has_key = page->has_size = false;
}

static void object_field(struct parse *p, const char *name, const char *text)
{
	struct page *page = p->arg;
	char *behind;

	if (strcmp(name, "Key") == 0) {
		page->has_key = decode(text, page->key);
	} else if (strcmp(name, "Size") == 0) {
		page->size = strtoull(text, &behind, 10);
		page->has_size = *text >= '0' && *text <= '9' && *behind == '\0';
	}
}

static void page_end(struct parse *p, const char *name, const char *text)
{
	struct page *page = p->arg;

	if (strcmp(p->path[0], "ListBucketResult") != 0)
		return;
	page->is_page = true;
	if (p->depth == 3 && strcmp(p->path[1], "Contents") == 0)
		object_field(p, name, text);
	else if (p->depth == 2 && strcmp(name, "Contents") == 0)
		object_end(p);
	else if (p->depth == 2 && strcmp(name, "IsTruncated") == 0)
		page->ret->truncated = strcmp(text, "true") == 0;
	else if (p->depth == 2 && strcmp(name, "NextContinuationToken") == 0)
		snprintf(page->ret->token, sizeof(page->ret->token), "%s", text);
}

int s3_xml_page(const void *text, size_t len, struct s3_page *ret, s3_object_fn *fn, void *arg, struct error *err)
{
	struct page page = {.ret = ret, .fn = fn, .arg = arg, .err = err};
	struct parse p = {.end = page_end, .arg = &page};

	*ret = (struct s3_page){0};
	bool ok = run(&p, text, len);
	if (page.result != 0)
		return page.result;
	return ok && page.is_page ? 0 : error_set(err, ERR_IO, "what should be a listing is none");
}
