from django.urls import path

from headshots.pages.views import favicon, home, how

app_name = "pages"

urlpatterns = [
    path("", home, name="home"),
    path("favicon.ico", favicon),
    path("how-it-works/", how, name="how"),
]
