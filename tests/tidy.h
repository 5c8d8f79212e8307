/* SPDX-License-Identifier: MIT */
/*
 * Included before every source while clang-tidy reads it, by tests/run alone: tells its analyzer, which sees one file
 * at a time, what base/error.h promises, that an error is always a negative number. Without it every result that is
 * only written on success looks unset. base/error.c itself is read without this file.
 */
#pragma once

#include "base/error.h"

/* Hands a status on as one that is negative. */
static inline int tidy_negative(int status)
{
	if (status >= 0)
		__builtin_unreachable();
	return status;
}

#define error_set(...) tidy_negative(error_set(__VA_ARGS__))
#define error_set_errno(...) tidy_negative(error_set_errno(__VA_ARGS__))
#define error_wrap(...) tidy_negative(error_wrap(__VA_ARGS__))
#define error_no_memory(...) tidy_negative(error_no_memory(__VA_ARGS__))
