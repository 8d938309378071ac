"""Run by root, as a cron job may be: what is stored still belongs to the repository's owner."""

import os
import pathlib
import pwd
import shutil
import tempfile
import unittest

from support.cluster import ClusterTest
from support.processes import TOOL, USER, attempt, run


@unittest.skipUnless(USER, "takes root")
class RunByRoot(ClusterTest):
    def test_the_servers_user_can_go_on_in_the_folders_that_root_made(self):
        run(TOOL, "backup", f"--repo={self.repo}", f"--data={self.cluster.data}", user=None)

        owner = pwd.getpwnam(USER).pw_uid
        foreign = [path for path in pathlib.Path(self.repo).rglob("*") if os.lstat(path).st_uid != owner]
        self.assertEqual(foreign, [])
        self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}")

        # A place where anybody may make one: a drill is the work of the repository's owner.
        scratch = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, scratch, True)
        os.chmod(scratch, 0o1777)
        run(TOOL, "drill", f"--repo={self.repo}", f"--scratch={scratch}/drill", user=None)
        self.assertEqual(os.lstat(scratch / "drill").st_uid, owner)
        os.chmod(scratch, 0o755)
        done = attempt(TOOL, "drill", f"--repo={self.repo}", f"--scratch={scratch}/other", user=None)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("install -d -o postgres", done.stderr)


if __name__ == "__main__":
    unittest.main()
