/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_CATALOG_MODEL_H
#define TESTS_UNIT_CATALOG_MODEL_H

/*
 * A catalog as simple as can be, in arrays that are searched from end to end,
 * and random calls made to it and to a real one, whose answers must agree. A
 * failure names its seed, with which it comes again.
 */

#include "tests/unit/catalog_conformance.h"

/* Makes `steps` random calls, all decided by `seed`; the fixture's catalog must be empty. */
void catalog_model_run(const struct catalog_fixture *fixture, uint64_t seed, unsigned steps);

#endif
