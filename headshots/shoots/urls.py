from django.urls import path

from headshots.shoots import streams, support_views, upload_views, views

app_name = "shoots"
urlpatterns = [
    path("", views.index, name="list"),
    path("new/", upload_views.new, name="new"),
    path("<uuid:shoot_id>/", views.detail, name="detail"),
    path("<uuid:shoot_id>/progress/", views.progress, name="progress"),
    path("<uuid:shoot_id>/status.json", views.status, name="status"),
    path("<uuid:shoot_id>/events/", streams.events, name="events"),
    path("<uuid:shoot_id>/packs/<uuid:pack_id>/download.zip", streams.download_zip, name="zip"),
    path("<uuid:shoot_id>/packs/<uuid:pack_id>/cancel/", views.cancel, name="cancel"),
    path("<uuid:shoot_id>/about/", views.about, name="about"),
    path("<uuid:shoot_id>/delete/", views.delete, name="delete"),
    path("<uuid:shoot_id>/support/", support_views.leave, name="support"),
    path("<uuid:shoot_id>/headshots/<uuid:headshot_id>.jpg", views.headshot, name="headshot"),
    path("<uuid:shoot_id>/faces/", views.choose_faces, name="choose_faces"),
    path("<uuid:shoot_id>/headshots/<uuid:headshot_id>/<slug:version>.jpg", views.headshot, name="headshot_version"),
    path("<uuid:shoot_id>/photos/<uuid:photo_id>/faces/<int:number>.jpg", views.face_crop, name="face_crop"),
]
