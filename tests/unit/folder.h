/*
 * folder.h - an empty folder below /tmp as the working directory, for a program's tests together or
 * for each of them.
 *
 *     cmocka_run_group_tests(tests, enter_folder, leave_folder)
 *     cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
 */
#pragma once

int enter_folder(void **state);
int leave_folder(void **state); /* what was left in it is removed */
const char *folder_path(void);
