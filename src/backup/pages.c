#include "pages.h"

#include "base/time.h"

enum {
    READS_MAX = 4,
    /* In a file that is bad all over, patience with each page would take forever. */
    PATIENT_PAGES = 32,
};

/*
 * Read a page again until it is good or has stopped changing. *is_bad: its bytes stayed the same
 * in the last reading and are wrong.
 */
static bool read_again(const PageJudge *judge, uint8_t *page, uint64_t offset, uint32_t block,
                       PageVerdict *verdict, bool *is_bad, Error *err)
{
    unsigned reads = judge->bad_count < PATIENT_PAGES ? READS_MAX : 1;

    for (unsigned i = 0; i < reads; i++) {
        size_t got;

        if (i > 0)
            time_sleep_ms(1U << i);
        if (!judge->read(judge->fd, judge->scratch, judge->page_size, offset, &got, judge->path,
                         err))
            return false;
        *is_bad = false;
        /* Cut off meanwhile: the truncation is in the WAL. */
        if (got < judge->page_size)
            return true;
        *is_bad = memcmp(page, judge->scratch, judge->page_size) == 0;
        memcpy(page, judge->scratch, judge->page_size);
        *verdict = page_check(page, judge->page_size, block, judge->rule);
        if (*verdict != PAGE_BAD) {
            *is_bad = false;
            return true;
        }
    }
    return true;
}

static bool judge_page(PageJudge *judge, uint8_t *page, uint64_t offset, uint32_t block, Error *err)
{
    PageVerdict verdict = page_check(page, judge->page_size, block, judge->rule);

    if (verdict == PAGE_GOOD)
        return true;
    judge->is_settled = false;
    if (verdict == PAGE_BAD) {
        bool is_bad;
        if (!read_again(judge, page, offset, block, &verdict, &is_bad, err))
            return false;
        if (is_bad) {
            judge->bad_count++;
            job_note(judge->job, &(PageNote){.entry = judge->entry, .block = block});
        }
    }
    if (verdict == PAGE_NEWER && page_lsn(page) > judge->insert_seen) {
        job_note(judge->job,
                 &(PageNote){.entry = judge->entry, .block = block, .lsn = page_lsn(page)});
    }
    return true;
}

bool pages_judge(PageJudge *judge, uint8_t *raw, size_t size, uint64_t offset, uint32_t first_block,
                 Error *err)
{
    size_t whole = size / judge->page_size * judge->page_size;

    for (size_t at = 0; at < whole; at += judge->page_size) {
        uint32_t block = first_block + (uint32_t)(at / judge->page_size);
        if (!judge_page(judge, raw + at, offset + at, block, err))
            return false;
    }
    if (whole != size)
        judge->is_settled = false;
    return true;
}
