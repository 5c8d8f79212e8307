# SPDX-License-Identifier: MIT
"""Real S3 servers on loopback, started for a test run and stopped with it: Ceph's radosgw, and OpenStack Swift's s3api."""

import os
import pwd
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

START_SECONDS = 90


def free_ports(count):
    """Ports nobody listens on now; all taken at once, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]
    finally:
        for s in held:
            s.close()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


class Server:
    """What both share: a folder, processes, an endpoint, and keys that are good there."""

    programs = ()

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.endpoint = None
        self.keys = ("", "")
        for name in ("log", "run"):
            os.makedirs(f"{folder}/{name}", exist_ok=True)

    @classmethod
    def missing(cls):
        """The first program that is not installed, or None."""
        return next((p for p in cls.programs if shutil.which(p) is None), None)

    def run(self, name, *command, env=None):
        with open(f"{self.folder}/log/{name}.out", "w", encoding="utf-8") as out:
            p = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)
        self.processes.append((name, p))
        return p

    def call(self, name, *command, env=None):
        with open(f"{self.folder}/log/{name}.out", "w", encoding="utf-8") as out:
            subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=True, timeout=60, env=env)

    def wait(self, url=None):
        """Until the endpoint answers anything; a server that died meanwhile says so."""
        url = url or self.endpoint
        end = time.monotonic() + START_SECONDS
        while not answers(url):
            for name, p in self.processes:
                assert p.poll() is None, f"{name} ended: see {self.folder}/log"
            assert time.monotonic() < end, f"{url} does not answer: see {self.folder}/log"
            time.sleep(0.1)

    def stop(self):
        for _, p in reversed(self.processes):
            p.terminate()
        for _, p in reversed(self.processes):
            try:
                p.wait(timeout=10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.processes = []

    def env(self):
        """What a client's environment needs."""
        access, secret = self.keys
        return {
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


CEPH_CONF = """[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon2}/0,v1:127.0.0.1:{mon1}/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {dir}/run
admin_socket = {dir}/run/$name.asok
log_file = {dir}/log/$name.log
mon_cluster_log_file = {dir}/log/cluster.log
pid_file =
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = {low}
ms_bind_port_max = {high}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 1
setuser_match_path =
[mon.a]
mon_data = {dir}/mon
[osd.0]
osd_data = {dir}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_class_load_list = *
osd_class_default_list = *
osd_mclock_skip_benchmark = true
[client.rgw.a]
rgw_data = {dir}/rgw
# Without tcp_nodelay each small read takes 40 ms.
rgw_frontends = beast tcp_nodelay=1 endpoint=127.0.0.1:{http}
rgw_dns_name = localhost
# Its default, "secure", needs keys that this cluster has none of.
ms_mon_client_mode = crc
ms_client_mode = crc
rgw_enable_usage_log = false
"""


class Radosgw(Server):
    """One monitor, one object store in memory, one gateway: strict about signatures, knows conditional PUTs."""

    programs = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph")
    fsid = "0b2b5a3e-6f1d-4c1b-9d55-7d2f1f3a9c11"

    def __init__(self, folder):
        super().__init__(folder)
        self.keys = ("AKDRFSTEST", "SKdrfsTestSecret")
        http, mon2, mon1 = free_ports(3)
        low = 20000 + os.getpid() % 200 * 50
        self.endpoint = f"http://127.0.0.1:{http}"
        self.conf = f"{folder}/ceph.conf"
        self.mon = f"[v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]"
        for name in ("mon", "osd", "rgw"):
            os.makedirs(f"{folder}/{name}", exist_ok=True)
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(
                CEPH_CONF.format(
                    fsid=self.fsid, dir=folder, mon1=mon1, mon2=mon2, http=http, low=low, high=low + 49
                )
            )

    def start(self):
        conf = ("-c", self.conf)
        self.call("monmap", "monmaptool", "--create", "--clobber", "--fsid", self.fsid, "--addv", "a", self.mon,
                  f"{self.folder}/monmap")
        self.call("mkmon", "ceph-mon", *conf, "-i", "a", "--mkfs", "--monmap", f"{self.folder}/monmap")
        self.run("mon", "ceph-mon", *conf, "-i", "a", "-f")
        self.call("osdnew", "ceph", *conf, "--connect-timeout", "20", "osd", "new", self.fsid, "0")
        self.call("mkosd", "ceph-osd", *conf, "-i", "0", "--mkfs", "--osd-uuid", self.fsid)
        self.run("osd", "ceph-osd", *conf, "-i", "0", "-f")
        self.run("rgw", "radosgw", *conf, "-n", "client.rgw.a", "-f")
        self.wait()
        access, secret = self.keys
        self.call("user", "radosgw-admin", *conf, "-n", "client.rgw.a", "user", "create", "--uid=drfs",
                  "--display-name=drfs", f"--access-key={access}", f"--secret-key={secret}")
        return self


SWIFT_CONF = """[swift-hash]
swift_hash_path_prefix = drfs
swift_hash_path_suffix = test
[storage-policy:0]
name = one
default = yes
"""

SWIFT_COMMON = """[DEFAULT]
bind_ip = 127.0.0.1
user = {user}
swift_dir = {dir}/etc
log_level = WARNING
log_address = {dir}/run/no-syslog
workers = 1
"""

SWIFT_NODE = """bind_port = {port}
devices = {dir}/srv
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
lock_path = {dir}/lock
recon_cache_path = {dir}/cache
"""

SWIFT_PROXY = """bind_port = {port}
[pipeline:main]
pipeline = catch_errors healthcheck cache listing_formats bulk s3api tempauth slo dlo versioned_writes proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
recheck_container_existence = 0
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
dns_compliant_bucket_names = true
allowable_clock_skew = 900
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcache}
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
"""


class Swift(Server):
    """Swift with its s3api: another implementation of the same protocol, which knows no conditional PUTs."""

    programs = ("swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server",
                "swift-ring-builder", "memcached")
    kinds = ("account", "container", "object")

    def __init__(self, folder):
        super().__init__(folder)
        self.keys = ("test:tester", "testing")
        proxy, memcache, *ports = free_ports(5)
        self.ports = dict(zip(self.kinds, ports))
        self.memcache = memcache
        self.endpoint = f"http://127.0.0.1:{proxy}"
        for name in ("etc", "lock", "cache", "srv/d1"):
            os.makedirs(f"{folder}/{name}", exist_ok=True)
        common = SWIFT_COMMON.format(user=pwd.getpwuid(os.getuid()).pw_name, dir=folder)
        self.write("swift.conf", SWIFT_CONF)
        self.write("proxy-server.conf", common + SWIFT_PROXY.format(port=proxy, memcache=memcache))
        for kind, port in self.ports.items():
            self.write(f"{kind}-server.conf", common + SWIFT_NODE.format(port=port, dir=folder, kind=kind))

    def write(self, name, text):
        with open(f"{self.folder}/etc/{name}", "w", encoding="utf-8") as f:
            f.write(text)

    def ring(self, kind, *command):
        self.call(f"ring-{kind}-{command[0]}", "swift-ring-builder", f"{self.folder}/etc/{kind}.builder", *command)

    def start(self):
        for kind, port in self.ports.items():
            self.ring(kind, "create", "4", "1", "0")
            self.ring(kind, "add", f"r1z1-127.0.0.1:{port}/d1", "1")
            self.ring(kind, "rebalance")
        as_root = ["-u", "root"] if os.getuid() == 0 else []
        self.run("memcached", "memcached", *as_root, "-l", "127.0.0.1", "-p", str(self.memcache), "-m", "32")
        for kind in (*self.kinds, "proxy"):
            self.run(kind, f"swift-{kind}-server", f"{self.folder}/etc/{kind}-server.conf", "-v")
        self.wait(f"{self.endpoint}/healthcheck")
        return self
