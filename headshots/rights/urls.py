from django.urls import path

from headshots.rights import exporting, views

app_name = "rights"
urlpatterns = [
    path("", views.account, name="account"),
    path("export.zip", exporting.export, name="export"),
    path("consent/withdraw/", views.withdraw_all, name="withdraw_all"),
    path("consent/<uuid:shoot_id>/withdraw/", views.withdraw, name="withdraw"),
    path("delete/", views.delete, name="delete"),
]
