#include "command/commands.h"

#include "incident/incident_commands.h"

/* clang-format off */
const Command command_table[] = {
    {
        .name = "init", .bit = FOR_INIT, .run = command_init,
        .help = "create a repository, register a cluster in it",
        .synopsis = "--repo=ADDRESS --data=DIR [--cluster=NAME] [--upgrade=NAME]",
        .details =
            "Creates the repository unless it is there, checks that the store can do what pgcairn "
            "relies on, and binds the cluster's name to its system identifier: nothing of another "
            "cluster can get under this name later.\n"
            "\n"
            "Then tell the server to archive its WAL:\n"
            "\n"
            "  archive_mode = on\n"
            "  archive_command = 'pgcairn archive-push --repo=/backup/pg %p'\n"
            "\n"
            "After pg_upgrade the server has a new system identifier, and its timelines begin at 1 "
            "again. So it gets another name; the old one keeps its backups and its WAL, and both "
            "know of each other:\n"
            "\n"
            "  pgcairn init --repo=/backup/pg --data=/srv/pg/18 --cluster=main-18 --upgrade=main\n",
    },
    {
        .name = "backup", .bit = FOR_BACKUP, .run = command_backup,
        .help = "take a base backup of a running server",
        .synopsis = "--repo=ADDRESS --data=DIR [OPTION]...",
        .details =
            "Copies the data directory and its tablespaces while the server works, checks every "
            "page, and waits until the WAL that the backup needs is in the repository. A backup "
            "that was not finished does not exist; run it again at any time.\n"
            "\n"
            "  pgcairn backup --repo=/backup/pg --data=/var/lib/postgresql/15/main\n"
            "  pgcairn backup --repo=/backup/pg --conninfo='host=/run/postgresql' --jobs=4\n"
            "\n"
            "Exit status 3 means that the backup is kept but pages were bad or WAL is late.\n",
    },
    {
        .name = "archive-push", .bit = FOR_PUSH, .run = command_archive_push,
        .help = "store a WAL file: the server's archive_command",
        .synopsis = "--repo=ADDRESS PATH [OPTION]...",
        .details =
            "Success means that the file is whole, belongs to this cluster, and is durable in the "
            "repository. A name that is there with other content is refused, never overwritten.\n"
            "\n"
            "With a place for notes (--spool) further segments that wait are pushed along, and the "
            "server's calls for them are answered by the notes, if file and archive are still what "
            "they were then.\n"
            "\n"
            "  archive_command = 'pgcairn archive-push --repo=/backup/pg %p'\n"
            "\n"
            "The server's module pgcairn_archive (archive_library, 15 and later) uses --requests: a "
            "path a line, answered by \"0\" or by an exit status and why.\n",
    },
    {
        .name = "archive-get", .bit = FOR_GET, .run = command_archive_get,
        .help = "hand a WAL file to a recovering server: its restore_command",
        .synopsis = "--repo=ADDRESS NAME PATH [OPTION]...",
        .details =
            "Exit status 1 means that there is provably no such file and none after it; upon that "
            "the server ends its recovery. Everything else that goes wrong is 255 and stops the "
            "server, so that it never opens without work that was committed.\n"
            "\n"
            "While a server recovers, the segments that follow are fetched ahead into "
            "pg_wal/pgcairn.prefetch (--prefetch); that is gone when it opens.\n"
            "\n"
            "  restore_command = 'pgcairn archive-get --repo=/backup/pg %f %p'\n",
    },
    {
        .name = "restore", .bit = FOR_RESTORE, .run = command_restore,
        .help = "rebuild a cluster at a point in time, and watch it get there",
        .synopsis = "--repo=ADDRESS --data=DIR [--target...] [--start] [OPTION]...",
        .details =
            "Plans first: which backup, which WAL, whether the target can be reached, what is in "
            "the way. --dry-run ends there. Without a target everything in the archive is "
            "replayed, and the server then opens.\n"
            "\n"
            "  pgcairn restore --repo=/backup/pg --data=/var/lib/postgresql/15/main --dry-run \\\n"
            "      --target-time='2026-11-22 14:30:00 Europe/Vienna'\n"
            "  pgcairn restore --repo=/backup/pg --data=/var/lib/postgresql/15/main --move-aside "
            "\\\n"
            "      --target-time='2026-11-22 14:30:00 Europe/Vienna' --start\n"
            "\n"
            "What is half restored cannot be started by mistake; run the same command again to "
            "go on.\n"
            "\n"
            "With --start it ends with checks (--checks, --probes, --backup-after) and what the "
            "restore has cost: commits and time. A check that failed is exit status 3.\n",
    },
    {
        .name = "watch", .bit = FOR_WATCH, .run = command_watch,
        .help = "watch a recovery: where it is, how fast, what it waits for",
        .synopsis = "--data=DIR [OPTION]...",
        .details =
            "Attaches to any recovering server, also one that pgcairn did not start, and ends when "
            "the recovery does: target reached, paused, open, or failed with the server's own "
            "reason (exit status 13). Where `restore` began it, the checks follow (--checks).\n"
            "\n"
            "  pgcairn watch --data=/var/lib/postgresql/15/main\n",
    },
    {
        .name = "advance", .bit = FOR_ADVANCE, .run = command_advance,
        .help = "move the target of a paused recovery forward",
        .synopsis = "--repo=ADDRESS --data=DIR --target-... [OPTION]...",
        .details =
            "For a recovery that `restore` began and that stands at its target, paused or shut "
            "down, when a look at the data shows that the target was too early. The server is "
            "stopped, replays on from where it is, and pauses at the new target, which must be "
            "later than the old one. The way back is a new restore.\n"
            "\n"
            "  pgcairn advance --repo=/backup/pg --data=/var/lib/postgresql/15/main \\\n"
            "      --target-time='2026-11-22 14:35:00 Europe/Vienna'\n",
    },
    {
        .name = "promote", .bit = FOR_PROMOTE, .run = command_promote,
        .help = "end a pause: open the recovered server for writing",
        .synopsis = "--data=DIR [OPTION]...",
        .details =
            "Promotes a recovering or paused server and waits until it accepts writes. From then "
            "on it is on a timeline of its own, and its target cannot be moved forward any more. "
            "Then the checks follow (--checks): is WAL archived again, and so on.\n"
            "\n"
            "  pgcairn promote --data=/var/lib/postgresql/15/main\n",
    },
    {
        .name = "drill", .bit = FOR_DRILL, .run = command_drill,
        .help = "try a restore in a scratch place, and keep the evidence",
        .synopsis = "--repo=ADDRESS --scratch=DIR [--target...] [OPTION]... | --list | --show=ID",
        .details =
            "Restores into --scratch, starts the server there, replays to the target, opens it, asks "
            "whether all is whole, measures each phase, and leaves nothing. The copy can reach "
            "nobody: it has no network address, archives nothing, follows nobody, runs none of the "
            "original's programs and libraries. This host needs PostgreSQL's programs and the "
            "repository, no more.\n"
            "\n"
            "  pgcairn drill --repo=/backup/pg --scratch=/var/tmp/drill\n"
            "  pgcairn drill --repo=/backup/pg --scratch=/var/tmp/drill --target=random "
            "--backup=random --read-all\n"
            "  pgcairn drill --repo=/backup/pg --scratch=/var/tmp/drill --seed=4711 "
            "--probes=shop.sql\n"
            "\n"
            "What it has found is kept in the repository (--list, --show). Exit status 13: recovery "
            "or a probe failed. A drill that was killed leaves DIR/pgcairn.drill; the next one, or "
            "--clean, ends its server and removes it.\n",
    },
    {
        .name = "list", .bit = FOR_LIST, .run = command_list,
        .help = "what is there: backups, and which instants can be restored",
        .synopsis = "--repo=ADDRESS [--cluster=NAME] [--json]",
        .details =
            "Shows the backups and, for each timeline path, the windows of time that they and "
            "gapless WAL give: every instant inside one can be restored.\n"
            "\n"
            "  pgcairn list --repo=/backup/pg\n"
            "  pgcairn list --repo=/backup/pg --json\n",
    },
    {
        .name = "log", .bit = FOR_LOG, .run = command_log,
        .help = "what happened when: commits, drops, restore points",
        .synopsis = "--repo=ADDRESS [--from=TIME|LSN] [--to=TIME|LSN] [--drops] [--json]",
        .details =
            "A line for each commit, with what it dropped, truncated or wrote anew, for each "
            "restore point and each new timeline. Where a drop is shown, what restore needs to stop "
            "just before it stands at the end of the line.\n"
            "\n"
            "  pgcairn log --repo=/backup/pg --drops --from='2026-11-22 14:00 Europe/Vienna'\n"
            "  pgcairn log --repo=/backup/pg --from=0/5000000 --to=0/6000000 --json\n"
            "\n"
            "Relations have names as far as they were in the newest backup before; others are "
            "shown by the number of their file. Exit status 8 means that WAL is missing or damaged "
            "where it was looked for.\n",
    },
    {
        .name = "verify", .bit = FOR_VERIFY, .run = command_verify,
        .help = "read everything back: is it whole, and does it fit together",
        .synopsis = "--repo=ADDRESS [--backup=ID] [--jobs=N] [--json]",
        .details =
            "Reads every stored byte and tells what is damaged, missing or does not fit, and what "
            "each finding means: which backups, and which instants can't be reached. Nothing is "
            "changed; a server is not needed.\n"
            "\n"
            "  pgcairn verify --repo=/backup/pg --jobs=4\n"
            "  pgcairn verify --repo=/backup/pg --backup=20261122T031500Z-k3v7qa --rate-limit=50MiB\n"
            "\n"
            "Exit status 8 means that there are findings, 7 that something could not be looked at. "
            "Notes alone are exit status 0.\n",
    },
    {
        .name = "status", .bit = FOR_STATUS, .run = command_status,
        .help = "is all well: what would be lost now, and what holds it up",
        .synopsis = "--repo=ADDRESS [--data=DIR] [--conninfo=STRING] [--rpo=TIME] [--backup-age=TIME] [--json]",
        .details =
            "Measures the exposure: how old is the oldest commit that is not yet durable in the "
            "repository? An idle database has none. Besides, what waits in pg_wal, whether the "
            "archiver works, what replication slots hold back, whether the settings fit the "
            "objective, and what can be restored. Each finding says what to do.\n"
            "\n"
            "  pgcairn status --repo=/backup/pg --data=/var/lib/postgresql/15/main\n"
            "  pgcairn status --repo=/backup/pg --conninfo='host=db user=monitor' --rpo=15min "
            "--json\n"
            "\n"
            "Exit status, as monitoring reads it: 0 OK, 1 WARNING (half of the objective), 2 "
            "CRITICAL (all of it), 3 UNKNOWN and every error.\n",
    },
    {
        .name = "duties", .bit = FOR_DUTIES, .run = command_duties,
        .help = "what has to be done again and again, and when it was done last",
        .synopsis = "--repo=ADDRESS [--list] [--duty-...=TIME] [--json]",
        .details =
            "Backup, verify, test restore and full drill, each with its period (--duty-backup and "
            "so on, best in the configuration file). When each was done last is read from the "
            "repository's journal alone. Due is one whose period is over, overdue when half a "
            "period more is: then the exit status is 3, and `status` warns.\n"
            "\n"
            "  pgcairn duties --list --repo=/backup/pg\n",
    },
    {
        .name = "run-duties", .bit = FOR_RUN_DUTIES, .run = command_run_duties,
        .help = "do those duties that are due, in order: for one timer line",
        .synopsis = "--repo=ADDRESS --data=DIR [--budget=TIME] [--duty-...=TIME] [--json]",
        .details =
            "Runs `backup`, `verify`, the full drill and the test restore as commands of their own, "
            "each when it is due or will be within an eighth of its period. One that fails does not "
            "keep the next from being done. What they need besides (--scratch of `drill`, --jobs) "
            "is read from the configuration file or the environment.\n"
            "\n"
            "  # cron: every night, done by five o'clock\n"
            "  0 1 * * *  pgcairn run-duties --repo=/backup/pg "
            "--data=/var/lib/postgresql/15/main --budget=4h\n"
            "\n"
            "Exit status 3: something was put off, as the budget did not allow it; 5: another run is "
            "at work; else that of the first that failed.\n",
    },
    {
        .name = "incident", .bit = FOR_INCIDENT, .run = command_incident,
        .help = "the record of an incident: notes, what was done, what was lost",
        .synopsis = "open TEXT [--severity=SEV1] | update TEXT | show [ID] | close CAUSE | list",
        .details =
            "Keeps what people note in the repository, adds what pgcairn did since (restores with "
            "their phases, drills, backups), what was kept and what was left out, and prints it in "
            "the form of a runbook: initial update, status update, resolution with cause and "
            "durations, timeline, and what is to be done within a day, a week and a month.\n"
            "\n"
            "  pgcairn incident open 'orders are gone' --severity=SEV1 --began=-20min "
            "--repo=/backup/pg\n"
            "  pgcairn incident update 'restoring to 14:29' --repo=/backup/pg\n"
            "  pgcairn incident show --json --repo=/backup/pg\n"
            "  pgcairn incident close 'a script without a where clause' --repo=/backup/pg\n",
    },
    {
        .name = "expire", .bit = FOR_EXPIRE, .run = command_expire,
        .help = "remove what the policy does not keep, or explain it",
        .synopsis = "--repo=ADDRESS [--keep-window=TIME] [--keep-min=N] [--dry-run] | --spare=ID",
        .details =
            "What no rule keeps is condemned first: it stays where it is for --grace, and a later "
            "run, from whatever host, looks at everything again before it removes anything. Without "
            "a policy nothing is removed. Whatever the policy says, these stay: the newest backup "
            "that can be restored, the newest that was proven, what is pinned, what somebody is "
            "using, and the WAL that these need. Where anything is damaged, can't be read, or a "
            "clock is wrong, nothing at all is removed.\n"
            "\n"
            "  pgcairn expire --repo=/backup/pg --keep-window=14d --keep-min=2 --dry-run\n"
            "  pgcairn expire --repo=/backup/pg --keep-window=14d --keep-weekly=8 --keep-monthly=12\n"
            "  pgcairn expire --repo=/backup/pg --keep-window=14d --simulate=365d --every=1d\n"
            "  pgcairn expire --repo=/backup/pg --spare=20261122T031500Z-k3v7qa\n"
            "  pgcairn expire --repo=/backup/pg --keep-window=3d --now --grace=0s --yes\n"
            "\n"
            "The last one is for a disk that is full: both phases at once, when nobody is at work.\n",
    },
    {
        .name = "remove", .bit = FOR_REMOVE, .run = command_remove,
        .help = "condemn one backup; expire removes it after its grace",
        .synopsis = "BACKUP --repo=ADDRESS [--grace=TIME]",
        .details =
            "For a backup that is damaged or not wanted any more. The last one that can be restored, "
            "the last one that was proven, one that is pinned or being read stay.\n"
            "\n"
            "  pgcairn remove 20261122T031500Z-k3v7qa --repo=/backup/pg\n",
    },
    {
        .name = "pin", .bit = FOR_PIN, .run = command_pin,
        .help = "keep a backup whatever the policy says",
        .synopsis = "BACKUP --repo=ADDRESS [--until=TIME] [--reason=TEXT]",
        .details =
            "The backup and the WAL that makes it consistent stay until then, or until unpin lets it "
            "go.\n"
            "\n"
            "  pgcairn pin 20261122T031500Z-k3v7qa --reason='before the migration' "
            "--until='2027-03-01 00:00 UTC' --repo=/backup/pg\n",
    },
    {
        .name = "unpin", .bit = FOR_UNPIN, .run = command_unpin,
        .help = "let a pinned backup go the way the policy says",
        .synopsis = "BACKUP --repo=ADDRESS [--reason=TEXT]",
        .details =
            "What no other rule keeps then is condemned by the next expire.\n"
            "\n"
            "  pgcairn unpin 20261122T031500Z-k3v7qa --repo=/backup/pg\n",
    },
    {
        .name = "wal-quarantine", .bit = FOR_QUARANTINE, .run = command_wal_quarantine,
        .help = "take the WAL of a wrong history out of the way, or put it back",
        .synopsis = "--repo=ADDRESS [--timeline=N] [--from=LSN|SEGMENT] [--yes] | --undo=ID [--yes]",
        .details =
            "When a copy of the cluster has archived into its archive, its WAL stands in the way of "
            "the right one. This sets it aside in the repository under names that no command "
            "reads; nothing is deleted. First it shows what that is, what was committed in it, and "
            "what can be restored before and after; with --yes it is done. Stop the wrong server's "
            "archiving before.\n"
            "\n"
            "  pgcairn wal-quarantine --repo=/backup/pg --timeline=2\n"
            "  pgcairn wal-quarantine --repo=/backup/pg --timeline=1 "
            "--from=000000010000000000000042 --yes\n"
            "  pgcairn wal-quarantine --repo=/backup/pg --beyond-fork=2\n"
            "  pgcairn wal-quarantine --repo=/backup/pg\n"
            "\n"
            "The last one lists what was set aside. --undo puts it back, unless one of its names "
            "has other content by now.\n",
    },
    {
        .name = "receive", .bit = FOR_RECEIVE, .run = command_receive,
        .help = "stream WAL from the server into the repository as it is written",
        .synopsis = "--repo=ADDRESS (--data=DIR | --conninfo=STRING) [OPTION]...",
        .details =
            "Runs in the foreground until a signal ends it (systemd: Type=notify). Whole segments "
            "are archived as archive-push does, and may be by both; of the open one, what is new "
            "is stored every few seconds, and a restore to the latest point uses it. The server is "
            "told that WAL is durable only once it is so in the repository; its replication slot "
            "keeps the rest, also while this does not run: drop the slot when it is not wanted any "
            "more (SELECT pg_drop_replication_slot('pgcairn')).\n"
            "\n"
            "  pgcairn receive --repo=/backup/pg --conninfo='host=db1 user=backup'\n"
            "  pgcairn receive --repo=/backup/pg --data=/var/lib/postgresql/15/main --synchronous\n"
            "\n"
            "With synchronous_standby_names = 'pgcairn_receive' on the server and --synchronous "
            "here, a commit is acknowledged only when it is in the repository. With --wal-spool it "
            "is acknowledged when it is in that directory, which may be all that has it: start "
            "receive again with it before you restore.\n",
    },
    {.name = NULL},
};
/* clang-format on */
