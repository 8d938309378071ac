"""tests/mutants.txt: what is known about single mutants and kept by hand."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIST = ROOT / "tests/mutants.txt"
KEYS = ("law", "file", "function", "without", "kind", "with", "nth", "fails", "survives")
KINDS = ("if", "operand", "sync", "compare")


def read_list(path=LIST):
    """Blocks with an empty line between them; a key a line; lines with # are comments."""
    entries = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        entry = {}
        for line in block.splitlines():
            if line.strip() and not line.startswith("#"):
                key, colon, value = line.partition(":")
                if not colon or key not in KEYS or key in entry:
                    sys.exit(f"mutate: {path}: what is \"{line}\"?")
                entry[key] = value.strip()
        if entry and (not {"file", "function", "without"} <= entry.keys() or
                      ("fails" in entry) == ("survives" in entry)):
            sys.exit(f"mutate: {path}: this is not a whole entry: {entry}")
        if entry:
            entries.append(entry)
    return entries


def by_hand(entries, file):
    return [entry for entry in entries if entry["file"] == file and "with" in entry]


def matches(entry, mutant):
    kind = "by hand" if "with" in entry else entry.get("kind", mutant.kind)
    return (mutant.file == entry["file"] and mutant.function == entry["function"] and mutant.kind == kind and
            mutant.text == entry["without"] and mutant.nth == int(entry.get("nth", mutant.nth)))


def integration_tests():
    """module.Class.test of all, by the text alone: nothing is imported."""
    found = set()
    for path in ROOT.glob("tests/integration/test_*.py"):
        owner = ""
        for kind, name in re.findall(r"^(class|    def) (\w+)", path.read_text(encoding="utf-8"), re.M):
            owner = name if kind == "class" else owner
            found.add(f"{path.stem}.{owner}" + ("" if kind == "class" else f".{name}"))
    return found


def complaint(entry, mutants, tests):
    """What is wrong with an entry, given all mutants of its file; empty when nothing is."""
    found = [mutant for mutant in mutants if matches(entry, mutant)]
    if not found:
        return "nothing like this is in that function"
    if len(found) > 1:
        return "several are like this: say which by kind (if, operand, sync, compare) or nth"
    if "fails" not in entry:
        return "" if entry["survives"] else "why does it survive?"
    law = entry.get("law", "")
    if not law.isdigit() or not 1 <= int(law) <= 13:
        return f"which law does it keep? \"law: {law}\" says nothing"
    return "" if any(entry["fails"] in name for name in tests) else f"there is no test {entry['fails']}"
