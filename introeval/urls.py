from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from introeval.lan import door
from introeval.serving import guides

admin.site.site_header = admin.site.site_title = "IntroEval"
admin.site.index_title = "Classes, rubrics and the queue"

handler400 = "introeval.lan.door.bad_request"
handler500 = "evaluations.errors.refusals.server_error"

urlpatterns = [
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", require_POST(set_language), name="language"),
    path("trust/", door.Trust.as_view(), name="trust"),
    path("trust/introeval-lab.crt", door.Authority.as_view(), name="authority"),
    path("help/", guides.guides, name="guides"),
    path("help/<slug:name>/", guides.guide, name="guide"),
    path("help/<path:place>", guides.picture, name="guide-picture"),
    path("admin/", admin.site.urls),
    path("", include("evaluations.urls")),
]
