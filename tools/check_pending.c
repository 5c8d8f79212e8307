/* SPDX-License-Identifier: MIT */
#include "archive/check.h"

int check_run(
	struct repo *repo, const struct check_options *options, struct check_result *ret_result, struct error *err)
{
	(void)repo;
	(void)options;
	(void)ret_result;
	return error_set(err, ERR_UNSUPPORTED, "check is not built yet");
}
