from django.urls import path

from headshots.shoots import support_access
from headshots.shoots.delivery import pictures, streams, views
from headshots.shoots.uploads import views as uploads

app_name = "shoots"
urlpatterns = [
    path("", views.index, name="list"),
    path("new/", uploads.new, name="new"),
    path("<uuid:shoot_id>/", views.detail, name="detail"),
    path("<uuid:shoot_id>/progress/", views.progress, name="progress"),
    path("<uuid:shoot_id>/status.json", views.status, name="status"),
    path("<uuid:shoot_id>/events/", streams.events, name="events"),
    path("<uuid:shoot_id>/packs/<uuid:pack_id>/download.zip", streams.download_zip, name="zip"),
    path("<uuid:shoot_id>/packs/<uuid:pack_id>/cancel/", views.cancel, name="cancel"),
    path("<uuid:shoot_id>/about/", uploads.about, name="about"),
    path("<uuid:shoot_id>/delete/", views.delete, name="delete"),
    path("<uuid:shoot_id>/support/", support_access.manage_access, name="support"),
    path("<uuid:shoot_id>/headshots/<uuid:headshot_id>.jpg", pictures.headshot, name="headshot"),
    path("<uuid:shoot_id>/headshots/<uuid:headshot_id>/", views.headshot_page, name="headshot_page"),
    path("<uuid:shoot_id>/headshots/<uuid:headshot_id>/favorite/", views.favorite, name="favorite"),
    path("<uuid:shoot_id>/faces/", uploads.choose_faces, name="choose_faces"),
    path("<uuid:shoot_id>/headshots/<uuid:headshot_id>/<slug:version>.jpg", pictures.headshot, name="headshot_version"),
    path("<uuid:shoot_id>/photos/<uuid:photo_id>/faces/<int:number>.jpg", pictures.face_crop, name="face_crop"),
]
