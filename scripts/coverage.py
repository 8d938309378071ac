#!/usr/bin/env python3
"""Print what the tests pass, by layer, from what gcovr counted.

    scripts/coverage.py BUILD [--files LAYER]

BUILD was configured with -Db_coverage=true and its tests were run; `scripts/test coverage` does both. A
branch is an outcome of a decision in the machine code, of which a line can have many. --files LAYER lists
the files of one layer instead, the least covered first, with the lines that nothing passed.
"""

import argparse
import collections
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]


def counted(build):
    """The files as gcovr has them: {"file": ..., "lines": [{"line_number", "count", "branches"}]}."""
    said = subprocess.run(["gcovr", "--json", "--root", str(ROOT), "--filter", f"{ROOT}/src/", "--object-directory",
                           str(build), "--gcov-ignore-parse-errors", str(build)],
                          capture_output=True, text=True, check=True).stdout
    return json.loads(said)["files"]


def sums(file):
    lines = [line for line in file["lines"] if not line.get("gcovr/noncode")]
    branches = [branch for line in lines for branch in line["branches"]]
    return (len(lines), sum(line["count"] > 0 for line in lines),
            len(branches), sum(branch["count"] > 0 for branch in branches))


def share(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def print_layers(files):
    table = collections.defaultdict(lambda: [0, 0, 0, 0])
    for file in files:
        for layer in (file["file"].split("/")[1], "all"):
            table[layer] = [one + other for one, other in zip(table[layer], sums(file))]
    table["all"] = table.pop("all", [0, 0, 0, 0])
    print("| layer | lines | passed | branches | passed |\n|---|---|---|---|---|")
    for layer, (lines, passed, branches, taken) in table.items():
        print(f"| {layer} | {lines} | {share(passed, lines)} | {branches} | {share(taken, branches)} |")


def print_files(files, layer):
    chosen = [file for file in files if file["file"].startswith(f"src/{layer}/")]
    for file in sorted(chosen, key=lambda file: sums(file)[1] / max(sums(file)[0], 1)):
        lines, passed, branches, taken = sums(file)
        missed = [str(line["line_number"]) for line in file["lines"] if not line["count"] and not line.get("gcovr/noncode")]
        print(f"{file['file']}: lines {share(passed, lines)}, branches {share(taken, branches)}; "
              f"not passed: {' '.join(missed) or 'none'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--files", metavar="LAYER")
    options = parser.parse_args()
    files = sorted(counted(options.build.resolve()), key=lambda file: file["file"])
    if options.files:
        print_files(files, options.files)
    else:
        print_layers(files)


main()
