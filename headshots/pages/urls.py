from django.urls import path

from headshots.pages.views import home, how

app_name = "pages"

urlpatterns = [
    path("", home, name="home"),
    path("how-it-works/", how, name="how"),
]
