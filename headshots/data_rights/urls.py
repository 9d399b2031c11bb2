from django.urls import path

from headshots.data_rights import export, views

app_name = "data_rights"
urlpatterns = [
    path("", views.account, name="account"),
    path("export.zip", export.export, name="export"),
    path("consent/withdraw/", views.withdraw_all, name="withdraw_all"),
    path("consent/<uuid:shoot_id>/withdraw/", views.withdraw, name="withdraw"),
    path("delete/", views.delete, name="delete"),
]
