"""scripts/bench --only increment: an increment after transactions, beside pgBackRest's.

Both begin with a full backup. Before each round the cluster does so many transactions of pgbench;
then each takes an increment: time, and bytes that its repository has more (backups alone, not WAL).
Then the same of an unchanged cluster; and the last one is restored by both. Each round waits until
the files have been quiet for more than ten seconds: those count as unchanged by their times.
"""

import time

TRANSACTIONS = (40000, 0)
QUIET_S = 12


class IncrementBench:
    """A part of Bench: needs its run, wish, folder, tool, repo, rest, data, write, alternate, pgbackrest."""

    def stored(self, *places):
        return sum(int(self.run("du", "-sb", place)[0].split()[0]) for place in places if place.exists())

    def back_up(self, *options):
        return self.run(self.tool, "backup", f"--repo={self.repo}", f"--data={self.data}", "--jobs=2", "--no-progress",
                        f"--conninfo=host={self.folder} user=postgres dbname=postgres", *options)

    def increment(self):
        self.back_up("--full")
        self.pgbackrest("--type=full", "backup")
        for transactions in TRANSACTIONS:
            self.increment_after(transactions)
        self.restore()

    def increment_after(self, transactions):
        added = {"ours": [], "theirs": []}
        places = {"ours": [self.repo / "main" / "pack", self.repo / "main" / "backup"], "theirs": [self.rest / "repo" / "backup"]}

        def counted(name, take):
            before = self.stored(*places[name])
            _, wall, cpu = take()
            added[name].append(self.stored(*places[name]) - before)
            return wall, cpu

        def ours():
            if transactions:
                self.write(transactions // 2)
            self.sql("checkpoint")
            self.wait_archived()
            time.sleep(QUIET_S)
            return counted("ours", self.back_up)

        def theirs():
            return counted("theirs", lambda: self.pgbackrest("--type=incr", "backup"))

        what = f"increment after {transactions} transactions"
        self.alternate(what, {"pgcairn backup": ours, "pgbackrest --type=incr": theirs})
        self.results[what]["stored_bytes"] = added
        for name, sizes in added.items():
            print(f"  {name:8} stored {', '.join(f'{size / 2**20:.1f}' for size in sizes)} MiB", flush=True)
