from evaluations.models.classroom import Classroom
from evaluations.models.results import Evaluation, Form, SubmissionResults, Transcript
from evaluations.models.rubric import Criterion, Rubric
from evaluations.models.submission import Deletion, Submission, Upload

__all__ = [
    "Classroom",
    "Criterion",
    "Deletion",
    "Evaluation",
    "Form",
    "Rubric",
    "Submission",
    "SubmissionResults",
    "Transcript",
    "Upload",
]
