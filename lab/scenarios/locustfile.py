"""What people do with posts: of ten requests six read one, three list the newest, one writes one.

The lab tells where and as whom: see `told` in lab/src/study/drivers.rs.
"""

import os
import random

from locust import FastHttpUser, constant, task

POSTS = os.environ["LAB_POSTS"]
LIST = os.environ["LAB_LIST"]
HEADERS = {"Authorization": f"Bearer {os.environ['LAB_TOKEN']}"}
with open(os.environ["LAB_IDS"], encoding="utf-8") as file:
    IDS = file.read().split()


class Reader(FastHttpUser):
    """One person who does not pause."""

    wait_time = constant(0)

    @task(6)
    def read(self) -> None:
        self.client.get(f"{POSTS}/{random.choice(IDS)}", headers=HEADERS, name="read")

    @task(3)
    def list_newest(self) -> None:
        self.client.get(LIST, headers=HEADERS, name="list")

    @task(1)
    def create(self) -> None:
        body = {"title": "From a scenario", "body": "What is written here is read again, and again.", "published": True}
        self.client.post(POSTS, json=body, headers=HEADERS, name="create")
