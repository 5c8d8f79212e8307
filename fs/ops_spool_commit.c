/* SPDX-License-Identifier: MIT */
/* Commits that a request asks for and waits for: it is answered by the thread that ends the commit, so that no thread
 * of the loop stands still meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsonout.h"
#include "fs/ops_spool.h"
#include "fs/spool/commit.h"

enum { TAGS_MAX = 64 };

enum answer { ANSWER_ATTR, ANSWER_PLAIN, ANSWER_FLUSH };

/* A request that waits for a commit. */
struct waiting {
	fuse_req_t req;
	struct serve *serve;
	enum answer answer;
	uint32_t number;
};

static void reply_done(const struct waiting *w)
{
	struct namespace_node commit;
	if (w->answer != ANSWER_ATTR) {
		fuse_reply_err(w->req, 0);
		return;
	}
	namespace_commit_node(w->serve->ns, w->number, &commit);
	fuse_reply_attr(w->req, &commit.st, 0);
}

/* For who asks how it ended. */
static void keep_result(const struct waiting *w, bool failed, const struct snapshot *made, const struct error *why)
{
	char *reason = !failed && made != NULL ? commit_reason(made) : NULL;
	struct worktable_result result = {.error = failed ? error_text(why) : NULL};

	if (!failed) {
		result.name = made != NULL ? made->name : "";
		result.state = made != NULL ? snapshot_state_name(made->state) : NULL;
		result.reason = reason;
	}
	worktable_set_result(namespace_works(w->serve->ns), w->number, &result);
	free(reason);
}

static void done(void *arg, int status, const struct snapshot *made, const struct error *why)
{
	struct waiting *w = arg;
	bool failed = status < 0;

	if (w->answer != ANSWER_FLUSH)
		keep_result(w, failed, made, why);
	if (failed) {
		faults_tell(w->serve->faults, "committing", why);
		fuse_reply_err(w->req, EIO);
	} else {
		reply_done(w);
	}
	free(w);
}

/* Hands the request over; done() answers it. */
static void start(fuse_req_t req, const struct ops_spool_node *node, enum answer answer, struct spool_request *request)
{
	struct waiting *w = malloc(sizeof(*w));
	if (w == NULL) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*w = (struct waiting){.req = req, .serve = ops_serve(req), .answer = answer, .number = node->number};
	request->done = done;
	request->arg = w;
	spool_commit(w->serve->spool, node->work, request);
}

void ops_spool_commit_touch(fuse_req_t req, const struct ops_spool_node *node)
{
	struct spool_request request = {0};
	start(req, node, ANSWER_ATTR, &request);
}

void ops_spool_commit_change(fuse_req_t req, const struct ops_spool_node *node, uint64_t change)
{
	struct spool_request request = {.change = change};
	start(req, node, ANSWER_FLUSH, &request);
}

/* Fills what the object asks for, borrowing its strings. False when it is not of that form. */
static bool take_wishes(const json_t *o, char *tags[static TAGS_MAX], struct spool_request *ret)
{
	const json_t *description = json_object_get(o, "description"), *list = json_object_get(o, "tags");
	size_t count = list != NULL ? json_array_size(list) : 0;

	if (!json_is_object(o) || (description != NULL && !json_is_string(description) && !json_is_null(description)) ||
		(list != NULL && !json_is_array(list)) || count > TAGS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		const char *tag = json_string_value(json_array_get(list, i));
		if (tag == NULL)
			return false;
		tags[i] = (char *)(uintptr_t)tag;
	}
	ret->description = json_string_value(description);
	ret->tags = tags;
	ret->tag_count = count;
	return true;
}

void ops_spool_commit_set(fuse_req_t req, const struct ops_spool_node *node, const char *value, size_t size)
{
	char *tags[TAGS_MAX];
	struct spool_request request = {0};
	json_t *o = json_loadb(value, size, JSON_REJECT_DUPLICATES, NULL);

	if (take_wishes(o, tags, &request))
		start(req, node, ANSWER_PLAIN, &request);
	else
		fuse_reply_err(req, EINVAL);
	json_decref(o);
}

void ops_spool_commit_result(fuse_req_t req, const struct ops_spool_node *node, size_t size)
{
	struct error err = ERROR_INIT;
	struct buf text = {0};
	int rc = worktable_result(namespace_works(ops_serve(req)->ns), node->number, &text, &err);

	if (rc < 0)
		ops_spool_fail(req, "telling how a commit ended", rc, &err);
	else if (size == 0)
		fuse_reply_xattr(req, text.len);
	else if (text.len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)text.data, text.len);
	buf_release(&text);
}
