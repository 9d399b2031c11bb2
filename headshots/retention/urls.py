from django.urls import path

from headshots.retention import views

app_name = "retention"
urlpatterns = [
    path("", views.schedule, name="schedule"),
    path("receipts/<uuid:receipt_id>/", views.receipt, name="receipt"),
    path("shoots/<uuid:shoot_id>/", views.shoot_receipts, name="shoot_receipts"),
]
