"""The catalogue of errors: each code with its words for users.

A code is what `queueing.exceptions.StageError` and the upload views carry; `explain` turns it into a title, what
happened and what to do, in the language of the request. Technical detail is for staff and is kept elsewhere
(`Attempt.detail`).
"""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from typing import Final

from django.conf import settings
from django.utils.translation import get_language_info, gettext
from django.utils.translation import gettext_noop as _

from queueing.report.durations import spoken


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a user reads about an error: its title, what happened and what to do."""

    title: str
    what: str
    todo: str


_RETRY = _("Your video is safe. Press “Try again”; if it happens twice, tell your teacher.")
_RECORD = _("Record it again and check that you can hear yourself when you play it, then upload the new file.")

CATALOGUE: Final[dict[str, Explanation]] = {
    # The file itself
    "empty_file": Explanation(
        _("The file is empty"),
        _("There is not a single byte in it."),
        _("Check the recording on your device and upload it again."),
    ),
    "unreadable": Explanation(
        _("The file can’t be read"),
        _("It looks like a video or a recording, but it is broken or was cut off."),
        _("Check that it plays on your device, then upload it again."),
    ),
    "not_media": Explanation(
        _("This is not a video or a recording"),
        _("What is inside is not a kind of file we can read, whatever its name ends in."),
        _("Upload an mp4, mov, webm, m4a, mp3, ogg or wav file."),
    ),
    "unsupported": Explanation(
        _("This kind of recording is not supported"),
        _("The file may be whole, but it is of a kind that can’t be read here."),
        _("Save or convert it as mp4, mov, webm, m4a, mp3, ogg or wav, and upload that."),
    ),
    "too_small": Explanation(
        _("There is next to nothing in the file"),
        _("It begins like a recording, but has fewer than 64 bytes."),
        _("Check that it plays on your device, then upload it again."),
    ),
    "copy_protected": Explanation(
        _("The file is copy-protected"),
        _("It is encrypted for the players of the shop or service that it comes from, so it can’t be heard here."),
        _("Upload a recording of your own."),
    ),
    "no_audio": Explanation(_("There is no sound in it"), _("The video has a picture but no sound track."), _RECORD),
    "empty_sound": Explanation(
        _("The sound track is empty"), _("There is a sound track in the file, but nothing was recorded on it."), _RECORD
    ),
    "too_short": Explanation(
        _("It is too short"),
        _("The recording lasts less than one second. A rating needs at least 8 seconds of speech."),
        _("Record it again and tell more about yourself, then upload the new file."),
    ),
    "too_quiet": Explanation(
        _("It is too quiet"),
        _("There is sound, but so quiet, even amplified, that no words were heard."),
        _("Record it again, closer to the microphone or with its level turned up, then upload the new file."),
    ),
    "no_speech": Explanation(_("Nobody speaks in it"), _("There is a sound track, but no words were heard."), _RECORD),
    "too_short_to_rate": Explanation(
        _("Too little is said in it to rate it"),
        _("A rating needs at least 25 words, and 8 seconds from the first to the last of them."),
        _("Record it again and tell more about yourself, then upload the new file. What was heard is kept."),
    ),
    "not_understood": Explanation(
        _("What is said in it was not understood"),
        _("There is a voice, but too few of its words made sense for a fair rating."),
        _(
            "Record it again, close to the microphone, in a quiet room where nobody else speaks and no TV runs, in a"
            " language that is rated here; then upload the new file. If you did, tell your teacher."
        ),
    ),
    "too_long": Explanation(
        _("It is too long"),
        _("The recording is longer than your class allows."),
        _("Record a shorter one, then upload it."),
    ),
    "too_many_pixels": Explanation(
        _("The picture is too large"),
        _("The video has more pixels than we can handle."),
        _("Record with a lower resolution, 1080p at most, then upload it."),
    ),
    "too_large": Explanation(
        _("The file is too large"),
        _("It has more bytes than we accept."),
        _("Record with a lower quality or a shorter one, then upload it."),
    ),
    "text_too_large": Explanation(
        _("The text is too large"),
        _("A text may have 100 kB; an hour of speech has about half of that."),
        _("Check that it is the transcript of one speech."),
    ),
    "not_utf8": Explanation(
        _("The file is no text in UTF-8"),
        _("Some of its bytes are no characters in UTF-8."),
        _("Save it as plain text in UTF-8."),
    ),
    "no_text": Explanation(
        _("There is no text in it"), _("The file is empty, or has blanks only."), _("Check the name and the folder.")
    ),
    "no_such_file": Explanation(
        _("There is no such file"),
        _("Nothing, or no regular file, has this name."),
        _("Check the name and the folder."),
    ),
    "no_permission": Explanation(
        _("The file may not be read"),
        _("The account that runs the command may not read it, or not write where uploads are kept."),
        _("Change the file’s permissions, or run the command as somebody who may."),
    ),
    "file_missing": Explanation(
        _("The stored video is gone"),
        _("Its file is no longer on the disk of the lab computer."),
        _("Tell your teacher, and upload the video again if you still have it."),
    ),
    "file_damaged": Explanation(
        _("The stored video was damaged"),
        _("Its file on the lab computer is not what you uploaded any more."),
        _("Tell your teacher, and upload the video again if you still have it."),
    ),
    "decoder_crashed": Explanation(
        _("The file crashed the reader"), _("The program that reads videos stopped while it read this one."), _RETRY
    ),
    "decoder_timeout": Explanation(
        _("Reading the file took too long"), _("The program that reads videos did not get to its end in time."), _RETRY
    ),
    # The machine
    "does_not_fit": Explanation(
        _("The model does not fit into the computer’s memory"),
        _("Lighter settings were tried as well."),
        _("Your video is safe. Tell your teacher: the computer needs a smaller model, or less beside it."),
    ),
    "out_of_memory": Explanation(
        _("The model ran out of memory"), _("The computer had too little memory for this step."), _RETRY
    ),
    "infrastructure": Explanation(
        _("Something the work needs is not there"),
        _("A server or a disk of the lab is not answering."),
        _("Your video is safe. The work goes on by itself when it is back; your teacher can see what is missing."),
    ),
    "engine_unavailable": Explanation(
        _("The model’s server is not answering"),
        _("The program that does this step could not be reached."),
        _("Your video is safe. The work goes on by itself when it is back; your teacher can see what is missing."),
    ),
    "engine_busy": Explanation(
        _("The model’s server is busy"),
        _("The program that does this step has too much to do, or is still starting."),
        _("Your video is safe. The work goes on by itself in a moment."),
    ),
    "engine_unfit": Explanation(
        _("The model’s server is not set up for this"),
        _("The program that does this step is too old, or has less room than this work needs."),
        _("Your video is safe. Tell your teacher: the lab’s settings have to be corrected first."),
    ),
    "engine_refuses": Explanation(
        _("The model’s server refuses us"),
        _("The program that does this step wants another password than the one it was given."),
        _("Your video is safe. Tell your teacher: the lab’s settings have to be corrected first."),
    ),
    "model_missing": Explanation(
        _("The model is not installed"),
        _("The model for this step is not on the lab computer."),
        _("Your video is safe. Tell your teacher: the model has to be installed first."),
    ),
    "model_tampered": Explanation(
        _("The model’s files are not what they should be"),
        _("The model on the lab computer was changed or damaged, so it is not used."),
        _("Your video is safe. Tell your teacher: the model has to be installed again."),
    ),
    "not_loaded": Explanation(_("The model was not ready"), _("This step began before its model was there."), _RETRY),
    "hung": Explanation(_("The model stopped answering"), _("The program that does this step was stopped."), _RETRY),
    "undead_model": Explanation(
        _("The last model is still in memory"),
        _("The computer could not make room for the next step."),
        _("Your video is safe. The work goes on by itself when there is room; your teacher can see what holds it up."),
    ),
    "device_failed": Explanation(
        _("The graphics card stopped working"),
        _("The device that does this step is not usable at the moment."),
        _("Your video is safe. The work goes on by itself when it is back; tell your teacher."),
    ),
    "cpu_fallback": Explanation(
        _("The model is not on the graphics card any more"),
        _("It would work far too slowly, so the work waits until it is back where it belongs."),
        _("Your video is safe. The work goes on by itself when it is back; tell your teacher."),
    ),
    "at_capacity": Explanation(
        _("The lab is at capacity"),
        _("It takes no more recordings for the moment."),
        _("Your recording is safe on this device. It is sent by itself when there is room."),
    ),
    "disk_full": Explanation(
        _("The disk of the lab computer is full"),
        _("There is no room for more videos at the moment."),
        _("Keep your file, tell your teacher, and try again later."),
    ),
    "disk_failed": Explanation(
        _("The disk of the lab computer is not answering"),
        _("The disk that keeps the videos can’t be read or written at the moment."),
        _(
            "The work goes on by itself when it is back; your teacher can see what is missing."
            " Keep your file until then."
        ),
    ),
    "interrupted": Explanation(
        _("The work was interrupted"),
        _("The computer had to stop in the middle."),
        _("Your video is safe. It goes on by itself."),
    ),
    "crashed": Explanation(
        _("The model stopped working"), _("The program that does this step ended in the middle."), _RETRY
    ),
    "poison": Explanation(
        _("The work on this video keeps crashing"),
        _("The program that does this step crashed more than once with it, so it was set aside for the others’ sake."),
        _("Your video is safe. Tell your teacher; recording it again in another format often helps."),
    ),
    "too_slow": Explanation(_("It took too long"), _("This step did not end within its time."), _RETRY),
    # The language model
    "invalid_answer": Explanation(
        _("The model’s answer made no sense"), _("The language model gave an answer that can’t be used, twice."), _RETRY
    ),
    "prompt_cut": Explanation(
        _("The model read only a part of what it was given"),
        _("The beginning of its task did not reach the language model, so its answer was thrown away, twice."),
        _RETRY,
    ),
    "answer_cut": Explanation(
        _("The model’s answer was cut off"), _("The language model did not come to an end."), _RETRY
    ),
    "too_long_for_model": Explanation(
        _("There is too much text for the model"),
        _("What you said is longer than the language model can read at once."),
        _("Your video is safe. Record a shorter one, or tell your teacher."),
    ),
    # The class
    "bad_rubric": Explanation(
        _("The rubric of the class can’t be scored"),
        _("A criterion has nothing to be measured by, or there is none that is judged or measured."),
        _("Your video is safe. Tell your teacher: the rubric has to be corrected first. Then press “Try again”."),
    ),
    "order_withdrawn": Explanation(
        _("Nobody wants it rated again any more"),
        _("The order to rate it again was withdrawn, or another one has been carried out."),
        _("There is nothing to do: the rating that there was still counts."),
    ),
    "nothing_to_rate": Explanation(
        _("There is nothing that could be rated"),
        _("A rating is made from a transcript and a form, and one of them is missing."),
        _("Try the recording’s own work again first; then it can be rated again."),
    ),
    "no_transcript": Explanation(
        _("There is no transcript yet"),
        _("A summary and a mind map are made from what was heard in the recording."),
        _("Wait until it is transcribed, then ask for it again."),
    ),
    # Uploads
    "too_many_uploads": Explanation(
        _("Too many uploads at once"),
        _("You have as many unfinished uploads as one student may have."),
        _("Finish or discard one of them first, on the page “My videos”."),
    ),
    "upload_active": Explanation(
        _("Another upload of yours is under way"),
        _("A student’s videos are taken one after the other."),
        _("It is tried again by itself, and begins when the other one has arrived."),
    ),
    "deadline_passed": Explanation(
        _("The deadline has passed"),
        _("Nothing new can be handed in for this class any more."),
        _("What was begun before the deadline may still be finished. If you need more time, ask your teacher."),
    ),
    "too_many_an_hour": Explanation(
        _("You have handed in many videos within an hour"),
        _("There is a limit, so that everybody’s turn comes."),
        _("Try again later; what is handed in stays."),
    ),
    "too_much": Explanation(
        _("Your videos take all the room that a student has"),
        _("There is a limit on how much is kept of one student."),
        _("Delete a video that you don’t need any more, or ask your teacher."),
    ),
    "too_many_submissions": Explanation(
        _("You have handed in as many videos as your class allows"),
        _("There is a limit on the number of videos per student."),
        _("Delete one that you don’t need any more, or ask your teacher."),
    ),
    "upload_gone": Explanation(
        _("This upload is gone"),
        _("It was discarded, or left unfinished for too long."),
        _("Choose the file again to start over."),
    ),
    "deleted": Explanation(
        _("This recording was deleted"),
        _("It had been handed in, and then it was deleted, so it is not taken again by itself."),
        _("Choose it as a file if it shall be handed in again."),
    ),
    "upload_busy": Explanation(
        _("This upload is being written to"),
        _("Another part of it is arriving right now."),
        _("It is tried again by itself."),
    ),
    "offset_conflict": Explanation(
        _("The parts of the file don’t fit together"),
        _("A part arrived that is not the next one."),
        _("It is tried again by itself."),
    ),
    "bad_request": Explanation(
        _("The upload was not understood"),
        _("The browser sent something unexpected."),
        _("Reload the page and choose the file again."),
    ),
    "no_json": Explanation(
        _("What was sent is not JSON"),
        _("The API takes a body as JSON that says so itself."),
        _("Send it with the header Content-Type: application/json."),
    ),
    "no_consent": Explanation(
        _("You have not agreed yet"),
        _("Your class asks for your consent, to a text that may have changed since, before anything is handed in."),
        _("Open the page “My videos”, read the text and press “I agree”. Your recording is safe on this device."),
    ),
    "no_class": Explanation(
        _("You are not in this class"), _("Only students of a class can hand in for it."), _("Ask your teacher.")
    ),
    # The coach
    "no_question": Explanation(
        _("This is no question"),
        _("It is empty, or has more than 2,000 characters."),
        _("Write what you would like to know, in a sentence or two."),
    ),
    "coach_off": Explanation(
        _("The coach is switched off"),
        _("Your teacher has switched it off for this class, or the lab’s language model is too small for it."),
        _("Ask your teacher."),
    ),
    "nothing_to_ask_about": Explanation(
        _("There is nothing to ask about yet"),
        _("The coach talks about what was said, and the video is not transcribed yet."),
        _("Ask again when the transcript is there."),
    ),
    "questions_waiting": Explanation(
        _("Your other questions come first"),
        _("As many questions of yours wait as may wait at once."),
        _("Wait for an answer, or stop one of them."),
    ),
    "question_stopped": Explanation(
        _("The answer was stopped"),
        _("Somebody stopped it, or nobody waited for it any more. What was written before stays."),
        _("Ask again if you still want to know."),
    ),
    "nothing_to_stop": Explanation(
        _("There is nothing to stop"),
        _("The question has been answered, or was stopped before."),
        _("Reload the page to see its state."),
    ),
    "coach_full": Explanation(
        _("Too many questions are waiting"),
        _("The coach answers a few at a time, and as many wait as may."),
        _("Ask again later; your question is not kept."),
    ),
    # Requests
    "signed_out": Explanation(
        _("You are signed out"),
        _("Your session has ended, or was never begun."),
        _("Sign in again. What is being uploaded or recorded goes on by itself once you are signed in."),
    ),
    "someone_else": Explanation(
        _("Somebody else is signed in in this browser now"),
        _("This page was opened by another person, so nothing was done."),
        _("If it is your page, sign in again as yourself; what is being uploaded or recorded then goes on by itself."),
    ),
    "no_token": Explanation(
        _("The page was too old, or the request came from elsewhere"),
        _("What changes something carries the token of a page of this site, and this request did not."),
        _("Reload the page and try again; a program sends the cookie “csrftoken” as the header X-CSRFToken."),
    ),
    "overloaded": Explanation(
        _("The site has too much to do at once"),
        _("Or its database is just starting. Nothing was done."),
        _("Try again in a few seconds."),
    ),
    "too_many_requests": Explanation(
        _("Too much in a short time"),
        _("The same was asked for very often within seconds, so this was not done."),
        _("Wait as many seconds as the header Retry-After says, or a moment, then try again."),
    ),
    "too_slow_to_send": Explanation(
        _("It arrived too slowly"),
        _("What was sent did not arrive in the time that there is for it, so it was not taken."),
        _("It is tried again by itself; if it stays, use another network or a cable."),
    ),
    "not_found": Explanation(
        _("There is no such thing here"),
        _("It does not exist, or it is not yours to see."),
        _("Check the address, and that you are signed in as yourself."),
    ),
    "wrong_method": Explanation(
        _("Not allowed here"),
        _("The address exists, but not with this method."),
        _("The header Allow of this answer names the methods that it has."),
    ),
    "invalid_request": Explanation(
        _("The request was not understood"),
        _("A part of it is missing, or is not of the kind that it must be."),
        _("The description of the API, /api/openapi.json, says what it must look like."),
    ),
    "nothing_to_retry": Explanation(
        _("There is nothing to try again"),
        _("Only work that failed or was cancelled can be tried again."),
        _("Look at its status: it may be under way already."),
    ),
    "nothing_to_cancel": Explanation(
        _("There is nothing to cancel"), _("The work on it has ended already."), _("Look at its status.")
    ),
    # Everything else
    "unexpected": Explanation(_("Something went wrong"), _("An error came up that nobody has a name for yet."), _RETRY),
}

OF_THE_FILE: Final = frozenset(
    {
        "empty_file",
        "unreadable",
        "not_media",
        "unsupported",
        "too_small",
        "copy_protected",
        "no_audio",
        "empty_sound",
        "too_short",
        "too_quiet",
        "no_speech",
        "too_short_to_rate",
        "not_understood",
        "too_long",
        "too_many_pixels",
        "too_large",
    }
)
"""Codes that another recording fixes."""


REFUSED: Final = OF_THE_FILE - {"no_speech", "too_short_to_rate", "not_understood"}
"""Of these, the codes of what turned out to be no recording that could be listened to."""

LOST: Final = frozenset({"file_missing", "file_damaged"})
"""The codes of a stored file that is not what was handed in any more."""


def explain(code: str) -> Explanation:
    """The words for an error code in the language of the request; unknown codes get those of `unexpected`."""
    return Explanation(*map(gettext, astuple(CATALOGUE.get(code, CATALOGUE["unexpected"]))))


def detail(code: str, *, max_seconds: float, language: str = "", probability: float = 0.0) -> str:
    """A sentence on the very case of an error of a recording; "" where there is nothing to add.

    Args:
        max_seconds: that the class allows.
        language, probability: see `of_language`; "" without a transcript.
    """
    if code == "too_long":
        return gettext("It may last %(long)s at most.") % {"long": spoken(max_seconds)}
    return of_language(language, probability) if code == "not_understood" and language else ""


def of_language(language: str, probability: float) -> str:
    """A sentence on the language of a recording that was not understood; empty where it was one that is rated here.

    `language` (ISO 639-1) and `probability` are the transcript's; 1.0 is that of a model of one language, which takes
    everything for it.
    """
    rated = dict(settings.LANGUAGES)
    if language in rated and probability < 1.0:
        return ""
    name = language_name(language)
    if probability == 1.0:
        return gettext("The program that listens here understands %(language)s only.") % {"language": name}
    return gettext("It sounds like %(language)s, which is not rated here.") % {"language": name}


def language_name(code: str) -> str:
    """A language's name in that of the request, by its code in ISO 639-1; the code itself, if it has no name here."""
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code


def of_damage(damaged_at: float | None, *, ends_early: bool) -> str:
    """A sentence on a recording of which something is missing, from `Submission`; "" where it is whole."""
    if damaged_at is None:
        return ""
    at = {"time": f"{int(damaged_at) // 60}:{int(damaged_at) % 60:02}"}
    if ends_early:
        return gettext("The file ends early, at %(time)s: it was cut off. What could be heard was used.") % at
    return gettext("The file is damaged at %(time)s. What could be heard was used.") % at


def problem(code: str, *, id: str, detail: str = "") -> dict[str, str]:
    """An error as programs get it; `id` is what staff find it by, `detail` a sentence on this very case."""
    words = asdict(explain(code))
    return {"code": code, **words, "what": f"{words['what']} {detail}".strip(), "id": id}
