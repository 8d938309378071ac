"""Run by root, as a cron job may be: what is stored still belongs to the repository's owner."""

import os
import pathlib
import pwd
import unittest

from support.cluster import ClusterTest
from support.processes import TOOL, USER, run


@unittest.skipUnless(USER, "takes root")
class RunByRoot(ClusterTest):
    def test_the_servers_user_can_go_on_in_the_folders_that_root_made(self):
        run(TOOL, "backup", f"--repo={self.repo}", f"--data={self.cluster.data}", user=None)

        owner = pwd.getpwnam(USER).pw_uid
        foreign = [path for path in pathlib.Path(self.repo).rglob("*") if os.lstat(path).st_uid != owner]
        self.assertEqual(foreign, [])
        self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}")


if __name__ == "__main__":
    unittest.main()
