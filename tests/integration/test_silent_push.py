"""What a second writer does to an archive: cp overwrites or looks away, pgcairn refuses or repairs."""

from support.archive import object_of, put
from support.pair import PairTest
from support.processes import BIN, attempt, run

FOREIGN = range(900001, 900101)


class Writers(PairTest):
    settings = {"wal_keep_size": "256MB"}

    @classmethod
    def take_backups(cls, world):
        super().take_backups(world)
        world.cluster.stop()
        cls.twin_data = world.path / "twin-data"
        run("cp", "-a", world.cluster.data, cls.twin_data)
        world.cluster.start()

    def test_another_cluster_archives_into_the_same_place(self):
        """Somebody copied postgresql.conf to a new host, archive_command and all."""
        stranger = self.server("stranger", port=5434).create(
            segment_mb=1, archive_mode="on", archive_command=f"cp %p {self.plain}/%f")
        # pg_resetwal goes on behind every file that is in pg_wal.
        run("find", stranger.data / "pg_wal", "-type", "f", "-delete")
        run(BIN / "pg_resetwal", "-f", f"--next-wal-file={self.victim}", stranger.data)
        stranger.start()
        wal = [stranger.fill_segment(), stranger.fill_segment()]
        self.assertEqual(wal[0], self.victim)
        stranger.sql(f"alter system set archive_command = '{self.archive_command()}'")
        stranger.sql("select pg_reload_conf()")
        stranger.sql("create table more as select generate_series(1, 1000)")
        stranger.sql("select pg_switch_wal()")
        stranger.wait_until("select failed_count > 0 from pg_stat_archiver")
        said = stranger.log.read_text(encoding="utf-8")
        self.assertRegex(said, "pgcairn: error: .*system identifier(.|\n)*exit code 4")

        by_cp = self.by_cp()
        self.assert_opens(by_cp, "WAL file is from different database system",
                          "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        for name in wal:
            self.tool_fails(4, "system identifier", "archive-push", stranger.data / "pg_wal" / name)
        self.assert_whole(self.restored_before())

    def test_the_same_names_with_other_content(self):
        """A copy of the data directory was started beside the original: same identity, same timeline."""
        twin = self.server("twin", port=5434)
        run("cp", "-a", self.twin_data, twin.data)
        twin.configure(unix_socket_directories=twin.socket, wal_keep_size="256MB",
                       archive_command=f"cp %p {self.plain}/%f").start()
        twin.sql("insert into oracle select n, repeat(md5(n::text), 10) "
                 f"from generate_series({FOREIGN[0]}, {FOREIGN[-1]}) n")
        wal = []
        while not wal or wal[-1] < self.segments[-1]:
            wal.append(twin.fill_segment())
        first = min(set(wal) & set(self.segments))
        stored = object_of(self.repo, first).read_bytes()
        twin.sql(f"alter system set archive_command = '{self.archive_command()}'")

        by_cp = self.by_cp()
        self.assert_opens(by_cp, "archive recovery complete")
        self.assert_harm(by_cp, missing=True, foreign=True)
        by_cp.stop()

        self.tool_fails(15, "other content", "archive-push", twin.data / "pg_wal" / first)
        self.assertEqual(object_of(self.repo, first).read_bytes(), stored)
        self.assert_whole(self.restored_before())

    def test_a_damaged_stored_file_is_met_by_a_second_push(self):
        """The server archives a segment again after a crash, when it had not noted the success."""
        source = self.cluster.data / "pg_wal" / self.victim
        plain, stored = self.both(self.victim)
        for path in (plain, stored):
            put(path, bytes(path.stat().st_size))  # named, not yet written: the power failed

        # As many scripts do it, since a name that is there must be a success.
        done = attempt("sh", "-c", f"test -f {plain} || cp {source} {plain}")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        by_cp = self.by_cp()
        self.assert_opens(by_cp, "invalid magic number 0000", "archive recovery complete")
        self.assert_harm(by_cp, missing=True)
        by_cp.stop()

        self.assert_refused(8, ".")
        done = self.attempt("archive-push", source)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, "damaged.*set aside")
        self.assert_whole(self.restored_before())
