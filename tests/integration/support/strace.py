"""
What a program made durable, and when: read from a log of its system calls.

kill -9 proves nothing about fsync, since the page cache survives it. So the calls themselves are
judged. A file goes dirty -> synced -> published -> directory synced, a directory's entries go
pending -> durable, and `Trace.violations` tells every step that was taken too early:

- a file is published (link, rename) with bytes that no fsync had reached;
- something that relies on all the rest (`relies`, a manifest for instance) appears, or something is
  removed (`removal_relies`), while a file, a name or a new directory is not durable yet;
- the program ends with status 0 while anything is not durable;
- after "that name exists" (EEXIST) the directory is not synced before work goes on.

A sync covers only what was complete when it began; a failed one covers nothing; and it covers a
write only through a descriptor that was opened before it, since only then it is sure to have told
of an error (man 2 fsync, syncfs).
"""

import os
import re
from dataclasses import dataclass, field

CALLS = ("open,openat,openat2,creat,write,writev,pwrite64,pwritev,pwritev2,"
         "copy_file_range,sendfile,splice,truncate,ftruncate,fallocate,fchmod,fchown,utimensat,"
         "fsync,fdatasync,syncfs,link,linkat,symlink,symlinkat,rename,renameat,renameat2,"
         "mkdir,mkdirat,unlink,unlinkat,rmdir,exit_group")
TEMPORARY = r"\.tmp-[0-9a-f]{16}$|/xlogtemp\.[0-9a-f]{16}$"

WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "fallocate",
          "fchmod", "fchown", "utimensat"}


def command(log, *options):
    """The words in front of a command that make strace log what Trace reads."""
    return ["strace", "-f", "--seccomp-bpf", "-y", "-qq", "-s", "0", "-e", f"trace={CALLS}", "-e", "signal=none",
            *options, "-o", str(log), "--"]


@dataclass
class Call:
    pid: int
    name: str
    text: str
    begin: int
    end: int = -1
    result: int = -1
    error: str = ""
    result_path: str = ""

    def paths(self):
        """The call's path arguments, absolute as far as the log tells."""
        found, folder = [], ""
        for fd_path, quoted in re.findall(r'(?:AT_FDCWD|(?<=[( ])\d+)<([^>]*)>|"((?:[^"\\]|\\.)*)"', self.text):
            if fd_path:
                folder = fd_path
            else:
                found.append(os.path.normpath(os.path.join(folder, quoted)))
        return found

    def fd(self, index=0):
        """Number and path of the call's descriptor; (-1, "") when it has none."""
        found = re.findall(r"[(, ](\d+)<([^>]*)>", self.text)
        if len(found) <= index:
            return -1, ""
        return int(found[index][0]), found[index][1].removesuffix(" (deleted)")


def read(log):
    """Calls of a log in two lists of moments: [(line, is_end, call)], in the order they were seen."""
    moments, open_calls = [], {}
    for number, line in enumerate(log.splitlines()):
        head = re.match(r"(\d+)\s+(.*)$", line)
        if not head:
            continue
        pid, text = int(head[1]), head[2]
        resumed = re.match(r"<\.\.\. (\w+) resumed>(.*)$", text)
        if resumed:
            call = open_calls.pop(pid, None)
            if call is None:
                continue
            call.text += resumed[2]
        else:
            name = re.match(r"(\w+)\(", text)
            if not name:
                continue
            call = Call(pid, name[1], text, number)
            moments.append((number, False, call))
            if text.endswith("<unfinished ...>"):
                call.text = text.removesuffix("<unfinished ...>")
                open_calls[pid] = call
                continue
        call.end = number
        done = re.search(r"\) += (-?\d+|\?)(?:<([^>]*)>)?(?: (E[A-Z]+))?[^=]*$", call.text)
        if done and done[1] != "?":
            call.result, call.result_path, call.error = int(done[1]), done[2] or "", done[3] or ""
            call.text = call.text[:done.start() + 1]
        moments.append((number, True, call))
    return moments


@dataclass
class File:
    """Content, whatever its names are."""
    dirty: set = field(default_factory=set)  # (line, is data) of what no sync has reached

    @property
    def dirty_since(self):
        return min(self.dirty, default=(None, False))[0]

    def since(self, line):
        """What a descriptor opened at this line would tell errors of."""
        return {(begin, is_data) for begin, is_data in self.dirty if begin > line or not is_data}


@dataclass
class Directory:
    pending: dict = field(default_factory=dict)  # entry -> (line, what happened to it)


class Trace:
    """
    Judge a log. Only what lies below `roots` counts; `exempt` is a pattern of paths that need not
    be durable. relies and removal_relies are patterns of paths: see the top.
    """

    def __init__(self, log, roots, relies=None, removal_relies=None, exempt=None,
                 temporary=TEMPORARY, device_of=None):
        self.roots = [os.path.realpath(root) for root in roots]
        self.relies = re.compile(relies) if relies else None
        self.removal_relies = re.compile(removal_relies) if removal_relies else None
        self.exempt = re.compile(exempt) if exempt else None
        self.temporary = re.compile(temporary)
        self.device_of = device_of or device_by_mounts()
        self.violations, self.published, self.removed, self.synced = [], [], [], []
        self.status = None
        self.files, self.directories, self.links, self.opened, self.owed = {}, {}, {}, {}, {}
        self.captured, self.main = {}, None
        for line, is_end, call in read(log):
            self.main = self.main or call.pid
            (self._end if is_end else self._begin)(line, call)
        if self.status is None:
            self.violations.append("the log does not show the program's end")

    # -- names ----------------------------------------------------------------------------------

    def _resolve(self, path):
        for link, target in self.links.items():
            if path.startswith(link + "/"):
                return self._resolve(target + path[len(link):])
        return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))

    def _watched(self, path):
        return any(path == root or path.startswith(root + "/") for root in self.roots)

    def _matters(self, path):
        return not self.temporary.search(path) and not (self.exempt and self.exempt.search(path))

    def _file(self, path):
        return self.files.setdefault(path, File())

    def _entry(self, path, line, what):
        if self._watched(path) or self._watched(os.path.dirname(path)):
            folder = self.directories.setdefault(os.path.dirname(path), Directory())
            folder.pending[os.path.basename(path)] = (line, what)

    def _gone(self, path, line, what):
        """A name is no more: only that it had been durable makes this something to sync."""
        folder = self.directories.setdefault(os.path.dirname(path), Directory())
        if folder.pending.pop(os.path.basename(path), ("", ""))[1] not in ("created", "published",
                                                                          "new directory"):
            self._entry(path, line, what)
        for inner in [name for name in self.directories if name == path]:
            self.directories[inner].pending.clear()

    # -- what is not durable --------------------------------------------------------------------

    def _loose(self, removals=True):
        loose = [f"content of {path} (dirty since line {file.dirty_since + 1})"
                 for path, file in self.files.items()
                 if file.dirty_since is not None and self._watched(path) and self._matters(path)]
        for folder, state in self.directories.items():
            for name, (line, what) in state.pending.items():
                path = os.path.join(folder, name)
                if self._matters(path) and (removals or what != "removed"):
                    loose.append(f"{what}: {path} (line {line + 1})")
        return loose

    def _violation(self, line, text):
        self.violations.append(f"line {line + 1}: {text}")

    def _demand_durable(self, line, what, removals=True):
        for loose in self._loose(removals):
            self._violation(line, f"{what}, and not durable is {loose}")

    # -- begins ---------------------------------------------------------------------------------

    def _begin(self, line, call):
        if call.name in WRITES:
            self._written(line, call)
        elif call.name in ("fsync", "fdatasync"):
            path = call.fd()[1]
            file, folder = self.files.get(path), self.directories.get(path)
            opened = self.opened.get(call.fd()[0], -1)
            self.captured[id(call)] = (file, file.since(opened) if file else set(),
                                       dict(folder.pending) if folder else {})
        elif call.name == "syncfs":
            self._capture_file_system(call)
        elif call.name in ("link", "linkat", "rename", "renameat", "renameat2"):
            self._check_publish(line, call)
        elif call.name in ("unlink", "unlinkat", "rmdir"):
            path = self._resolve(call.paths()[0])
            self._check_owed(line, call)
            if self.removal_relies and self.removal_relies.search(path) and self._matters(path):
                self._demand_durable(line, f"{path} is removed", removals=False)
        elif call.name == "exit_group" and call.pid == self.main:
            self.status = int(re.search(r"\((-?\d+)", call.text)[1])
            self._check_owed(line, call)
            if self.status == 0:
                self._demand_durable(line, "the program says that it succeeded")

    def _written(self, line, call):
        path = call.fd()[1]
        if not path.startswith("/") or not self._watched(path):
            return
        if path in self.directories or os.path.isdir(path):
            self.directories.setdefault(path, Directory()).pending["."] = (line, "attributes")
        else:
            self._file(path).dirty.add((line, "write" in call.name))

    def _check_owed(self, line, call):
        if call.pid in self.owed:
            folder = self.owed.pop(call.pid)
            self._violation(line, f"a name was found in {folder}, and work goes on without a sync")

    def _check_publish(self, line, call):
        source, target = map(self._resolve, call.paths())
        if not self._watched(target):
            return
        self._check_owed(line, call)
        file = self.files.get(source)
        if file is not None and file.dirty_since is not None:
            self._violation(line, f"{target} is published, and its content is dirty since line "
                                  f"{file.dirty_since + 1}")
        if self.relies and (self.relies.search(target)):
            self._demand_durable(line, f"{target} appears")

    def _capture_file_system(self, call):
        number, path = call.fd()
        device = self.device_of(path)
        since = self.opened.get(number, -1)
        self.captured[id(call)] = (
            [(file, file.since(since)) for name, file in self.files.items()
             if self.device_of(name) == device],
            [(folder, dict(folder.pending)) for name, folder in self.directories.items()
             if self.device_of(name) == device])

    # -- ends -----------------------------------------------------------------------------------

    def _end(self, line, call):
        if call.name in WRITES:
            self._written(line, call)
        elif call.name in ("open", "openat", "openat2", "creat"):
            self._opened(line, call)
        elif call.name in ("fsync", "fdatasync"):
            self._synced(call)
        elif call.name == "syncfs":
            files, folders = self.captured.pop(id(call))
            if call.result == 0:
                for file, writes in files:
                    file.dirty -= writes
                for folder, pending in folders:
                    settle(folder, pending)
        elif call.error == "EEXIST" and call.name in ("link", "linkat", "renameat2"):
            self.owed[call.pid] = os.path.dirname(self._resolve(call.paths()[-1]))
        elif call.result == 0:
            self._changed(line, call)

    def _opened(self, line, call):
        path = self._resolve(call.result_path or (call.paths() or ["?"])[0])
        if call.result < 0 or not self._watched(path):
            return
        self.opened[call.result] = line
        if "O_CREAT" in call.text and ("O_EXCL" in call.text or path not in self.files):
            self.files[path] = File()
            self._entry(path, line, "created")
        if "O_TRUNC" in call.text:
            self._file(path).dirty.add((line, False))

    def _synced(self, call):
        file, writes, pending = self.captured.pop(id(call))
        path = call.fd()[1]
        if call.result != 0:
            return
        self.synced.append(path)
        if file is not None:
            file.dirty -= writes
        if path in self.directories:
            settle(self.directories[path], pending)
        if self.owed.get(call.pid) == path:
            del self.owed[call.pid]

    def _changed(self, line, call):
        if call.name in ("mkdir", "mkdirat"):
            path = self._resolve(call.paths()[0])
            self.directories[path] = Directory()
            self._entry(path, line, "new directory")
        elif call.name in ("symlink", "symlinkat"):
            target, path = call.paths()[-2:]
            self.links[self._resolve(path)] = target
            self._entry(self._resolve(path), line, "created")
        elif call.name in ("link", "linkat"):
            source, target = map(self._resolve, call.paths())
            self.files[target] = self._file(source)
            self._entry(target, line, "published")
            self.published.append(target)
        elif call.name in ("rename", "renameat", "renameat2"):
            self._renamed(line, *map(self._resolve, call.paths()))
        elif call.name in ("unlink", "unlinkat", "rmdir"):
            path = self._resolve(call.paths()[0])
            if self._watched(path):
                self.removed.append(path)
                self.files.pop(path, None)
                self._gone(path, line, "removed")

    def _renamed(self, line, source, target):
        if self._watched(source):
            self._gone(source, line, "renamed away")
        if source in self.files:
            self.files[target] = self.files.pop(source)
        for known in (self.files, self.directories):
            for path in [path for path in known if path.startswith(source + "/")]:
                known[target + path[len(source):]] = known.pop(path)
        if source in self.directories:
            self.directories[target] = self.directories.pop(source)
        self._entry(target, line, "published")
        self.published.append(target)


def settle(folder, pending):
    for name, state in pending.items():
        if folder.pending.get(name) == state:
            del folder.pending[name]


def device_by_mounts():
    """A function that tells by the longest mount point on which file system a path is."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        points = sorted({line.split()[1] for line in mounts}, key=len, reverse=True)

    def device_of(path):
        return next((point for point in points
                     if path == point or path.startswith(point.rstrip("/") + "/")), "/")
    return device_of
