"""scripts/bench --only increment: an increment after transactions, beside pgBackRest's.

Both begin with a full backup. Before each round the cluster does so many transactions of pgbench;
then each takes an increment: time, and bytes that its repository has more (backups alone, not WAL).
Then the same of an unchanged cluster; then ours alone after updates that touch a share of the pages of
the largest table, evenly; and the last one is restored by both. Each round waits until the files have
been quiet for more than ten seconds: those count as unchanged by their times. Of ours it is told how
much it read, and by what it found changes.
"""

import json
import time

TRANSACTIONS = (40000, 0)
SHARES = (0.001, 0.01, 0.1)
ROWS_A_PAGE = 61  # of pgbench_accounts
QUIET_S = 12


class IncrementBench:
    """A part of Bench: needs its run, wish, folder, tool, repo, rest, data, write, alternate, pgbackrest."""

    def stored(self, *places):
        return sum(int(self.run("du", "-sb", place)[0].split()[0]) for place in places if place.exists())

    def back_up(self, *options):
        return self.run(self.tool, "backup", "--json", f"--repo={self.repo}", f"--data={self.data}", "--jobs=2", "--no-progress",
                        f"--conninfo=host={self.folder} user=postgres dbname=postgres", *options)

    def increment(self):
        self.back_up("--full")
        self.pgbackrest("--type=full", "backup")
        for transactions in TRANSACTIONS:
            self.increment_after(transactions)
        self.sql("vacuum pgbench_accounts")  # hint bits of the transactions are changes, too
        self.back_up()
        for share in SHARES:
            self.increment_of_share(share)
        self.restore()

    @staticmethod
    def tell_read(said):
        """Of a backup's answer: how it found changes, and how much it read for that."""
        answer = json.loads(said)
        print(f"  read {answer['read_bytes'] / 2**20:.1f} MiB of {answer['bytes'] / 2**20:.0f}, changes by "
              f"{answer['changes_by']}, new {answer['new_bytes'] / 2**20:.1f} MiB", flush=True)
        return answer["read_bytes"]

    def increment_of_share(self, share):
        what = f"increment after changes of {share:.1%} of the pages"
        self.results[what] = []
        print(f"\n{what}", flush=True)
        for _ in range(self.wish.runs):
            self.sql(f"update pgbench_accounts set abalance = abalance + 1 where aid % {round(ROWS_A_PAGE / share)} = 0")
            self.sql("checkpoint")
            self.wait_archived()
            time.sleep(QUIET_S)
            said, wall, cpu = self.back_up()
            print(f"  {wall:.2f} s, {cpu:.2f} s CPU", flush=True)
            self.results[what].append({"wall_s": wall, "cpu_s": cpu, "read_bytes": self.tell_read(said)})

    def increment_after(self, transactions):
        added = {"ours": [], "theirs": []}
        places = {"ours": [self.repo / "main" / "pack", self.repo / "main" / "backup"], "theirs": [self.rest / "repo" / "backup"]}

        def counted(name, take):
            before = self.stored(*places[name])
            said, wall, cpu = take()
            added[name].append(self.stored(*places[name]) - before)
            if name == "ours":
                self.tell_read(said)
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
