"""The problem codes of mail merges, all of them 409: title, meaning, remedy, and the operations that answer them."""

MERGE_PROBLEMS = {
    "merge_state": (
        "The state of the merge does not allow it",
        "The merge is not checked yet, was started before, has ended, or is not in a state for this operation.",
        "`detail` names the state and what to do.",
        "create_merge start_merge pause_merge resume_merge cancel_merge preview_merge_row",
    ),
    "merge_has_faults": (
        "Some rows have faults",
        "With `reject_all` a merge is submitted only if all its rows are valid.",
        "Correct the rows in `faults.csv` and upload the file again, or start with `skip_invalid`.",
        "start_merge",
    ),
    "nothing_to_merge": (
        "No row can be submitted",
        "All rows of the file have faults.",
        "Read `faults`, correct the file and upload it again.",
        "start_merge",
    ),
    "too_many_merges": (
        "Too many merges",
        "The service has the maximum number of merges that have not ended.",
        "Start or cancel some of them.",
        "create_merge",
    ),
    "merge_file_gone": (
        "The file is gone",
        "The file of a merge is deleted when the merge has finished.",
        "Look at the notifications of its batch.",
        "preview_merge_row",
    ),
}
