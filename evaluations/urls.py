from __future__ import annotations

from django.urls import path

from evaluations.api import api
from evaluations.uploads import views as uploads
from evaluations.views import (
    calibration,
    classes,
    coach,
    dashboard,
    health,
    record,
    reratings,
    review,
    students,
    submissions,
)

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("submissions/fragment/", dashboard.fragment, name="dashboard-fragment"),
    path("submissions/unfinished/", dashboard.unfinished, name="dashboard-unfinished"),
    path("submissions/<uuid:pk>/", submissions.submission, name="submission"),
    path("submissions/<uuid:pk>/row/", submissions.row, name="submission-row"),
    path("submissions/<uuid:pk>/results/", submissions.results, name="submission-results"),
    path("submissions/<uuid:pk>/media", submissions.media, name="submission-media"),
    path("submissions/<uuid:pk>/captions.vtt", submissions.captions, name="submission-captions"),
    path("submissions/<uuid:pk>/retry", submissions.retry, name="submission-retry"),
    path("submissions/<uuid:pk>/cancel", submissions.cancel, name="submission-cancel"),
    path("submissions/<uuid:pk>/delete", submissions.delete, name="submission-delete"),
    path("submissions/<uuid:pk>/appeal", submissions.appeal, name="submission-appeal"),
    path("submissions/<uuid:pk>/coach/", coach.conversation, name="coach"),
    path("submissions/<uuid:pk>/coach/ask", coach.ask, name="coach-ask"),
    path("coach/<uuid:pk>/stop", coach.stop, name="coach-stop"),
    path("classes/", classes.classes, name="classes"),
    path("classes/<int:pk>/", classes.classroom, name="classroom"),
    path("classes/<int:pk>/retry", classes.retry, name="classroom-retry"),
    path("classes/<int:pk>/retry-failed", classes.retry_failed, name="classroom-retry-failed"),
    path("classes/<int:pk>/export.csv", classes.export_file, {"kind": "csv"}, name="classroom-csv"),
    path("classes/<int:pk>/export.xlsx", classes.export_file, {"kind": "xlsx"}, name="classroom-xlsx"),
    path("classes/<int:pk>/sheets/", classes.printable, name="classroom-sheets"),
    path("classes/<int:pk>/calibration/", calibration.overview, name="calibration"),
    path("classes/<int:pk>/calibration/<uuid:submission>/", calibration.mark, name="calibration-mark"),
    path("classes/<int:pk>/review/", review.first, name="review"),
    path("classes/<int:pk>/review/<uuid:submission>/", review.submission, name="review-submission"),
    path("classes/<int:pk>/students/<int:student>/", students.student, name="student"),
    path("classes/<int:pk>/review/<uuid:submission>/again", reratings.rate_one_again, name="review-again"),
    path("classes/<int:pk>/reratings/", reratings.reratings_of_class, name="reratings"),
    path("classes/<int:pk>/reratings/alike", reratings.rate_alike, name="reratings-alike"),
    path("reratings/<int:pk>/", reratings.rerating, name="rerating"),
    path("reratings/<int:pk>/adopt", reratings.adopt, name="rerating-adopt"),
    path("reratings/<int:pk>/withdraw", reratings.withdraw, name="rerating-withdraw"),
    path("classes/<int:pk>/record/", record.record, name="record"),
    path("api/uploads/", uploads.uploads, name="uploads"),
    path("api/uploads/<uuid:pk>", uploads.upload, name="upload"),
    path("api/", api.urls),
    path("healthz", health.healthz, name="healthz"),
]
