"""docs/runbook.md, "With Patroni": its blocks, carried out on two members and an etcd on loopback."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import unittest
import urllib.request

from support.cluster import ToolTest
from support.processes import BIN, TOOL, attempt, clean_environment, identity, run, wait_for
from test_runbook import block

CLUSTER = "shop"
MEMBER = """
scope: {cluster}
name: {name}
restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}'}}
etcd3: {{host: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 5
    postgresql:
      parameters: {{archive_mode: 'on', archive_command: '{tool} archive-push --repo={repo} %p'}}
      recovery_conf: {{restore_command: '{tool} archive-get --repo={repo} %f %p'}}
  initdb: [encoding: UTF8, data-checksums]
postgresql:
  listen: '127.0.0.1:{port}'
  connect_address: '127.0.0.1:{port}'
  data_dir: {data}
  bin_dir: {bin}
  pgpass: {path}/pgpass-{name}
  authentication: {{replication: {{username: postgres}}, superuser: {{username: postgres}}}}
  parameters: {{unix_socket_directories: '{path}', shared_buffers: 16MB}}
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
{methods}
"""


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


class Member:
    def __init__(self, test, name, methods=""):
        self.test, self.name, self.data = test, name, test.path / name
        self.rest, self.port = free_ports(2)
        self.config = test.path / f"{name}.yml"
        self.config.write_text(MEMBER.format(
            cluster=CLUSTER, name=name, rest=self.rest, etcd=test.etcd, tool=TOOL, repo=test.repo, port=self.port, data=self.data,
            bin=BIN, path=test.path, methods=methods), encoding="utf-8")
        self.process = None

    def start(self):
        self.process = self.test.begin(f"{self.name}.log", "patroni", self.config)

    def stop(self):
        """As `systemctl stop patroni` does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def says(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/{path}", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def sql(self, query):
        return run(BIN / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-d", "postgres",
                   "-c", query)


@unittest.skipUnless(os.environ.get("PGCAIRN_ECOSYSTEM"), "scripts/test ecosystem")
class Patroni(ToolTest):
    def begin(self, log, *command):
        file = open(self.path / log, "ab")
        self.addCleanup(file.close)
        process = subprocess.Popen([str(part) for part in command], stdout=file, stderr=subprocess.STDOUT, cwd="/",
                                   env=clean_environment(), **identity())
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.terminate()
            process.wait(120)

    def type(self, name, **values):
        said = ""
        for line in block(name):
            for word, value in values.items():
                line = line.replace(word, str(value))
            line = line.replace("--repo=R", f"--repo={self.repo}").replace("CLUSTER", CLUSTER)
            done = attempt("sh", "-c", line, environment={
                "PGCAIRN_CHECKS": "all", "PATH": f"{pathlib.Path(TOOL).parent}:{BIN}:/usr/bin:/bin",
                "PATRONICTL_CONFIG_FILE": self.first.config}, stdin=f"{CLUSTER}\nYes I am aware\n{self.first.name}\n")
            self.assertEqual(done.returncode, 0, f"{line}\n{done.stdout}{done.stderr}")
            said += done.stdout
        return said

    def test_a_cluster_goes_back_to_an_earlier_instant(self):
        self.etcd, peers = free_ports(2)
        self.begin("etcd.log", "etcd", "--data-dir", self.path / "etcd", "--listen-client-urls", f"http://127.0.0.1:{self.etcd}",
                   "--advertise-client-urls", f"http://127.0.0.1:{self.etcd}", "--listen-peer-urls", f"http://127.0.0.1:{peers}",
                   "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}", "--initial-cluster", f"default=http://127.0.0.1:{peers}")
        self.first = first = Member(self, "first")
        first.start()
        wait_for(lambda: first.says("primary"), "the first member leads")
        self.tool("init", f"--data={first.data}")
        first.sql("create table orders as select 1 as n")
        conninfo = f"--conninfo=host=127.0.0.1 port={first.port} user=postgres dbname=postgres"
        self.tool("backup", f"--data={first.data}", conninfo)
        second = Member(self, "second", "\n".join(block("patroni-replica", whole=True)[1:]).replace("--repo=R", f"--repo={self.repo}")
                        .replace("--data=D", f"--data={self.path / 'second'}").replace("/usr/local/bin/pgcairn", TOOL))
        second.start()
        wait_for(lambda: second.says("replica"), "the second member follows")
        self.assertIn("pgcairn", (self.path / "second.log").read_text(encoding="utf-8"))
        first.sql("insert into orders values (2)")
        wait_for(lambda: second.sql("select count(*) from orders") == "2", "it has what the first one has")
        time.sleep(0.1)
        before = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()) + f".{int(time.time() % 1 * 1000):03d}+00"
        time.sleep(0.1)
        first.sql("drop table orders")
        first.sql("select pg_switch_wal()")

        self.type("patroni-pause")
        for member in (second, first):
            member.stop()
            self.type("patroni-stop", **{" D ": f" {member.data} "})
        self.type("patroni-restore", **{"--data=D": f"--data={first.data}", " D ": f" {first.data} ", "2026-11-22 14:29:58+01": before})
        self.type("patroni-remove")
        first.start()
        wait_for(lambda: first.says("primary"), "the first member leads again")
        self.assertEqual(first.sql("select count(*) from orders"), "2")
        self.assertIn("archive-push", first.sql("show archive_command"))
        shutil.rmtree(second.data)
        second.start()
        wait_for(lambda: second.says("replica"), "the second member follows again")
        first.sql("insert into orders values (3)")
        wait_for(lambda: second.sql("select count(*) from orders") == "3", "it has what the first one has")
        # 2 is the one that the restore was opened on; Patroni makes a leader by promoting it once more.
        self.assertEqual(first.sql("select timeline_id from pg_control_checkpoint()"), "3")
        self.tool("backup", f"--data={first.data}", conninfo)
