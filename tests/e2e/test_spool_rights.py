# SPDX-License-Identifier: MIT
"""Modes, owners and ACLs in the spool, for several users: as on a local file system."""

import os
import stat

import pytest
from contract import NOBODY, open_to_all, read, shell
from spooling import assert_same, commit, configure, dataset

pytestmark = [pytest.mark.usefixtures("fuse"),
              pytest.mark.skipif(os.geteuid() != 0, reason="several users take root")]
AS_NOBODY = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"


@pytest.fixture
def places(fresh_repo):
    """A working copy in a mount for all users, and a plain folder."""
    with open_to_all() as folder:
        repo = fresh_repo(folder + "/drfs")
        repo.drfs("init")
        configure(repo, files="commit = manual")
        os.mkdir(folder + "/plain")
        with repo.mount("-o", "allow_other", where=folder + "/mnt") as mnt:
            work = dataset(mnt, "files")
            for place in (work, folder + "/plain"):
                os.chmod(place, 0o777)
            yield repo, mnt, work, folder + "/plain"


def in_both(places, script):
    """Runs it in both; what it prints is alike."""
    _, _, work, plain = places
    printed = [shell(script, cwd=place) for place in (work, plain)]
    assert printed[0] == printed[1], printed[0] + "\n--- a plain folder:\n" + printed[1]
    return printed[0]


def commit_and_compare(places):
    repo, mnt, work, plain = places
    assert_same(work, plain, times=False)
    commit(work)
    assert_same(work, mnt + "/files/latest")


def test_the_umask_counts_unless_a_default_acl_does(places):
    in_both(places, """
        umask 027; mkdir d; touch d/f; mkfifo d/p; ln -s f d/l; mkdir a; setfacl -d -m u:1234:rwx,g::rwx,m::rwx a
        umask 077; touch a/f; mkdir a/sub; touch a/sub/f; mkfifo a/p; cp d/f a/copied; setfacl -m u:77:r a/copied
        chmod 750 a/f a/copied
        find . -printf '%P %m %y\\n' | sort; find . ! -type l | sort | getfacl -
    """)
    commit_and_compare(places)


def test_set_id_bits_go_when_somebody_writes(places):
    script = """
        for how in append rdwr truncate chown; do echo x > $how; chmod 6777 $how; done
        %s bash -c 'echo more >> append; echo more 1<> rdwr; truncate -s 1 truncate'
        chown 0:55 chown
        stat -c '%%n %%a %%U %%g %%s' *
    """ % AS_NOBODY
    out = in_both(places, script)
    assert "append 777" in out
    commit_and_compare(places)


def test_set_id_bits_go_at_once_by_the_hand_of_the_owner(places):
    # stat alone: what the kernel remembers of a file must not outlive the write, whatever it asks for.
    script = """
        cp /bin/true p; chown %s:%s p; chmod 4755 p; setpriv --reuid=%s --regid=%s --clear-groups bash -c '
            look() { echo "$1: $(stat -c %%a p)"; chmod 6755 p; stat -c %%a p > /dev/null; }
            look before
            echo q >> p; look append
            echo q 1<> p; look rdwr
            truncate -s 100 p; look truncate
            truncate -s 100 p; look same-size
            fallocate -l 1000 p; look fallocate
            python3 -c "import os; os.pwrite(os.open(\"p\", os.O_WRONLY), b\"x\", 50)"; look pwrite
            head -c 10 /bin/true > p; look O_TRUNC
            dd if=/bin/true of=p bs=4k count=1 conv=notrunc status=none; look dd
            cat p > /dev/null; look read'
        echo r >> p; stat -c '%%a' p; truncate -s 5 p; : > p; stat -c '%%a' p
    """ % (NOBODY, NOBODY, NOBODY, NOBODY)
    out = in_both(places, script)
    assert "append: 755" in out and "O_TRUNC: 755" in out and out.endswith("6755\n6755\n")
    commit_and_compare(places)


def test_a_capability_goes_with_any_change(places):
    give = "setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 p"
    script = f"""
        look() {{ echo "$1: $(getfattr -n security.capability p 2> /dev/null | grep -c =)"; {give}; }}
        cp /bin/true p; look before
        echo q >> p; look append
        echo q 1<> p; look rdwr
        truncate -s 100 p; look truncate
        fallocate -l 1000 p; look fallocate
        : > p; look O_TRUNC
        chown 77 p; look chown
        chown 77 p; look chown-again
        chmod 700 p; look chmod
        cat p; look read
    """
    out = in_both(places, script)
    assert "append: 0" in out and "read: 1" in out
    commit_and_compare(places)
    # And one that a snapshot brought along.
    assert "capability" not in in_both(places, "echo q >> p; getfattr -d -m - p; stat -c '%a' p")


def test_folders_hand_their_group_down(places):
    in_both(places, f"""
        mkdir d; chgrp 55 d; chmod 2777 d; {AS_NOBODY} bash -c 'cd d; mkdir sub; touch f; touch sub/g'
        find . -printf '%P %m %G %U\\n' | sort
    """)
    commit_and_compare(places)


def test_who_may_not_is_told_so(places):
    out = in_both(places, f"""
        echo x > f; chmod 644 f; mkdir d; mkdir -m 1777 sticky; echo y > sticky/mine; echo z > hidden; chmod 600 hidden
        {AS_NOBODY} bash -c '
            for c in "echo no > f" "rm -f d/none && touch d/new" "rm -f sticky/mine" "cat hidden" "chmod 777 f" \\
                     "chown 1 f" "mv sticky/mine d/" "mkdir d/sub" "ln f d/l" "touch own" "rm own" \\
                     "setfattr -n user.x -v y f"; do
                eval "$c" > /dev/null 2>&1; echo "$c: $?"
            done; true'
        cat f
    """)
    assert out.endswith("x\n") and "touch own: 0" in out and out.count(": 1") == 10
    commit_and_compare(places)


def test_other_users_commit_through_dot_commit(places):
    repo, mnt, work, _ = places
    shell(f"{AS_NOBODY} bash -c 'echo theirs > {work}/f && touch {work}/.commit'")
    assert read(mnt + "/files/latest/f") == "theirs\n"
    assert stat.S_IMODE(os.stat(work + "/.commit").st_mode) == 0o666
    assert os.stat(mnt + "/files/latest/f").st_uid == NOBODY


def test_devices_and_sockets_are_kept(places):
    in_both(places, """
        mknod c c 1 3; mknod b b 7 200; mkfifo p; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("s")'
        chmod 640 c b p s; find . -printf '%P %m %y\\n' | sort; stat -c '%n %t %T' c b
    """)
    commit_and_compare(places)
