from django.urls import path

from headshots.retention import views

app_name = "retention"
urlpatterns = [
    path("", views.schedule, name="schedule"),
    path("certificates/<uuid:certificate_id>/", views.certificate, name="certificate"),
    path("shoots/<uuid:shoot_id>/", views.shoot_certificates, name="shoot_certificates"),
]
