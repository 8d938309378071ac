"""The tool in a script of its own, which tests arm: it dies at a fault point, or waits at the door."""

import collections
import pathlib
import re

from support.archive import put
from support.cluster import make_directory
from support.processes import TOOL

SOURCES = pathlib.Path(__file__).resolve().parents[3] / "src"

# One line for each call that was killed (what it was armed with) and for each that was not.
SCRIPT = """#!/bin/sh
here={folder}
while [ -e $here/hold ]; do
    : >$here/waiting
    sleep 0.05
done
[ -e $here/delay ] && sleep $(cat $here/delay)
{settings}
PGCAIRN_FAULT_LOG=$here/passed
spare=$(cat $here/spare 2>/dev/null)
if [ "${{spare:-0}}" -gt 0 ]; then
    echo $((spare - 1)) >$here/spare
elif [ -e $here/armed ]; then
    read -r PGCAIRN_FAULT number <$here/armed
    export PGCAIRN_FAULT
    PGCAIRN_FAULT_LOG=$here/passed-$number
fi
export PGCAIRN_FAULT_LOG
{tool} "$@"
status=$?
if [ $status = 137 ] && [ -n "$PGCAIRN_FAULT" ]; then
    rm -f $here/armed
    echo "$PGCAIRN_FAULT" >>$here/died
    [ -e $here/gently ] && exit 1
else
    echo "$status" >>$here/ended
fi
exit $status
"""


def fault_points(*beginnings):
    """Every name in the sources that begins so: a new one is known without being listed anywhere."""
    found = set()
    for path in SOURCES.rglob("*.c"):
        found |= set(re.findall(r'FAULT_POINT\(\s*"([^"]+)"', path.read_text(encoding="utf-8")))
    return {point for point in found if not beginnings or point.startswith(beginnings)}


class Hook:
    """
    A program to call in the tool's place, in a folder of its own. When it is killed, the caller sees
    that, or gently only a failure: the archiver of a server ends over a death, and waits ten seconds
    before it comes back.
    """

    def __init__(self, folder, gently=False, **settings):
        self.folder = make_directory(folder)
        self.program = self.folder / "hook"
        self.armed = 0  # so often
        words = [f"export PGCAIRN_{name.upper()}={value}" for name, value in settings.items()]
        self.program.write_text(SCRIPT.format(folder=folder, tool=TOOL, settings="\n".join(words)),
                                encoding="utf-8")
        self.program.chmod(0o755)
        self.gently(gently)

    def __str__(self):
        return str(self.program)

    def _flag(self, name, value):
        if value:
            put(self.folder / name, b"")
        else:
            (self.folder / name).unlink(missing_ok=True)

    def gently(self, value):
        self._flag("gently", value)

    def hold(self, value=True):
        """Calls wait at the door until it is taken back."""
        (self.folder / "waiting").unlink(missing_ok=True)
        self._flag("hold", value)

    def delay(self, seconds):
        """From now on each call takes so much longer."""
        if seconds:
            put(self.folder / "delay", str(seconds).encode())
        else:
            (self.folder / "delay").unlink(missing_ok=True)

    def is_waiting(self):
        """Whether a call has come to the door since: of a server's archiver there is but one."""
        return (self.folder / "waiting").exists()

    def arm(self, point, hit=1, spare=0):
        """The next call but so many that passes this point, so many times, dies there."""
        put(self.folder / "spare", str(spare).encode())
        self.armed += 1
        new = put(self.folder / "new", f"{point}:crash:{hit} {self.armed}\n".encode())
        new.rename(self.folder / "armed")

    def disarm(self):
        (self.folder / "armed").unlink(missing_ok=True)

    def _lines(self, name):
        path = self.folder / name
        return path.read_text(encoding="ascii").split() if path.exists() else []

    def passed(self):
        return {point for path in self.folder.glob("passed*") for point in self._lines(path.name)}

    def died(self):
        """Where it was killed, in order."""
        return [line.split(":")[0] for line in self._lines("died")]

    def has_passed(self, point):
        """Since it was armed. A process that the call left behind dies there, and nobody sees it."""
        return point in self._lines(f"passed-{self.armed}")

    def ended(self):
        """How often it ended by itself, by exit status."""
        return collections.Counter(map(int, self._lines("ended")))
