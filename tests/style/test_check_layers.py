#!/usr/bin/env python3
"""scripts/check-layers.py says yes to what is allowed, and no to each kind of mistake."""

import unittest

from scripted import ScriptTest


class CheckLayers(ScriptTest):
    script = "check-layers.py"

    def test_own_and_lower_layers_are_allowed(self):
        self.accept({
            "src/repo/a.c": '#include "repo/a.h"\n#include "private.h"\n#include "base/b.h"\n#include <stdio.h>\n'
                            '#include "postgres/x.h"\n#include <sys/stat.h>\n',
            "include/repo/a.h": '#include "storage/s.h"\n',
            "src/main.c": '#include "command/commands.h"\n#include "base/log.h"\n',
        })

    def test_upward_includes_are_refused(self):
        for own, upper in [("base", "stream"), ("repo", "catalog"), ("storage", "repo"), ("cli", "command"),
                           ("postgres", "cli"), ("push", "drill"), ("replace", "restore")]:
            with self.subTest(own=own, upper=upper):
                self.refuse({f"src/{own}/a.c": f'\n#include "{upper}/b.h"\n'},
                            f"src/{own}/a.c:2: {own} must not include {upper}")
                self.refuse({f"include/{own}/a.h": f'#  include "{upper}/b.h"\n'},
                            f"include/{own}/a.h:1: {own} must not include {upper}")

    def test_equals_do_not_know_each_other(self):
        for own, equal in [("storage", "postgres"), ("backup", "rebuild"), ("rebuild", "recovery"), ("push", "verify"), ("wal", "pack")]:
            with self.subTest(own=own, equal=equal):
                self.refuse({f"src/{own}/a.c": f'#include "{equal}/b.h"\n'}, f"{own} must not include {equal}")

    def test_the_module_sees_the_server_alone(self):
        self.accept({"src/module/a.c": "#include <postgres.h>\n#include <storage/latch.h>\n"})
        self.refuse({"src/module/a.c": '#include "base/log.h"\n'}, "module must not include base/log.h")

    def test_unknown_folders_are_refused(self):
        self.refuse({"src/utils/a.c": ""}, "src/utils/a.c: unknown layer utils")
        self.refuse({"include/common/a.h": ""}, "include/common/a.h: unknown layer common")
        self.refuse({"src/repo/a.c": '#include "helpers/b.h"\n'}, "src/repo/a.c:1: unknown layer helpers")
        self.refuse({"src/repo/a.c": '#include "../base/b.h"\n'}, "unknown layer ..")
        self.refuse({"src/other.c": ""}, "src/other.c: unknown layer other.c")

    def test_folders_without_sources_are_refused_too(self):
        self.refuse({"src/repo/a.c": "", "src/misc/meson.build": ""}, "src/misc: unknown layer misc")

    def test_a_folder_of_more_than_twenty_sources_is_refused(self):
        files = {f"src/repo/a{number}.c": "" for number in range(20)}
        self.accept(files | {"src/repo/a.h": ""})
        self.refuse(files | {"src/repo/a20.c": ""}, "src/repo: 21 source files, more than 20")

    def test_foreign_libraries_have_one_door(self):
        for header, door in [("libpq-fe.h", "server"), ("zstd.h", "stream"), ("lz4frame.h", "stream"), ("ini.h", "cli"),
                             ("openssl/evp.h", "stream"), ("zlib.h", "stream"), ("xxhash.h", "stream"),
                             ("curl/curl.h", "storage"), ("archive.h", "stream")]:
            with self.subTest(header=header):
                self.accept({f"src/{door}/a.c": f"#include <{header}>\n"})
                self.refuse({"src/command/a.c": f"#include <{header}>\n"}, f"<{header}> may be included in {door} only")

    def test_the_repository_has_one_door(self):
        call = "    Storage *storage = storage_open(&setup, err);\n"
        self.accept({"src/setup/repository.c": call, "include/storage/storage.h": "Storage *storage_open(int);\n"})
        self.refuse({"src/command/list.c": "\n" + call},
                    "src/command/list.c:2: a command opens its repository through setup/repository.h")

    def test_ours_are_written_with_quotes(self):
        self.refuse({"src/repo/a.c": "#include <base/b.h>\n"}, 'write "base/b.h", it is ours')

    def test_no_sources_are_a_mistake(self):
        self.refuse({"README.md": ""}, "no sources here")


if __name__ == "__main__":
    unittest.main()
