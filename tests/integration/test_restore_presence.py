"""Servers that can't be seen: nothing is replaced, and nobody says that none runs, unless it is proven."""

import os
import subprocess
import unittest

from support.processes import TOOL, USER
from support.shared import SharedClusterTest


class Elsewhere(SharedClusterTest):
    """The tool runs where it does not see the server's processes, nor its socket or its memory."""

    @classmethod
    def set_up_shared(cls, world):
        world.cluster.stop()
        cls.sockets = world.path / "sockets"
        cls.sockets.mkdir()
        os.chmod(cls.sockets, 0o777)
        world.cluster.socket = cls.sockets
        world.cluster.configure(unix_socket_directories=cls.sockets)
        world.cluster.start().sql("create table t as select 1 as x")
        world.tool("backup", f"--data={world.cluster.data}", f"--conninfo={world.cluster.conninfo()}")
        if cls.elsewhere("", "true").returncode != 0:
            raise unittest.SkipTest("no name spaces can be made here")

    @classmethod
    def elsewhere(cls, hidden, *command):
        """In a container's name spaces; its own of: "socket", "memory"."""
        unshare = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
        hide = f"mount -t tmpfs tmpfs {cls.sockets} && " if "socket" in hidden else ""
        if "memory" in hidden:
            unshare.append("--ipc")
        return subprocess.run([*unshare, "sh", "-c", f'{hide}exec "$@"', "sh", *map(str, command)],
                              capture_output=True, text=True, timeout=300, check=False)


@unittest.skipUnless(USER, "takes root")
class Asked(Elsewhere):
    """Who asks for it is told what is so."""

    def ask(self, hidden, command, *options):
        """Exit status and all that a command says of the server, from elsewhere."""
        where = [] if command in ("watch", "promote") else [f"--repo={self.repo}"]
        done = self.elsewhere(hidden, TOOL, command, *where, f"--data={self.cluster.data}", *options)
        return done.returncode, done.stdout + done.stderr

    def test_a_server_that_answers_on_its_socket_runs(self):
        status, said = self.ask("memory", "backup")
        self.assertEqual(status, 0, said)
        status, said = self.ask("memory", "status")
        self.assertRegex(said, r"server +timeline 1")
        status, said = self.ask("memory", "watch")
        self.assertEqual((status, "recovery: open" in said), (0, True), said)
        status, said = self.ask("memory", "promote")
        self.assertEqual((status, "open already" in said), (4, True), said)

    def test_nobody_says_that_a_server_is_gone_which_may_run(self):
        for command, expect in (("backup", 7), ("status", None), ("watch", 7), ("promote", 7)):
            status, said = self.ask("socket memory", command)
            self.assertIn("can't be seen from here", said, command)
            self.assertNotIn("no server runs", said, command)
            if expect is not None:
                self.assertEqual(status, expect, said)


@unittest.skipUnless(USER, "takes root")
class Unseen(Elsewhere):
    """Nothing is replaced."""

    def look(self, hidden, *options):
        return self.elsewhere(hidden, TOOL, "restore", f"--repo={self.repo}",
                              f"--data={self.cluster.data}", "--force", "--dry-run", *options)

    def refused(self, done, message):
        self.assertEqual((done.returncode, message in done.stderr), (4, True), done.stderr)

    def test_what_runs_where_it_can_not_be_seen_is_never_replaced(self):
        data = self.cluster.data
        self.refused(self.look("memory"), "it answers on its socket")
        self.refused(self.look("socket"), "its shared memory is in use")
        done = self.look("socket memory")
        self.refused(done, f"a server may run on {data}: postmaster.pid says process")
        self.assertIn("--server-is-stopped", done.stderr)
        self.assertEqual(self.look("socket memory", "--server-is-stopped").returncode, 0)
        # The option is for what can't be seen; what is seen is there.
        self.refused(self.look("memory", "--server-is-stopped"), "a server runs on")
        # Its lock file is gone: it ends within two minutes, and is there until then.
        lock = data / "postmaster.pid"
        os.rename(lock, self.path / "lock")
        try:
            self.tool_fails(4, "its postmaster.pid is gone", "restore", f"--data={data}", "--force")
        finally:
            os.rename(self.path / "lock", lock)
        self.assertEqual(self.cluster.sql("select x from t"), "1")

        # Killed, it is proven to be dead by whatever of it is left; on its own host by nothing more.
        self.cluster.crash()
        self.assertEqual(self.look("memory").returncode, 0)
        self.refused(self.look("socket"), "a server may run on")  # whose memory it was can't be told
        self.refused(self.look("socket memory"), "a server may run on")
        self.tool("restore", f"--data={data}", "--force", "--dry-run")
        # Without a lock file nothing can run for longer than two minutes.
        lock.unlink()
        os.utime(data, (10**9, 10**9))
        self.assertEqual(self.look("socket memory").returncode, 0)
        # What was restored and never started is free at once.
        self.tool("restore", f"--data={data}", "--force")
        self.assertEqual(self.look("socket memory").returncode, 0)


if __name__ == "__main__":
    unittest.main()
