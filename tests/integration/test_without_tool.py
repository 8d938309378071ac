"""A repository is enough: what docs/format.md and docs/runbook.md say works without pgcairn."""

import hashlib
import pathlib
import shutil
import sys
import unittest

from support.cluster import ClusterTest
from support.processes import USER, run, wait_for

UNPACK = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "unpack"


class WithoutTool(ClusterTest):
    def unpack(self, target):
        """Run the script as who owns the repository; it may lie where only we can read it."""
        copy = self.path / "unpack"
        shutil.copy(UNPACK, copy)
        copy.chmod(0o755)
        python = "/usr/bin/python3" if USER else sys.executable
        (backup,) = [path.name for path in (pathlib.Path(self.repo) / "main" / "backup").iterdir()]
        return run(python, copy, self.repo, "main", backup, target)

    def prepare(self):
        """A backup of small, large and tablespace files, and commits after it."""
        self.cluster.tablespace("elsewhere")
        self.cluster.sql("create table large as select n, md5(n::text) what from generate_series(1, 20000) n")
        self.cluster.sql("create table away tablespace elsewhere as select * from large")
        self.tool("backup", f"--data={self.cluster.data}", f"--conninfo={self.cluster.conninfo()}")
        self.cluster.sql("insert into away values (0, 'after the backup')")
        self.cluster.sql("select pg_create_restore_point('here')")
        self.cluster.sql("insert into away values (-1, 'after the target')")
        self.cluster.switch_wal()
        self.cluster.stop()

    def test_python_and_zstd_restore_a_backup_and_replay_its_wal(self):
        self.prepare()
        (link,) = (self.cluster.data / "pg_tblspc").iterdir()
        shutil.rmtree(next(link.resolve().iterdir()))
        again = self.restored("unpacked")
        self.unpack(again.data)
        # The command of docs/runbook.md; the segment's folder is the first 16 digits of its name.
        command = (f"test -e {self.repo}/repository || exit 200; case %f in "
                   f"*.history) zstd -dqc {self.repo}/main/wal/%f.wal > %p ;; "
                   f"*) d=$(printf %%.16s %f); zstd -dqc {self.repo}/main/wal/$d/%f.wal > %p || exit 200 ;; esac")
        # Without prefetch: reading ahead, the server would ask for what is behind the archive's end.
        again.configure(restore_command=command, recovery_prefetch="off", recovery_target_name="here", recovery_target_action="promote",
                        recovery_target_timeline="current", archive_mode="off", port=again.port)
        run("touch", again.data / "recovery.signal")

        again.start()
        wait_for(lambda: again.sql("select pg_is_in_recovery()") == "f", "promotion")

        self.assertEqual(again.sql("select count(*), max(what) from large"), "20000|" + self.greatest())
        self.assertEqual(again.sql("select string_agg(what, ',') from away where n <= 0"), "after the backup")
        self.assertEqual(again.sql("select count(*) from away where n > 0"), "20000")

    @staticmethod
    def greatest():
        return max(hashlib.md5(str(n).encode()).hexdigest() for n in range(1, 20001))

    def test_a_damaged_pack_is_noticed(self):
        self.prepare()
        pack = max((pathlib.Path(self.repo) / "main" / "pack").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.write_bytes(content)

        run(sys.executable, UNPACK, self.repo, "main", next((pathlib.Path(self.repo) / "main" / "backup").iterdir()).name,
            self.path / "nothing", expect=1, user=None)

        self.assertFalse((self.path / "nothing").exists())


if __name__ == "__main__":
    unittest.main()
