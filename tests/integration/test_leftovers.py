"""What runs leave (docs/retention.md, "Leftovers"): each rule by itself, on both sides of its limits."""

import os
import shutil
import time

from test_expire import AT_ONCE, ExpireTest


class Leftovers(ExpireTest):
    def setUp(self):
        super().setUp()
        self.main = self.repo / "main"
        self.wal = min((self.main / "wal").glob("*/*[0-9A-F].wal"))

    def put(self, path, days, content=b"x"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self.age(path, days)
        for place in (path, path.parent):
            shutil.chown(place, os.stat(self.world.repo).st_uid)
        return path

    @staticmethod
    def age(path, days):
        os.utime(path, (time.time() - days * 86400,) * 2)

    def assert_left(self, paths, *options):
        """Each path, and whether it is there after `expire`."""
        self.expire("--keep-min=4", *options)
        self.assertEqual({path.name: path.exists() for path in paths}, {path.name: stays for path, stays in paths.items()})

    def test_pieces_of_a_segment_that_is_whole(self):
        whole, other = self.wal.name.removesuffix(".wal"), "0000000100000000000000F0"
        self.assert_left({
            self.put(self.main / "open" / f"{whole}.00000000-00001000", 2): False,
            self.put(self.main / "open" / f"{whole}.00001000-00002000", 0.9): True,  # a reader may have listed both
            self.put(self.main / "open" / f"{other}.00000000-00001000", 2): True,    # all that there is of it
            self.put(self.main / "open" / "README", 2): True})

    def test_damaged_wal_whose_twin_is_good(self):
        second = sorted((self.main / "wal").glob("*/*[0-9A-F].wal"))[1]
        self.age(self.wal, 35)
        self.age(second, 20)
        lone = self.wal.with_name("0000000100000000000000F0.wal.damaged-0123abcd")
        self.assert_left({
            self.put(self.wal.with_name(f"{self.wal.name}.damaged-0123abcd"), 40): False,
            self.put(self.wal.with_name(f"{self.wal.name}.damaged-89abcdef"), 29): True,
            self.put(second.with_name(f"{second.name}.damaged-0123abcd"), 40): True,  # its twin has not been there for as long
            self.put(lone, 40): True,                                                  # it has none
            self.wal: True, second: True})

    def test_what_is_remembered_of_a_backup_that_is_gone(self):
        self.assert_left({
            self.put(self.main / "known" / "20200101T000000Z-aaaaaa.0123456789abcdef", 2): False,
            self.put(self.main / "known" / "20200101T000000Z-aaaaaa.0123456789abcde0", 0.9): True,
            self.put(self.main / "known" / f"{self.backups[0]}.0123456789abcdef", 2): True,
            self.put(self.main / "known" / "README", 2): True})

    def test_entries_of_the_journal(self):
        folder = self.main / "journal"
        old = [f"{year}0101T000000.000Z-backup-01234567" for year in (2019, 2020)]
        self.assert_left({
            self.put(folder / old[0], 801): False,
            self.put(folder / old[1], 799): True,
            self.put(folder / "README", 900): True})
        self.assert_left({folder / old[1]: True}, "--keep-journal=0")
        self.assert_left({folder / old[1]: False}, "--keep-journal=30d")

    def test_half_written_objects(self):
        places = [self.wal.with_name(f"{self.wal.name}.tmp-{digit * 16}") for digit in "0123"]
        self.assert_left({self.put(places[0], 2): False, self.put(places[1], 0.9): True})
        self.assert_left({self.put(places[2], 2): True, self.put(places[3], 4): False}, "--grace=3d")
        self.expire("--keep-min=4", *AT_ONCE)  # a day at least, whatever the grace is
        self.assertTrue(places[1].exists())

    def test_leases_of_the_dead_and_nothing_while_somebody_may_read(self):
        dead = self.put(self.main / "lease" / "0123456789abcdef.00000001", 2)
        alive = self.put(self.main / "lease" / "0123456789abcde0.00000001", 0.04)
        piece = self.put(self.main / "open" / f"{self.wal.name.removesuffix('.wal')}.00000000-00001000", 2)
        self.attempt("expire", "--keep-min=4")
        self.assertEqual([alive.exists(), piece.exists()], [True, True])
        self.age(alive, 2)
        self.assert_left({dead: False, alive: False, piece: False})

    def test_packs_that_no_manifest_refers_to(self):
        pack = max((self.main / "pack").glob("*/*"))
        stray = self.put(pack.parent / (pack.name[:2] + "0" * 30), 0)
        self.expire("--keep-min=4")
        self.assertTrue(stray.exists())
        self.assert_left({stray: False, pack: True}, *AT_ONCE)

    def test_nothing_without_a_policy_and_nothing_in_doubt(self):
        piece = self.put(self.main / "open" / f"{self.wal.name.removesuffix('.wal')}.00000000-00001000", 2)
        entry = self.put(self.main / "journal" / "20200101T000000.000Z-backup-01234567", 900)
        self.expire()
        manifest = self.main / "backup" / self.backups[1] / "manifest"
        content = manifest.read_bytes()
        manifest.write_bytes(content[:100] + b"?" + content[101:])
        self.expire("--keep-min=4", expect=4)
        self.assertEqual([piece.exists(), entry.exists()], [True, True])
        manifest.write_bytes(content)
        self.assert_left({piece: False, entry: False})


del ExpireTest
