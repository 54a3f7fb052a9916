"""What is answered."""

import random
import threading
from datetime import UTC, datetime
from uuid import uuid4

from django.core.cache import cache
from django.db.models import Value
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from rest_framework import generics
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from .computing import fibonacci, make_report
from .models import Post, Quote
from .serializers import ComputeQuery, ListQuery, PostSerializer, QuoteSerializer

QUOTES = 1000
KEY = "report"
KEPT_S = 60

making = threading.Lock()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def health(_: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


def metrics(_: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


class OpenView(APIView):
    """For everybody, so nobody looks at tokens."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class ComputeView(OpenView):
    def get(self, request: Request) -> Response:
        query = ComputeQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        n = query.validated_data["n"]
        return Response({"n": n, "fibonacci": fibonacci(n)})


class CacheView(OpenView):
    def get(self, _: Request) -> Response:
        report = cache.get(KEY)
        if report is None:
            # One of the threads that found nothing makes it, the others wait for that one; of several processes the
            # first one's stays.
            with making:
                report = cache.get_or_set(KEY, make_report, KEPT_S)
        return Response(report)


class QuoteView(OpenView):
    def get(self, _: Request) -> Response:
        quote = generics.get_object_or_404(Quote, pk=random.randint(1, QUOTES))
        return Response(QuoteSerializer(quote).data)


class PostListView(generics.ListCreateAPIView):
    serializer_class = PostSerializer
    # A plain `True` becomes `WHERE published`, for which SQLite takes no index.
    queryset = Post.objects.filter(published=Value(True)).order_by("-created_at", "-id")

    def list(self, request: Request) -> Response:
        query = ListQuery(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        newest = self.get_queryset()[: query.validated_data["limit"]]
        return Response({"items": self.get_serializer(newest, many=True).data})

    def perform_create(self, serializer: BaseSerializer) -> None:
        moment = now()
        serializer.save(id=str(uuid4()), author_id=self.request.user.id, created_at=moment, updated_at=moment)


class PostView(generics.RetrieveAPIView):
    serializer_class = PostSerializer
    queryset = Post.objects.all()
