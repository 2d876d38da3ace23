"""The catalogue of everything that can go wrong, in words for people.

A code is what `queueing.exceptions.StageError` and the upload views carry; `explain` turns it into a title, what
happened and what to do. Technical detail is for staff and lives elsewhere (`Attempt.detail`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a person reads about an error."""

    title: str
    what: str
    todo: str


_SAFE = "Your video is safe."
_RETRY = f"{_SAFE} Press “Try again”; if it happens twice, tell your teacher."
_RECORD = "Record it again and check that you can hear yourself when you play it, then upload the new file."

CATALOGUE: Final[dict[str, Explanation]] = {
    # The file itself
    "empty_file": Explanation(
        "The file is empty",
        "There is not a single byte in it.",
        "Check the recording on your device and upload it again.",
    ),
    "unreadable": Explanation(
        "The file can’t be read",
        "It looks like a video or a recording, but it is broken or was cut off.",
        "Check that it plays on your device, then upload it again.",
    ),
    "not_media": Explanation(
        "This is not a video or a recording",
        "What is inside is not a kind of file we can read, whatever its name ends in.",
        "Upload an mp4, mov, webm, m4a, mp3, ogg or wav file.",
    ),
    "no_audio": Explanation("There is no sound in it", "The video has a picture but no sound track.", _RECORD),
    "no_speech": Explanation("Nobody speaks in it", "There is sound, but no words were heard.", _RECORD),
    "too_long": Explanation(
        "It is too long", "The recording is longer than your class allows.", "Record a shorter one, then upload it."
    ),
    "too_many_pixels": Explanation(
        "The picture is too large",
        "The video has more pixels than we can handle.",
        "Record with a lower resolution, 1080p at most, then upload it.",
    ),
    "too_large": Explanation(
        "The file is too large",
        "It has more bytes than we accept.",
        "Record with a lower quality or a shorter one, then upload it.",
    ),
    "no_such_file": Explanation(
        "There is no such file", "Nothing, or no regular file, has this name.", "Check the name and the folder."
    ),
    "no_permission": Explanation(
        "The file may not be read",
        "The account that runs the command may not read it, or not write where uploads are kept.",
        "Change the file’s permissions, or run the command as somebody who may.",
    ),
    "file_missing": Explanation(
        "The stored video is gone",
        "Its file is no longer on the disk of the lab computer.",
        "Tell your teacher, and upload the video again if you still have it.",
    ),
    "file_damaged": Explanation(
        "The stored video was damaged",
        "Its file on the lab computer is not what you uploaded any more.",
        "Tell your teacher, and upload the video again if you still have it.",
    ),
    "decoder_crashed": Explanation(
        "The file crashed the reader", "The program that reads videos stopped while it read this one.", _RETRY
    ),
    "decoder_timeout": Explanation(
        "Reading the file took too long", "The program that reads videos did not get to its end in time.", _RETRY
    ),
    # The machine
    "does_not_fit": Explanation(
        "The model does not fit into the computer’s memory",
        "Lighter settings were tried as well.",
        f"{_SAFE} Tell your teacher: the computer needs a smaller model, or less beside it.",
    ),
    "out_of_memory": Explanation(
        "The model ran out of memory", "The computer had too little memory for this step.", _RETRY
    ),
    "infrastructure": Explanation(
        "Something the work needs is not there",
        "A server or a disk of the lab is not answering.",
        f"{_SAFE} The work goes on by itself when it is back; your teacher can see what is missing.",
    ),
    "engine_unavailable": Explanation(
        "The model’s server is not answering",
        "The program that does this step could not be reached.",
        f"{_SAFE} The work goes on by itself when it is back; your teacher can see what is missing.",
    ),
    "engine_busy": Explanation(
        "The model’s server is busy",
        "The program that does this step has too much to do, or is still starting.",
        f"{_SAFE} The work goes on by itself in a moment.",
    ),
    "engine_unfit": Explanation(
        "The model’s server is not set up for this",
        "The program that does this step is too old, or has less room than this work needs.",
        f"{_SAFE} Tell your teacher: the lab’s settings have to be corrected first.",
    ),
    "engine_refuses": Explanation(
        "The model’s server refuses us",
        "The program that does this step wants another password than the one it was given.",
        f"{_SAFE} Tell your teacher: the lab’s settings have to be corrected first.",
    ),
    "model_missing": Explanation(
        "The model is not installed",
        "The model for this step is not on the lab computer.",
        f"{_SAFE} Tell your teacher: the model has to be installed first.",
    ),
    "model_tampered": Explanation(
        "The model’s files are not what they should be",
        "The model on the lab computer was changed or damaged, so it is not used.",
        f"{_SAFE} Tell your teacher: the model has to be installed again.",
    ),
    "not_loaded": Explanation("The model was not ready", "This step began before its model was there.", _RETRY),
    "hung": Explanation("The model stopped answering", "The program that does this step was stopped.", _RETRY),
    "undead_model": Explanation(
        "The last model is still in memory",
        "The computer could not make room for the next step.",
        f"{_SAFE} The work goes on by itself when there is room; your teacher can see what holds it up.",
    ),
    "device_failed": Explanation(
        "The graphics card stopped working",
        "The device that does this step is not usable at the moment.",
        f"{_SAFE} The work goes on by itself when it is back; tell your teacher.",
    ),
    "cpu_fallback": Explanation(
        "The model is not on the graphics card any more",
        "It would work far too slowly, so the work waits until it is back where it belongs.",
        f"{_SAFE} The work goes on by itself when it is back; tell your teacher.",
    ),
    "disk_full": Explanation(
        "The disk of the lab computer is full",
        "There is no room for more videos at the moment.",
        "Keep your file, tell your teacher, and try again later.",
    ),
    "disk_failed": Explanation(
        "The disk of the lab computer is not answering",
        "The disk that keeps the videos can’t be read or written at the moment.",
        "The work goes on by itself when it is back; your teacher can see what is missing. Keep your file until then.",
    ),
    "interrupted": Explanation(
        "The work was interrupted", "The computer had to stop in the middle.", f"{_SAFE} It goes on by itself."
    ),
    "crashed": Explanation("The model stopped working", "The program that does this step ended in the middle.", _RETRY),
    "poison": Explanation(
        "The work on this video keeps crashing",
        "The program that does this step crashed more than once with it, so it was set aside for the others’ sake.",
        f"{_SAFE} Tell your teacher; recording it again in another format often helps.",
    ),
    "too_slow": Explanation("It took too long", "This step did not end within its time.", _RETRY),
    # The language model
    "invalid_answer": Explanation(
        "The model’s answer made no sense", "The language model gave an answer that can’t be used, twice.", _RETRY
    ),
    "prompt_cut": Explanation(
        "The model read only a part of what it was given",
        "The beginning of its task did not reach the language model, so its answer was thrown away, twice.",
        _RETRY,
    ),
    "answer_cut": Explanation("The model’s answer was cut off", "The language model did not come to an end.", _RETRY),
    "too_long_for_model": Explanation(
        "There is too much text for the model",
        "What you said is longer than the language model can read at once.",
        f"{_SAFE} Record a shorter one, or tell your teacher.",
    ),
    # The class
    "bad_rubric": Explanation(
        "The rubric of the class can’t be scored",
        "A criterion has nothing to be measured by, or there is none that is judged or measured.",
        f"{_SAFE} Tell your teacher: the rubric has to be corrected first. Then press “Try again”.",
    ),
    # Uploads
    "too_many_uploads": Explanation(
        "Too many uploads at once",
        "You have as many unfinished uploads as one student may have.",
        "Finish or discard one of them first.",
    ),
    "upload_active": Explanation(
        "Another upload of yours is under way",
        "A student’s videos are taken one after the other.",
        "It is tried again by itself, and begins when the other one has arrived.",
    ),
    "too_many_an_hour": Explanation(
        "You have handed in many videos within an hour",
        "There is a limit, so that everybody’s turn comes.",
        "Try again later; what is handed in stays.",
    ),
    "too_much": Explanation(
        "Your videos take all the room that a student has",
        "There is a limit on how much is kept of one student.",
        "Delete a video that you don’t need any more, or ask your teacher.",
    ),
    "too_many_submissions": Explanation(
        "You have handed in as many videos as your class allows",
        "There is a limit on the number of videos per student.",
        "Ask your teacher if you need one more.",
    ),
    "upload_gone": Explanation(
        "This upload is gone",
        "It was discarded, or left unfinished for too long.",
        "Choose the file again to start over.",
    ),
    "deleted": Explanation(
        "This recording was deleted",
        "It had been handed in, and then it was deleted, so it is not taken again by itself.",
        "Choose it as a file if it shall be handed in again.",
    ),
    "upload_busy": Explanation(
        "This upload is being written to", "Another part of it is arriving right now.", "It is tried again by itself."
    ),
    "offset_conflict": Explanation(
        "The parts of the file don’t fit together",
        "A part arrived that is not the next one.",
        "It is tried again by itself.",
    ),
    "bad_request": Explanation(
        "The upload was not understood",
        "The browser sent something unexpected.",
        "Reload the page and choose the file again.",
    ),
    "no_class": Explanation(
        "You are not in this class", "Only students of a class can hand in for it.", "Ask your teacher."
    ),
    # Requests
    "signed_out": Explanation(
        "You are signed out",
        "Your session has ended, or was never begun.",
        "Sign in; if you were uploading, choose the same file again.",
    ),
    "no_token": Explanation(
        "The page was too old, or the request came from elsewhere",
        "What changes something carries the token of a page of this site, and this request did not.",
        "Reload the page and try again; a program sends the cookie “csrftoken” as the header X-CSRFToken.",
    ),
    "not_found": Explanation(
        "There is no such thing here",
        "It does not exist, or it is not yours to see.",
        "Check the address, and that you are signed in as yourself.",
    ),
    "wrong_method": Explanation(
        "This can’t be done to it",
        "The address exists, but not with this method.",
        "The header Allow of this answer names the methods that it has.",
    ),
    "not_understood": Explanation(
        "The request was not understood",
        "A part of it is missing, or is not of the kind that it must be.",
        "The description of the API, /api/openapi.json, says what it must look like.",
    ),
    "nothing_to_retry": Explanation(
        "There is nothing to try again",
        "Only work that failed or was cancelled can be tried again.",
        "Look at its status: it may be under way already.",
    ),
    "nothing_to_cancel": Explanation(
        "There is nothing to cancel", "The work on it has ended already.", "Look at its status."
    ),
    # Everything else
    "unexpected": Explanation("Something went wrong", "An error came up that nobody has a name for yet.", _RETRY),
}


def explain(code: str) -> Explanation:
    """The words for an error code; unknown codes get those of `unexpected`."""
    return CATALOGUE.get(code, CATALOGUE["unexpected"])


def problem(code: str, *, id: str, detail: str = "") -> dict[str, str]:
    """How programs are told of an error; `id` is what staff find it by, `detail` a sentence on this very case."""
    words = asdict(explain(code))
    return {"code": code, **words, "what": f"{words['what']} {detail}".strip(), "id": id}
