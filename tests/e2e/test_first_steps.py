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


# ---- the configuration ----

@pytest.mark.parametrize('line', ['check = echo bad >&2 ; exit 1', 'alert = a ; b', f'check = {"true && " * 40} true ; false'])
def test_a_command_that_a_comment_cuts_is_told_by_file_and_line(repo, tmp_path, line):
    config = tmp_path / 'drfs.conf'
    config.write_text(f'[dataset db]\nrpo = 1h ; a comment\n{line}\n')
    said = repo.cli('-c', str(config), 'snapshots').stderr
    assert f"{config}:3: the command of '{line[:5]}' ends before ' ;'" in said and ':2:' not in said
    config.write_text('[dataset db]\n; a comment\ncheck = { echo bad; exit 1; } >&2\n')
    assert 'ends before' not in repo.cli('-c', str(config), 'snapshots').stderr
