/* SPDX-License-Identifier: MIT */

/* The suite's frame: a fresh store for each test, what tests share, and the run. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_conformance_parts.h"

int conformance_open(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct error err = ERROR_INIT;

	if (!fx)
		return -1;
	fx->factory = *state;
	if (fx->factory->open(fx->factory->arg, &fx->store, &err) < 0) {
		print_error("%s: %s\n", fx->factory->label, error_text(&err));
		free(fx);
		return -1;
	}
	*state = fx;
	return 0;
}

int conformance_close(void **state)
{
	struct fixture *fx = *state;

	store_close(fx->store);
	if (fx->factory->clean)
		fx->factory->clean(fx->factory->arg);
	free(fx);
	return 0;
}

struct store *store_of(void **state)
{
	return ((struct fixture *)*state)->store;
}

void assert_ok(int rc, const struct error *err)
{
	if (rc != 0)
		fail_msg("%s: %s", error_code_name(rc), error_text(err));
}

void put_text(struct store *s, const char *name, const char *text)
{
	struct error err = ERROR_INIT;

	assert_ok(store_put_mem(s, NULL, name, text, strlen(text), NULL, &err), &err);
}

void assert_holds(struct store *s, const char *name, const char *text)
{
	struct error err = ERROR_INIT;
	struct buf got = {0};

	assert_ok(store_get_all(s, NULL, name, 1 << 20, &got, &err), &err);
	assert_int_equal(got.len, strlen(text));
	if (got.len > 0)
		assert_memory_equal(got.data, text, got.len);
	buf_release(&got);
}

void assert_missing(struct store *s, const char *name)
{
	struct error err = ERROR_INIT;
	uint64_t size;
	char byte;
	size_t n;

	assert_int_equal(store_stat(s, NULL, name, &size, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), name));
	error_clear(&err);
	assert_int_equal(store_get(s, NULL, name, 0, 1, &byte, &n, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), name));
}

int collect(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct names *names = arg;

	(void)err;
	if (names->count == names->cap) {
		names->cap = names->cap ? names->cap * 2 : 64;
		names->list = realloc(names->list, names->cap * sizeof(*names->list));
	}
	(void)snprintf(names->list[names->count++], STORE_NAME_MAX + 1, "%s", name);
	names->total += size;
	return names->stop_after && names->count == names->stop_after ? 77 : 0;
}

void put_order_traps(struct store *s)
{
	/* Not in their order on purpose. '-' and '.' sort before '/', digits and letters after it. */
	static const char *const names[] = {
		"b", "a/b", "a-b", "a0", "a.b", "a/b-c/d", "a/b.c", "a/c/0", "a/c-0", "a1/x", "0"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_text(s, names[i], names[i]);
}

/* Appends a table to `all`; returns how many tests that holds then. */
static size_t append(
	struct CMUnitTest *all, size_t count, const struct CMUnitTest *table, const struct store_factory *factory)
{
	for (; table->name; table++) {
		all[count] = *table;
		all[count++].initial_state = (void *)(uintptr_t)factory;
	}
	return count;
}

int store_conformance_run(const struct store_factory *factory)
{
	struct CMUnitTest all[100];
	size_t count = append(all, 0, conformance_object_tests, factory);

	count = append(all, count, conformance_list_tests, factory);
	count = append(all, count, conformance_call_tests, factory);
	return _cmocka_run_group_tests(factory->label, all, count, NULL, NULL);
}
