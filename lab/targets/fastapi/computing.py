"""Work for the processor."""

from datetime import UTC, datetime

from schemas import Report


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def make_report() -> Report:
    return Report(answer=fibonacci(32), made_at=datetime.now(UTC))
