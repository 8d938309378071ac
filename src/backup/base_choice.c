#include "base_choice.h"

#include "catalog/history_fit.h"

/* Its own history must say the same about earlier timelines as the server's. */
static bool is_same_history(const BackupInfo *backup, const TimelinePath *path)
{
    CLEANUP(arena_done) Arena arena = {0};
    TimelinePath own;
    Error ignored = {0}; /* then it can't be used */

    return timeline_path_parse(backup->header.timeline, backup->header.history, &arena, &own,
                               &ignored) &&
           path_leads_along(path, &own);
}

static BaseVerdict base_judge(const BaseQuestion *question, size_t index)
{
    const BackupInfo *backup = &question->list->items[index];
    const ManifestHeader *header = &backup->header;

    if (backup_is_out(backup) || !backup->has_header)
        return BASE_IS_OUT;
    if (header->system_identifier != question->system_identifier ||
        header->major != question->major)
        return BASE_IS_FOREIGN;
    if (!backup_is_on_path(backup, question->path) || !is_same_history(backup, question->path))
        return BASE_ON_OTHER_HISTORY;
    if (question->is_condemned[index])
        return BASE_IS_CONDEMNED;
    if (backup->state != BACKUP_RESTORABLE)
        return BASE_IS_WAITING;
    if (backup->suspect != NULL)
        return BASE_IS_SUSPECT;
    return header->stop <= question->start ? BASE_FITS : BASE_ENDS_LATER;
}

static bool is_newer_base(const BackupInfo *backup, const BackupInfo *than)
{
    return than == NULL || backup->header.stop >= than->header.stop;
}

/* Any one of this timeline that ended later says so, whatever it is worth. */
static bool shows_set_back(const BaseQuestion *question, const BackupInfo *backup)
{
    return backup->has_header && backup->header.system_identifier == question->system_identifier &&
           backup->header.timeline == path_last_timeline(question->path) &&
           backup->header.stop > question->start;
}

BaseAnswer base_choose(const BaseQuestion *question)
{
    BaseAnswer answer = {.base = NULL};

    for (size_t i = 0; i < question->list->count; i++) {
        const BackupInfo *backup = &question->list->items[i];
        const BaseVerdict verdict = base_judge(question, i);

        answer.is_set_back = answer.is_set_back || shows_set_back(question, backup);
        if ((verdict == BASE_FITS || verdict == BASE_ENDS_LATER) &&
            is_newer_base(backup, answer.base))
            answer.base = backup;
        if (is_newer_base(backup, answer.newest)) {
            answer.newest = backup;
            answer.verdict = verdict;
        }
    }
    return answer;
}

const char *base_verdict_text(BaseVerdict verdict)
{
    switch (verdict) {
    case BASE_FITS:
        return "can be shared with";
    case BASE_ENDS_LATER:
        return "ended later than this one began";
    case BASE_IS_OUT:
        return "is damaged, or of a newer pgcairn";
    case BASE_IS_WAITING:
        return "still waits for WAL";
    case BASE_IS_SUSPECT:
        return "is suspect: a drill from it failed";
    case BASE_IS_CONDEMNED:
        return "is about to be removed, or can't be read";
    case BASE_IS_FOREIGN:
        return "is of another server or major version";
    case BASE_ON_OTHER_HISTORY:
        return "is not on the history of this server";
    }
    return "";
}
