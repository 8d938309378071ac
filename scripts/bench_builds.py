"""Two builds of pgcairn beside each other: what a change costs."""

import shutil


class BuildsBench:
    """The part of scripts/bench that asks whether this build is slower than an earlier one."""

    def builds(self):
        """Each build has a repository of its own, in which it alone writes and reads."""
        self.need_segments()
        builds = {"this build": _Build(self, "this", self.tool), "the build before": _Build(self, "before", self.earlier_tool())}
        self.configure({"archive_command": " && ".join(build.pusher() for build in builds.values())})
        for what, name, unit in (("full backup", "backup", 1), ("restore (files, no replay)", "restore", 1),
                                 ("archive-push, per segment", "push", len(self.segments)), ("archive-get, per segment", "get", len(self.segments))):
            self.alternate(f"{what}, two builds", {who: getattr(build, name) for who, build in builds.items()}, unit)

    def earlier_tool(self):
        if not self.wish.before:
            raise SystemExit("bench: --only builds needs --before=PROGRAM, another build of pgcairn")
        return shutil.copy(self.wish.before, self.folder / "pgcairn-before")


class _Build:
    def __init__(self, bench, name, tool):
        self.bench, self.tool = bench, tool
        self.repo, self.pushed, self.restored, self.got = (bench.folder / f"{name}-{what}" for what in ("repo", "pushed", "restored", "got"))
        self.make(self.repo)
        for segment in bench.archived():
            bench.run(tool, "archive-push", f"--repo={self.repo}", segment)

    def pusher(self):
        return f"{self.tool} archive-push --repo={self.repo} %p"

    def make(self, repo):
        self.bench.run(self.tool, "init", f"--repo={repo}", f"--data={self.bench.data}")

    def backup(self):
        """What the one before stored is of no use to this one: each is a full copy."""
        full = ["--full"] if "--full " in self.bench.run(self.tool, "backup", "--help")[0] else []
        _, wall, cpu = self.bench.run(self.tool, "backup", f"--repo={self.repo}", f"--data={self.bench.data}", "--jobs=2", "--no-progress", *full,
                                      f"--conninfo=host={self.bench.folder} user=postgres dbname=postgres")
        return wall, cpu

    def restore(self):
        self.bench.vacate(self.restored)
        _, wall, cpu = self.bench.run(self.tool, "restore", f"--repo={self.repo}", f"--data={self.restored}", "--target=immediate", "--jobs=2", "--no-progress")
        return wall, cpu

    def push(self):
        shutil.rmtree(self.pushed, ignore_errors=True)
        self.make(self.pushed)
        return self.each(lambda segment: ("archive-push", f"--repo={self.pushed}", segment))

    def get(self):
        def asked(segment):
            self.got.unlink(missing_ok=True)
            return "archive-get", f"--repo={self.repo}", segment.name, self.got
        return self.each(asked)

    def each(self, words):
        wall = cpu = 0.0
        for segment in self.bench.segments:
            _, wall_one, cpu_one = self.bench.run(self.tool, *words(segment))
            wall, cpu = wall + wall_one, cpu + cpu_one
        return wall, cpu
