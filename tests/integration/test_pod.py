"""
docs/runbook.md, "On Kubernetes": its commands, as they are run in a pod that is given nothing: a user
number without a name, process 1, no capability, a root that can't be written to, a small /tmp and
/dev/shm, and volumes that are mount points. No Kubernetes: namespaces of this host (unshare, setpriv).
"""

import os
import re
import shutil
import time
import unittest

from support.cluster import ToolTest
from support.processes import BIN, TOOL, USER, attempt, run
from test_runbook import PAGE, block

NUMBER = 123456  # of the user; it has no line in /etc/passwd
POD = r"""
mount --bind "$1" /mnt
mount --bind /mnt/volume/data /mnt/volume/data
mount -t tmpfs -o size=1m,mode=1777 tmpfs /tmp
mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm
mount -o remount,bind,ro /
cd /
exec setpriv --reuid "$2" --regid "$2" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
    env -i PATH="/mnt/bin:$3:/usr/bin:/bin" LC_ALL=C.UTF-8 PGUSER=postgres sh -c "$4"
"""
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '/mnt/socket'
shared_buffers = 16MB
archive_mode = on
archive_command = '/mnt/bin/pgcairn archive-push --repo=/mnt/repository/r %p'
"""


def commands(after):
    """What the first `command: [...]` after these words of the page gives to sh."""
    text = PAGE.read_text(encoding="utf-8")
    return re.search(r'command: \["sh", "-c", "([^"]*)"\]', text[text.index(after):])[1]


@unittest.skipUnless(os.environ.get("PGCAIRN_ECOSYSTEM") and USER, "scripts/test ecosystem, as root")
class Pod(ToolTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.path, 0o755)
        (self.path / "bin").mkdir()
        shutil.copy(TOOL, self.path / "bin" / "pgcairn")
        for name in ("volume", "repository", "scratch", "socket"):
            run("mkdir", self.path / name)
        data = self.path / "volume" / "data"
        run(BIN / "initdb", "--data-checksums", "--auth=trust", "--username=postgres", "--pgdata", data)
        with open(data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(SETTINGS)
        run(self.path / "bin" / "pgcairn", "init", f"--repo={self.path}/repository/r", f"--data={data}")
        for name in ("volume", "repository", "scratch", "socket"):
            run("chown", "-R", f"{NUMBER}:{NUMBER}", self.path / name, user=None)

    def pod(self, script, expect=0):
        """Process 1 of a pod is a shell with this script; gives what it said."""
        for word, place in (("R", "/mnt/repository/r"), ("D", "/mnt/volume/data"), ("SCRATCH", "/mnt/scratch/drill")):
            script = re.sub(rf"(--(?:repo|data|scratch)=| -D ){word}\b", rf"\g<1>{place}", script)
        done = attempt("unshare", "--mount", "--pid", "--ipc", "--fork", "--mount-proc", "--propagation", "private", "bash", "-ec",
                       POD, "pod", self.path, NUMBER, BIN, script, user=None)
        self.assertEqual(done.returncode, expect, f"{script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_what_the_page_says_works_in_a_pod(self):
        start = "pg_ctl -s -w -D D -l /mnt/scratch/log start"
        sql = "psql -XAtq -v ON_ERROR_STOP=1 -h /mnt/socket -d postgres -c"
        duties = re.search(r"pgcairn run-duties [^;]*", commands("**The server's pod**"))[0]
        said = self.pod(f"""set -e; {start}
            {sql} 'create table orders as select 1 as n'
            {duties}
            {sql} 'insert into orders values (2)' -c 'select pg_switch_wal()'
            {sql} 'select clock_timestamp()' >/mnt/scratch/when; sleep 0.2
            {sql} 'drop table orders' -c 'select pg_switch_wal()'
            pgcairn status --repo=R --data=D || test $? = 1
            kill -9 $(head -1 /mnt/volume/data/postmaster.pid)""")
        self.assertRegex(said, r"backup +done")
        self.assertIn("passed", self.pod(commands("**A CronJob**")))
        when = (self.path / "scratch" / "when").read_text(encoding="ascii").strip()
        restore, promote, stop = block("pod-restore")
        said = self.pod(f"""set -e; {restore.replace('2026-11-22 14:29:58+01', when)}
            test "$({sql} 'select count(*) from orders')" = 2
            {promote}
            {stop}""")
        self.assertIn("reached", said)
        self.assertRegex(said, r"backup +passed")
        self.assertEqual(self.pod(f"set -e; {start}; {sql} 'select count(*) from orders'; {stop} -s").strip(), "2")

    def test_a_user_without_a_name_is_told_to_name_a_role(self):
        done = self.pod("pg_ctl -s -w -D D -l /mnt/scratch/log start; unset PGUSER; pgcairn backup --repo=R --data=D 2>&1; "
                        "test $? = 7 && pgcairn backup --repo=R --data=D --conninfo='user=postgres'")
        self.assertIn("user number 123456 has no name on this host", done)
