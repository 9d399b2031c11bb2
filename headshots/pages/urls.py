from django.urls import path

from headshots.pages.views import abuse, favicon, home, how, likeness, privacy

app_name = "pages"

urlpatterns = [
    path("", home, name="home"),
    path("favicon.ico", favicon),
    path("how-it-works/", how, name="how"),
    path("likeness/", likeness, name="likeness"),
    path("privacy/", privacy, name="privacy"),
    path("abuse/", abuse, name="abuse"),
]
