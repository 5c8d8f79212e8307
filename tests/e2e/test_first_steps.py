# SPDX-License-Identifier: MIT
"""What meets who follows the README for the first time: what is said, and what is not refused without need."""

import os
from pathlib import Path

import pytest

OK, FAILED, USAGE = 0, 1, 2


# ---- restore: where to ----

@pytest.mark.parametrize('dest', ['{here}/srv/uploads', 'srv/uploads', 'new', './new/', 'up/../zz', '{here}/up/./../zz'])
def test_a_destination_that_is_not_there_yet_cannot_hold_the_repository(repo, source, dest):
    repo.drfs('backup', 'files', f'{source}/')
    dest = dest.format(here=repo.folder)
    repo.drfs('restore', 'files/latest', dest, '--delete', cwd=repo.folder)
    assert Path(repo.folder, os.path.normpath(dest), 'a.txt').read_text() == 'alpha\n'
    assert 'no fault' in repo.drfs('check')


@pytest.mark.parametrize('dest', ['.', '{here}', 'up/..', 'up/../', 'repo/..', '/'])
def test_a_destination_that_holds_the_repository_is_not_deleted_in(repo, source, dest):
    repo.drfs('backup', 'files', f'{source}/')
    done = repo.cli('restore', 'files/latest', dest.format(here=repo.folder), '--delete', code=USAGE, cwd=repo.folder)
    assert 'holds the repository' in done.stderr
    assert not Path(repo.folder, 'a.txt').exists()


@pytest.mark.parametrize('dest', ['repo/new', 'repo/a/../b', 'up/../repo/new', '{here}/repo/new/deeper'])
def test_a_new_folder_in_the_repository_is_no_destination(repo, source, dest):
    repo.drfs('backup', 'files', f'{source}/')
    done = repo.cli('restore', 'files/latest', dest.format(here=repo.folder), code=USAGE, cwd=repo.folder)
    assert 'in the repository' in done.stderr
