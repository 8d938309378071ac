"""One cluster for all tests of a class: what is slow to make is made once."""

import json

from support.cluster import ClusterTest, ToolTest


class SharedClusterTest(ToolTest):
    """
    self.cluster runs and archives into self.repo, as for ClusterTest, but is made once for the class
    by set_up_shared(); tests must not depend on one another.
    """

    settings = {}
    segment_mb = 1

    @classmethod
    def setUpClass(cls):
        cls.world = ClusterTest()
        cls.world.settings = cls.settings
        cls.world.segment_mb = cls.segment_mb
        cls.addClassCleanup(cls.world.doCleanups)
        cls.world.setUp()
        cls.set_up_shared(cls.world)

    @classmethod
    def set_up_shared(cls, world):
        """What all tests need: runs once; world is a ClusterTest."""

    def setUp(self):
        super().setUp()
        self.repo = self.world.repo
        self.cluster = self.world.cluster

    def restored(self, name="restored", port=5433):
        """It keeps the settings of the one that was backed up, hence its socket directory."""
        return self.server(name, socket=self.cluster.socket, port=port)

    def restore(self, *arguments, name="restored", port=5433, expect=0, timeout_s=300, data=None):
        """
        `restore --json` into a new directory (or `data`); gives the cluster, with the tool's answer
        in .answer and its log in .said.
        """
        restored = self.restored(name, port) if data is None else data
        done = self.attempt("restore", f"--data={restored.data}", "--json", *arguments,
                            environment={"PGPORT": port}, timeout_s=timeout_s)
        if done.returncode != expect:
            raise AssertionError(f"restore {arguments} returned {done.returncode}, not {expect}:\n"
                                 f"{done.stdout}{done.stderr}\n{restored.log_tail()}\n"
                                 f"{server_log(restored)}")
        restored.answer = json.loads(done.stdout) if done.stdout else None
        restored.said = done.stderr
        return restored


def server_log(cluster):
    """What a server that the tool started has logged, to show in a failure."""
    path = cluster.path / "data.pgcairn-server.log"
    return path.read_text(encoding="utf-8", errors="replace")[-4000:] if path.exists() else ""
