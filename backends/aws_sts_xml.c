/* SPDX-License-Identifier: MIT */

/* The XML of STS: credentials, or an error. Bytes from outside: every text and the depth are bounded. */

#include <expat.h>
#include <stdio.h>
#include <string.h>

#include "backends/aws_impl.h"

enum { DEPTH_MOST = 8, TEXT_MOST = 32 << 10, NAME_MOST = 40 };

struct parse {
	XML_Parser parser;
	char path[DEPTH_MOST][NAME_MOST]; /* elements that are open, without their name spaces */
	unsigned depth;
	struct buf text; /* of the innermost one */
	bool stopped;
	struct aws_sts_answer *ret;
};

static void stop(struct parse *p)
{
	p->stopped = true;
	XML_StopParser(p->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct parse *p = arg;
	const char *colon = strrchr(name, ':');

	(void)attributes;
	if (p->stopped || p->depth >= DEPTH_MOST) {
		stop(p);
		return;
	}
	(void)snprintf(p->path[p->depth++], NAME_MOST, "%s", colon != NULL ? colon + 1 : name);
	buf_clear(&p->text);
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
	struct parse *p = arg;

	if (p->text.len + (size_t)len >= TEXT_MOST)
		stop(p);
	else
		buf_put(&p->text, text, (size_t)len);
}

static void keep_fault(const struct parse *p, const char *name, const char *text)
{
	struct aws_sts_answer *r = p->ret;
	bool is_code = strcmp(name, "Code") == 0;
	char *dst = is_code ? r->code : r->message;
	size_t room = is_code ? sizeof(r->code) : sizeof(r->message), n = 0;

	if (!is_code && strcmp(name, "Message") != 0)
		return;
	for (; n + 1 < room && text[n] != '\0'; n++)
		dst[n] = text[n] < ' ' || text[n] > '~' ? '?' : text[n];
	dst[n] = '\0';
}

static void keep_part(const struct parse *p, const char *name)
{
	static const char *const names[] = {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"};
	struct buf *const parts[] = {&p->ret->access, &p->ret->secret, &p->ret->token, &p->ret->expires};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0 && parts[i]->len == 0 && buf_reserve(parts[i], p->text.len))
			buf_put(parts[i], p->text.data, p->text.len);
	}
}

static void XMLCALL on_end(void *arg, const XML_Char *full_name)
{
	struct parse *p = arg;

	(void)full_name;
	if (p->stopped || p->depth == 0) /* some calls still follow a stop */
		return;
	const char *name = p->path[p->depth - 1], *above = p->depth >= 2 ? p->path[p->depth - 2] : "";
	buf_put_u8(&p->text, 0);
	if (buf_failed(&p->text)) {
		stop(p);
		return;
	}
	if (strcmp(above, "Credentials") == 0)
		keep_part(p, name);
	else if (strcmp(above, "Error") == 0 && strcmp(p->path[0], "ErrorResponse") == 0)
		keep_fault(p, name, (const char *)p->text.data);
	buf_clear(&p->text);
	p->depth--;
}

/* A document type is none of theirs, and the door for entities that grow. */
static void XMLCALL on_doctype(
	void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public, int subset)
{
	(void)name, (void)system, (void)public, (void)subset;
	stop(arg);
}

static bool part_failed(const struct aws_sts_answer *a)
{
	return buf_failed(&a->access) || buf_failed(&a->secret) || buf_failed(&a->token) || buf_failed(&a->expires);
}

bool aws_sts_parse(const void *text, size_t len, struct aws_sts_answer *ret)
{
	struct parse p = {.ret = ret};

	*ret = (struct aws_sts_answer){.code = ""};
	p.parser = len > 0 && len <= AWS_TOKEN_MOST ? XML_ParserCreate(NULL) : NULL;
	/* All room at once: what grows leaves copies of keys behind. */
	if (p.parser == NULL || !buf_reserve(&p.text, TEXT_MOST + 1)) {
		XML_ParserFree(p.parser);
		return false;
	}
	XML_SetUserData(p.parser, &p);
	XML_SetElementHandler(p.parser, on_start, on_end);
	XML_SetCharacterDataHandler(p.parser, on_text);
	XML_SetStartDoctypeDeclHandler(p.parser, on_doctype);
	bool ok = XML_Parse(p.parser, text, (int)len, XML_TRUE) == XML_STATUS_OK && !p.stopped;
	XML_ParserFree(p.parser);
	buf_wipe(&p.text);
	return ok && !part_failed(ret) && (ret->code[0] != '\0' || ret->access.len > 0);
}

void aws_sts_answer_release(struct aws_sts_answer *a)
{
	buf_wipe(&a->access);
	buf_wipe(&a->secret);
	buf_wipe(&a->token);
	buf_wipe(&a->expires);
	*a = (struct aws_sts_answer){.code = ""};
}
