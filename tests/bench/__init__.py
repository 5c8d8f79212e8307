# SPDX-License-Identifier: MIT
"""The benchmark of drfs beside restic and borg: tests/bench/run --help."""
