from django.urls import include, path

urlpatterns = [path("", include("fastserve.urls"))]
