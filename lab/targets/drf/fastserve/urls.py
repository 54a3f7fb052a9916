from django.urls import path

from . import views

urlpatterns = [
    path("api/health", views.health),
    path("api/compute", views.ComputeView.as_view()),
    path("api/cache", views.CacheView.as_view()),
    path("api/db", views.QuoteView.as_view()),
    path("api/v1/posts", views.PostListView.as_view()),
    path("api/v1/posts/<slug:pk>", views.PostView.as_view()),
    path("metrics", views.metrics),
]
