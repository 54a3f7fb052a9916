"""The tables, which somebody else makes."""

from django.db import models


class Quote(models.Model):
    id = models.IntegerField(primary_key=True)
    words = models.TextField()
    author = models.TextField()

    class Meta:
        managed = False
        db_table = "quotes"


class Post(models.Model):
    id = models.CharField(primary_key=True, max_length=64)
    author_id = models.CharField(max_length=64)
    title = models.CharField(max_length=200)
    body = models.TextField()
    published = models.BooleanField()
    created_at = models.CharField(max_length=32)
    updated_at = models.CharField(max_length=32)

    class Meta:
        managed = False
        db_table = "posts"
