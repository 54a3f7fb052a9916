"""Work for the processor."""

from datetime import UTC, datetime
from typing import Any


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def make_report() -> dict[str, Any]:
    return {"answer": fibonacci(32), "made_at": datetime.now(UTC).isoformat().replace("+00:00", "Z")}
