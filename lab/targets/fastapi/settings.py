"""What the environment says."""

import secrets
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    workers: int = Field(default=1, ge=1)
    database_url: str | None = None
    pool_size: int = Field(default=10, ge=1)
    cache: Literal["none", "memory", "redis"] = "none"
    redis_url: str = "redis://127.0.0.1:6379/0"
    gzip: bool = False
    # Where nobody says what tokens are signed with, none is good.
    token_secret: str = Field(default_factory=lambda: secrets.token_hex(32))

    @property
    def connections(self) -> int:
        """Connections to the database that this process may hold: its share of all of them."""
        return max(1, self.pool_size // self.workers)


settings = Settings()
