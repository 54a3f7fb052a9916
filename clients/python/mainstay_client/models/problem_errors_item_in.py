from typing import Literal

ProblemErrorsItemIn = Literal["body", "header", "path", "query"]

PROBLEM_ERRORS_ITEM_IN_VALUES: set[ProblemErrorsItemIn] = {
    "body",
    "header",
    "path",
    "query",
}


def check_problem_errors_item_in(value: str) -> ProblemErrorsItemIn:
    if value in PROBLEM_ERRORS_ITEM_IN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {PROBLEM_ERRORS_ITEM_IN_VALUES!r}")
