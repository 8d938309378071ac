#include "repo/layout.h"

#include "base/memory.h"
#include "base/random.h"
#include "base/text.h"
#include "base/time.h"

#include <inttypes.h>
#include <time.h>

/* Of every WAL object, whatever its codec: docs/format.md, chapter 1. */
#define WAL_ENDING ".wal"
/* What is remembered of the folders of WAL, in known/. */
#define KNOWN_FOLDERS "folders"

enum {
    CLUSTER_NAME_MAX = 63,
    FOLDER_LENGTH = 16, /* It is the timeline and the high half of a segment's name. */
    SEGMENT_NAME_LENGTH = 24,
    OFFSET_LENGTH = 8, /* A place in a segment has this many hexadecimal digits. */
    BACKUP_ID_LENGTH = BACKUP_ID_SIZE - 1,
    TIMELINE_LENGTH = 8, /* It is hexadecimal, as is the next. */
    NUMBER_LENGTH = 16,
    /* It is decimal. After it come "-" and as many random hexadecimal digits. */
    MARK_NUMBER_LENGTH = 8,
};

/* Of the random end of a backup id. */
static bool is_base32(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || text_is_digit(c);
}

bool cluster_name_check(const char *name, Error *err)
{
    static const char *const reserved[] = {LAYOUT_REPOSITORY, "keys"};

    if (!is_letter_or_digit(name[0])) {
        return error_set(err, ERR_USAGE,
                         "cluster name \"%s\" does not begin with a letter or digit", name);
    }
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (!is_letter_or_digit(name[i]) && name[i] != '_' && name[i] != '-') {
            return error_set(err, ERR_USAGE,
                             "cluster name \"%s\" has other characters than letters, digits, "
                             "\"_\" and \"-\"",
                             name);
        }
    }
    if (strlen(name) > CLUSTER_NAME_MAX) {
        return error_set(err, ERR_USAGE, "cluster name \"%s\" is longer than %d characters", name,
                         CLUSTER_NAME_MAX);
    }
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
        if (strcmp(name, reserved[i]) == 0) {
            return error_set(err, ERR_USAGE, "cluster name \"%s\" is taken by the repository",
                             name);
        }
    }
    return true;
}

char *layout_registration(const char *cluster, unsigned number)
{
    return text_format("%s/registration/%04u", cluster, number);
}

char *layout_registration_prefix(const char *cluster)
{
    return text_format("%s/registration/", cluster);
}

char *layout_manifest(const char *cluster, const char *backup)
{
    return text_format("%s/backup/%s/manifest", cluster, backup);
}

char *layout_backup_prefix(const char *cluster)
{
    return text_format("%s/backup/", cluster);
}

char *layout_pack(const char *cluster, const char *pack_id)
{
    return text_format("%s/pack/%.2s/%s", cluster, pack_id, pack_id);
}

char *layout_pack_prefix(const char *cluster)
{
    return text_format("%s/pack/", cluster);
}

/* Everything of a timeline and high half rests in one folder; history files are above them. */
static bool has_folder(const char *wal_name)
{
    return strlen(wal_name) >= SEGMENT_NAME_LENGTH;
}

char *layout_wal_folder(const char *cluster, const char *wal_name)
{
    if (!has_folder(wal_name))
        return layout_wal_prefix(cluster);
    return text_format("%s/wal/%.*s/", cluster, FOLDER_LENGTH, wal_name);
}

char *layout_wal(const char *cluster, const char *wal_name)
{
    if (!has_folder(wal_name))
        return text_format("%s/wal/%s" WAL_ENDING, cluster, wal_name);
    return text_format("%s/wal/%.*s/%s" WAL_ENDING, cluster, FOLDER_LENGTH, wal_name, wal_name);
}

char *layout_wal_prefix(const char *cluster)
{
    return text_format("%s/wal/", cluster);
}

char *layout_open_prefix(const char *cluster)
{
    return text_format("%s/open/", cluster);
}

char *layout_piece(const char *cluster, const char *wal_name, uint32_t from, uint32_t to)
{
    return text_format("%s/open/%s.%08" PRIX32 "-%08" PRIX32, cluster, wal_name, from, to);
}

char *layout_lease_prefix(const char *cluster)
{
    return text_format("%s/lease/", cluster);
}

char *layout_reserve_prefix(const char *cluster)
{
    return text_format("%s/reserve/", cluster);
}

char *layout_journal_prefix(const char *cluster)
{
    return text_format("%s/journal/", cluster);
}

char *layout_incident_prefix(const char *cluster)
{
    return text_format("%s/incident/", cluster);
}

char *layout_condemned_prefix(const char *cluster)
{
    return text_format("%s/condemned/", cluster);
}

char *layout_quarantine_prefix(const char *cluster)
{
    return text_format("%s/quarantine/", cluster);
}

char *layout_quarantine_record(const char *cluster, const char *id)
{
    return text_format("%s/quarantine/%s/record", cluster, id);
}

char *layout_quarantined(const char *cluster, const char *id, const char *object)
{
    return text_format("%s/quarantine/%s%s", cluster, id, object + strlen(cluster));
}

char *layout_evidence_prefix(const char *cluster)
{
    return text_format("%s/evidence/", cluster);
}

char *layout_evidence_record(const char *cluster, const char *id)
{
    return text_format("%s/evidence/%s/record", cluster, id);
}

char *layout_evidence_log(const char *cluster, const char *id)
{
    return text_format("%s/evidence/%s/log", cluster, id);
}

char *layout_known_prefix(const char *cluster)
{
    return text_format("%s/known/", cluster);
}

char *layout_known_wal_prefix(const char *cluster, uint32_t timeline, uint64_t first)
{
    return text_format("%s/known/%08" PRIX32 "-%016" PRIX64 ".", cluster, timeline, first);
}

char *layout_known_wal(const char *cluster, uint32_t timeline, uint64_t first, uint64_t number)
{
    CLEANUP(text_freep) char *prefix = layout_known_wal_prefix(cluster, timeline, first);

    return text_format("%s%016" PRIx64, prefix, number);
}

char *layout_known_backup(const char *cluster, const char *backup, uint64_t number)
{
    return text_format("%s/known/%s.%016" PRIx64, cluster, backup, number);
}

char *layout_known_folders_prefix(const char *cluster)
{
    return text_format("%s/known/" KNOWN_FOLDERS ".", cluster);
}

char *layout_known_folders(const char *cluster, uint64_t number)
{
    return text_format("%s/known/" KNOWN_FOLDERS ".%016" PRIx64, cluster, number);
}

char *layout_mark_prefix(const char *cluster)
{
    return text_format("%s/mark/", cluster);
}

char *layout_mark_about(const char *cluster, const char *kind, const char *what,
                        const char *subject)
{
    return text_format("%s/mark/%s.%s.%s.", cluster, kind, what, subject);
}

char *layout_mark(const char *cluster, const char *kind, const char *what, const char *subject,
                  unsigned number, uint32_t random)
{
    CLEANUP(text_freep) char *about = layout_mark_about(cluster, kind, what, subject);

    return text_format("%s%0*u-%08" PRIx32, about, MARK_NUMBER_LENGTH, number, random);
}

/* What follows "CLUSTER/FOLDER/" in an object's name; NULL when it is elsewhere. */
static const char *name_within(const char *cluster, const char *folder, const char *object)
{
    size_t cluster_length = strlen(cluster);
    size_t folder_length = strlen(folder);

    if (strncmp(object, cluster, cluster_length) != 0 || object[cluster_length] != '/')
        return NULL;
    object += cluster_length + 1;
    if (strncmp(object, folder, folder_length) != 0 || object[folder_length] != '/')
        return NULL;
    return object + folder_length + 1;
}

bool layout_wal_name_of(const char *cluster, const char *object, uint32_t segment_size,
                        WalName *name)
{
    char text[WAL_NAME_SIZE];
    const char *file = name_within(cluster, "wal", object);
    const char *slash = file == NULL ? NULL : strchr(file, '/');
    WalName parsed;
    Error ignored = {0}; /* a name that is none is an answer here */

    if (file == NULL)
        return false;
    /* A file in the wrong folder is a foreign one: nobody would find it by its name. */
    if (slash != NULL &&
        (slash - file != FOLDER_LENGTH || strncmp(file, slash + 1, FOLDER_LENGTH) != 0))
        return false;

    const char *base = slash == NULL ? file : slash + 1;
    size_t length = strlen(base);
    size_t ending_length = strlen(WAL_ENDING);
    if (length <= ending_length || length - ending_length >= sizeof text ||
        strcmp(base + length - ending_length, WAL_ENDING) != 0)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)(length - ending_length), base);
    if (!wal_name_parse(text, segment_size, &parsed, &ignored) ||
        (slash == NULL) != (parsed.kind == WAL_HISTORY))
        return false;
    *name = parsed;
    return true;
}

/* Hexadecimal digits, in capitals as in the names of segments. */
static bool parse_hex_digits(const char *text, size_t count, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < count; i++) {
        const char c = text[i];

        if (!text_is_digit(c) && (c < 'A' || c > 'F'))
            return false;
        *number = *number << 4 | (uint64_t)(text_is_digit(c) ? c - '0' : c - 'A' + 10);
    }
    return true;
}

static bool parse_offset(const char *text, uint32_t *offset)
{
    uint64_t number;

    if (!parse_hex_digits(text, OFFSET_LENGTH, &number))
        return false;
    *offset = (uint32_t)number;
    return true;
}

/* "00000001000000000000002A.00000000-00012340" */
bool layout_piece_of(const char *cluster, const char *object, uint32_t segment_size, WalName *name,
                     uint32_t *from, uint32_t *to)
{
    char text[WAL_NAME_SIZE];
    const char *file = name_within(cluster, "open", object);
    WalName parsed;
    uint32_t first;
    uint32_t end;
    Error ignored = {0}; /* a name that is none is an answer here */

    if (file == NULL || strlen(file) != SEGMENT_NAME_LENGTH + 2 * (1 + OFFSET_LENGTH))
        return false;
    snprintf(text, sizeof text, "%.*s", SEGMENT_NAME_LENGTH, file);
    file += SEGMENT_NAME_LENGTH;
    if (file[0] != '.' || !parse_offset(file + 1, &first) || file[1 + OFFSET_LENGTH] != '-' ||
        !parse_offset(file + 2 + OFFSET_LENGTH, &end) || first >= end || end > segment_size ||
        !wal_name_parse(text, segment_size, &parsed, &ignored) || parsed.kind != WAL_SEGMENT)
        return false;
    *name = parsed;
    *from = first;
    *to = end;
    return true;
}

/* "20261122T031500Z-k3v7qa" */
bool backup_id_is_valid(const char *text, size_t size)
{
    /* d: a digit; a: of a-z2-7; others stand for themselves. */
    static const char pattern[] = "ddddddddTddddddZ-aaaaaa";

    if (size != BACKUP_ID_LENGTH)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool fits = pattern[i] == 'd'   ? text_is_digit(text[i])
                    : pattern[i] == 'a' ? is_base32(text[i])
                                        : text[i] == pattern[i];
        if (!fits)
            return false;
    }
    return true;
}

bool layout_backup_id_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE])
{
    const char *text = name_within(cluster, "backup", object);
    const char *slash = text == NULL ? NULL : strchr(text, '/');

    if (slash == NULL || strcmp(slash, "/manifest") != 0 ||
        !backup_id_is_valid(text, (size_t)(slash - text)))
        return false;
    memcpy(id, text, BACKUP_ID_LENGTH);
    id[BACKUP_ID_LENGTH] = '\0';
    return true;
}

/* "CLUSTER/FOLDER/ID/WHAT" */
static bool id_within(const char *cluster, const char *folder, const char *object,
                      char id[BACKUP_ID_SIZE], const char **what)
{
    const char *text = name_within(cluster, folder, object);
    const char *slash = text == NULL ? NULL : strchr(text, '/');

    if (slash == NULL || !backup_id_is_valid(text, (size_t)(slash - text)))
        return false;
    memcpy(id, text, BACKUP_ID_LENGTH);
    id[BACKUP_ID_LENGTH] = '\0';
    *what = slash + 1;
    return true;
}

bool layout_quarantine_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE],
                          const char **what)
{
    return id_within(cluster, "quarantine", object, id, what);
}

bool layout_evidence_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE],
                        const char **what)
{
    return id_within(cluster, "evidence", object, id, what);
}

bool layout_incident_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE])
{
    const char *what;

    return id_within(cluster, "incident", object, id, &what) && strchr(what, '/') == NULL;
}

/* "known/WHAT.0123456789abcdef": WHAT has that many characters. NULL when it is not such a name. */
static const char *known_what(const char *cluster, const char *object, size_t length)
{
    const char *file = name_within(cluster, "known", object);

    if (file == NULL || strlen(file) != length + 1 + NUMBER_LENGTH || file[length] != '.' ||
        strspn(file + length + 1, "0123456789abcdef") != NUMBER_LENGTH)
        return NULL;
    return file;
}

bool layout_known_wal_of(const char *cluster, const char *object, uint32_t *timeline,
                         uint64_t *first)
{
    const char *what = known_what(cluster, object, TIMELINE_LENGTH + 1 + NUMBER_LENGTH);
    uint64_t number;
    uint64_t segment;

    if (what == NULL || !parse_hex_digits(what, TIMELINE_LENGTH, &number) || number == 0 ||
        what[TIMELINE_LENGTH] != '-' ||
        !parse_hex_digits(what + TIMELINE_LENGTH + 1, NUMBER_LENGTH, &segment))
        return false;
    *timeline = (uint32_t)number;
    *first = segment;
    return true;
}

bool layout_known_backup_of(const char *cluster, const char *object, char id[BACKUP_ID_SIZE])
{
    const char *what = known_what(cluster, object, BACKUP_ID_LENGTH);

    if (what == NULL || !backup_id_is_valid(what, BACKUP_ID_LENGTH))
        return false;
    memcpy(id, what, BACKUP_ID_LENGTH);
    id[BACKUP_ID_LENGTH] = '\0';
    return true;
}

bool layout_known_folders_of(const char *cluster, const char *object)
{
    const char *what = known_what(cluster, object, strlen(KNOWN_FOLDERS));

    return what != NULL && strncmp(what, KNOWN_FOLDERS, strlen(KNOWN_FOLDERS)) == 0;
}

/* "damage.": a word and a dot. What follows the dot; NULL when it is not such a thing. */
static const char *take_word(const char *text, char word[MARK_WORD_SIZE])
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

    if (length == 0 || length >= MARK_WORD_SIZE || text[length] != '.')
        return NULL;
    memcpy(word, text, length);
    word[length] = '\0';
    return text + length + 1;
}

/* "00000001-0123abcd" */
static bool parse_mark_number(const char *text, unsigned *number)
{
    unsigned value = 0;

    if (strspn(text, "0123456789") != MARK_NUMBER_LENGTH || text[MARK_NUMBER_LENGTH] != '-' ||
        strspn(text + MARK_NUMBER_LENGTH + 1, "0123456789abcdef") != MARK_NUMBER_LENGTH ||
        text[2 * MARK_NUMBER_LENGTH + 1] != '\0')
        return false;
    for (int i = 0; i < MARK_NUMBER_LENGTH; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    *number = value;
    return value > 0;
}

static bool is_mark_subject(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!is_letter_or_digit(text[i]) && text[i] != '.' && text[i] != '_' && text[i] != '-')
            return false;
    }
    return length > 0 && length < MARK_SUBJECT_SIZE;
}

/* "mark/damage.backup.20261122T031500Z-k3v7qa.00000001-0123abcd"; a subject can have dots. */
bool layout_mark_of(const char *cluster, const char *object, MarkName *name)
{
    const char *text = name_within(cluster, "mark", object);
    MarkName found;

    if (text == NULL || (text = take_word(text, found.kind)) == NULL ||
        (text = take_word(text, found.what)) == NULL)
        return false;
    const char *dot = strrchr(text, '.');
    if (dot == NULL || !is_mark_subject(text, (size_t)(dot - text)) ||
        !parse_mark_number(dot + 1, &found.number))
        return false;
    memcpy(found.subject, text, (size_t)(dot - text));
    found.subject[dot - text] = '\0';
    *name = found;
    return true;
}

bool backup_id_new(char id[BACKUP_ID_SIZE], Error *err)
{
    static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
    struct tm parts;
    uint64_t number;
    char text[BACKUP_ID_SIZE];

    if (!random_u64(&number, err))
        return false;
    /* A year of other than four digits would not fit, nor sort. */
    if (!time_split_utc(time_now() / 1000000, &parts) || parts.tm_year + 1900 > 9999 ||
        strftime(text, sizeof text, "%Y%m%dT%H%M%SZ-aaaaaa", &parts) != BACKUP_ID_SIZE - 1) {
        return error_set(err, ERR_IO,
                         "this host's clock shows a time that can't be written as a date");
    }
    for (size_t i = 0; i < 6; i++, number >>= 5)
        text[BACKUP_ID_SIZE - 2 - i] = base32[number & 31];
    memcpy(id, text, BACKUP_ID_SIZE);
    return true;
}
