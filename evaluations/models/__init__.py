from evaluations.models.classroom import Classroom, shown_name
from evaluations.models.corrections import corrected, corrected_words
from evaluations.models.mail import MailAddress, PersonalMail
from evaluations.models.members import JoinCode, JoinRequest, LoginCard, UserSession
from evaluations.models.operations import MIND_MAP, SUMMARY, MindMap, Summary, Topic
from evaluations.models.privacy import Consent, ConsentText, Receipt
from evaluations.models.questions import COACH, MAX_QUESTION, CoachQuestion
from evaluations.models.results import Evaluation, Form, SubmissionResults, Transcript
from evaluations.models.review import (
    REEXTRACTION,
    RERATING,
    CalibrationFit,
    Rerating,
    ReviewDecision,
    StudentAllowance,
)
from evaluations.models.rubric import Criterion, Item, Rubric
from evaluations.models.submission import EVALUATION, Deletion, Submission, Upload
from evaluations.models.trail import KEPT_DAYS_AT_LEAST, TrailEntry

__all__ = [
    "COACH",
    "EVALUATION",
    "KEPT_DAYS_AT_LEAST",
    "MAX_QUESTION",
    "MIND_MAP",
    "REEXTRACTION",
    "RERATING",
    "SUMMARY",
    "CalibrationFit",
    "Classroom",
    "CoachQuestion",
    "Consent",
    "ConsentText",
    "Criterion",
    "Deletion",
    "Evaluation",
    "Form",
    "Item",
    "JoinCode",
    "JoinRequest",
    "LoginCard",
    "MailAddress",
    "MindMap",
    "PersonalMail",
    "Receipt",
    "Rerating",
    "ReviewDecision",
    "Rubric",
    "StudentAllowance",
    "Submission",
    "SubmissionResults",
    "Summary",
    "Topic",
    "TrailEntry",
    "Transcript",
    "Upload",
    "UserSession",
    "corrected",
    "corrected_words",
    "shown_name",
]
