"""scripts/bench --only forecast: five drills tell how long the sixth takes; is it so?

For three kinds of load, each with an archive of its own: transactions of pgbench, bulk loads with
indexes and vacuum, many small tables that come and go. Between two drills the load goes on, so that
each replays more WAL than the one before. Told is what `restore --dry-run` says before the sixth, and
what that took, without its probes, phase by phase.
"""

import json

DRILLS = 6


class ForecastBench:
    """A part of Bench: needs its run, wish, folder, tool, data, sql, write and wait_archived."""

    def forecast(self):
        self.results["forecast"] = {}
        self.run("mkdir", "-p", self.folder / "scratch")
        for name, (go_on, has_target) in {
                "transactions": (lambda: self.write(200 * self.wish.scale), False),
                "bulk": (self.bulk, False),
                "small tables, to a target": (self.small_tables, True)}.items():
            self.forecast_of(name, go_on, has_target)

    def bulk(self):
        self.sql("drop table if exists bulk")
        self.sql(f"create table bulk as select n, md5(n::text) as text from generate_series(1, {self.wish.scale * 8000}) n")
        self.sql("create index on bulk (text); delete from bulk where n % 3 = 0")
        self.sql("vacuum bulk")

    def small_tables(self):
        self.sql(f"""do $$ begin for i in 1..{self.wish.scale * 8} loop
                       execute format('drop table if exists came_%s', i);
                       execute format('create table came_%s as select n, md5(n::text) from generate_series(1, 100) n', i);
                       commit; end loop; end $$""")

    def forecast_of(self, name, go_on, has_target):
        repo = self.folder / f"repo-{name.split()[0]}"
        self.run(self.tool, "init", f"--repo={repo}", f"--data={self.data}")
        self.sql(f"alter system set archive_command = '{self.tool} archive-push --repo={repo} %p'")
        self.sql("select pg_reload_conf()")
        self.sql("select pg_switch_wal()")
        self.wait_archived()
        self.run(self.tool, "backup", f"--repo={repo}", f"--data={self.data}", "--no-progress",
                 f"--conninfo=host={self.folder} user=postgres dbname=postgres")
        for drill in range(1, DRILLS + 1):
            go_on()
            target = [f"--target-lsn={self.sql('select pg_current_wal_insert_lsn()')}"] if has_target else []
            self.sql("create table if not exists after_it (n int)")
            self.sql("insert into after_it values (1)")
            self.sql("select pg_switch_wal()")
            self.wait_archived()
            if drill == DRILLS:
                told = json.loads(self.run(self.tool, "restore", f"--repo={repo}", f"--data={self.folder}/nowhere", *target,
                                           "--dry-run", "--json")[0].splitlines()[-1])["estimate"]
            taken = json.loads(self.run(self.tool, "drill", f"--repo={repo}", f"--scratch={self.folder}/scratch", *target,
                                        "--json", "--no-progress")[0].splitlines()[-1])
        self.tell_forecast(name, told, taken["phases"])

    def tell_forecast(self, name, told, phases):
        took = sum(seconds or 0 for phase, seconds in phases.items() if phase not in ("probe_s", "clean_s"))
        off = (told["p50_s"] - took) / took
        self.results["forecast"][name] = {"told": told, "phases": phases, "took_s": took, "off": off}
        print(f"\nforecast, {name}: the sixth drill took {took:.2f} s, {told['p50_s']:.2f} s were told: {100 * off:+.1f} %", flush=True)
        print("  told   " + ", ".join(f"{phase[:-2]} {seconds:.2f}" for phase, seconds in told["phases"].items() if seconds is not None))
        print("  taken  " + ", ".join(f"{phase[:-2]} {seconds:.2f}" for phase, seconds in phases.items() if seconds is not None), flush=True)
