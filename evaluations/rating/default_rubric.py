"""The rubric of a new installation, in English and in German. Migrations store it; a changed one is a new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from evaluations.rating.rubric import CriterionSpec, ItemSpec, RubricSpec, WorkedExample

_VIVID, _PLAIN = (
    WorkedExample(
        (
            "Good evening.",
            "I like animals, so every week I walk the dogs of the shelter.",
            "In May one of them ran away, and I found it after two hours with a whistle.",
            "That taught me to stay calm, and that is what I am good at.",
            "One day I will be successful.",
            "Thank you, and come and visit the shelter.",
        ),
        {
            "thread": (2, 4),
            "interest": (2,),
            "detail": (2,),
            "future": (),
            "reason": (2,),
            "event": (3,),
            "strength": (4,),
            "proof": (3, 4),
            "closing": (6,),
        },
    ),
    WorkedExample(
        (
            "Hi everyone, I am Noor and I go to school in Delft.",
            "I have many hobbies, but most of all I build model ships with my uncle on Saturdays.",
            "Later I want to become an electrician.",
            "I am good at working with my hands.",
            "And my sister is called Fenna.",
        ),
        {
            "thread": (),
            "interest": (2,),
            "detail": (2,),
            "future": (3,),
            "reason": (),
            "event": (),
            "strength": (4,),
            "proof": (),
            "closing": (),
        },
    ),
)

ENGLISH: Final = RubricSpec(
    "Self-introduction",
    3,
    "en",
    (
        CriterionSpec(
            "clarity_of_speech",
            "Clarity of speech",
            (
                ItemSpec(
                    "opening",
                    "opens by greeting the listeners or by saying who is speaking",
                    1,
                    title="a beginning",
                    computed="opens",
                    yes="Good morning, I am Lea.",
                    no="I like tennis.",
                    advice="Begin with a greeting or with who you are.",
                ),
                ItemSpec(
                    "pace",
                    "speaks at a pace that listeners can follow",
                    1,
                    title="a pace to follow",
                    computed="pace",
                    advice="Speak at the pace at which you would explain something to a friend.",
                ),
                ItemSpec(
                    "phrases",
                    "pauses between sentences rather than in the middle of them",
                    1,
                    title="whole phrases",
                    computed="phrases",
                    advice="Finish a sentence before you pause.",
                ),
                ItemSpec(
                    "sentences",
                    "finishes the sentences",
                    2,
                    title="whole sentences",
                    computed="finished",
                    yes="I play chess on Sundays.",
                    no="I play, and then, so yes.",
                    advice="Finish each sentence that you begin.",
                ),
                ItemSpec(
                    "thread",
                    "leads from one topic to the next, with linking words or in a clear order",
                    3,
                    title="a thread to follow",
                    hard=True,
                    whole=True,
                    yes="Besides school, I also swim. That is where I learned to be patient.",
                    no="I am fifteen. Pizza. My school is old.",
                    advice="Lead from one topic to the next, for example with “that is why” or “besides”.",
                ),
            ),
        ),
        CriterionSpec(
            "content_quality",
            "Content quality",
            (
                ItemSpec(
                    "name",
                    "says their name",
                    1,
                    title="your name",
                    about="name",
                    computed="name",
                    yes="My name is Lea Brandt.",
                    no="Hello everybody.",
                    advice="Say your name.",
                ),
                ItemSpec(
                    "interest",
                    "names a concrete hobby or interest",
                    1,
                    title="an interest of yours",
                    about="hobbies",
                    yes="I play the trumpet.",
                    no="I have many hobbies.",
                    advice="Name something that you like to do.",
                ),
                ItemSpec(
                    "detail",
                    "tells a detail about a hobby or interest: with whom, where, how often, since when or what exactly",
                    2,
                    title="a detail to remember",
                    about="hobbies",
                    yes="I have played the trumpet in the town band for three years.",
                    no="I play the trumpet.",
                    advice="Tell a detail of what you like to do: with whom, where, how often.",
                ),
                ItemSpec(
                    "future",
                    "names a concrete job, field or plan for the future",
                    2,
                    title="a concrete plan",
                    about="career_goals",
                    yes="I want to study law.",
                    no="I want to be successful one day.",
                    advice="Name a job, a field or a plan for the time after school.",
                ),
                ItemSpec(
                    "reason",
                    "gives a reason for a plan, an interest or a choice",
                    2,
                    title="a reason",
                    sign="reason",
                    about="career_goals",
                    yes="I want to study law because my aunt was treated unfairly.",
                    no="I want to study law.",
                    advice="Give the reason for your plan or for what you like.",
                ),
                ItemSpec(
                    "event",
                    "tells of something particular that they did, and what came of it",
                    4,
                    title="something particular that you did",
                    sign="past",
                    about="experience",
                    hard=True,
                    yes="Last spring I organised a concert, and we collected 400 euros.",
                    no="I sometimes organise things.",
                    advice="Tell of one thing that you did, and what came of it.",
                ),
            ),
            weight=2.0,
        ),
        CriterionSpec(
            "confidence",
            "Confidence",
            (
                ItemSpec(
                    "strength",
                    "names something that they are good at",
                    2,
                    title="something that you are good at",
                    about="strengths",
                    yes="I am good at explaining things.",
                    no="My friends are nice.",
                    advice="Name something that you are good at.",
                ),
                ItemSpec(
                    "proof",
                    "supports a strength with something that they did",
                    4,
                    title="proof of a strength",
                    sign="past",
                    about="strengths",
                    hard=True,
                    yes="I am good at explaining: my cousin passed mathematics after I taught her.",
                    no="I am good at explaining, and I am helpful.",
                    advice="Support what you are good at with something that you did.",
                ),
                ItemSpec(
                    "direct",
                    "says what they mean without hedging",
                    2,
                    title="plain words",
                    computed="direct",
                    yes="I want to be a nurse.",
                    no="Maybe I kind of want to be a nurse, I guess.",
                    advice="Say what you mean without “maybe” or “I guess”.",
                ),
                ItemSpec(
                    "no_apology",
                    "does not apologise for themselves or for the talk",
                    1,
                    title="words without apologies",
                    computed="no_apology",
                    no="Sorry, I am bad at this.",
                    advice="Leave out apologies: nobody waits for a mistake.",
                ),
                ItemSpec(
                    "closing",
                    "ends with a closing sentence for the listeners",
                    2,
                    title="a good ending",
                    sign="ending",
                    yes="I look forward to working with you. Thank you.",
                    no="And I have a cat.",
                    advice="End with a closing sentence, for example what you look forward to.",
                ),
            ),
        ),
    ),
    (_VIVID, _PLAIN),
)

_VIVID_DE, _PLAIN_DE = (
    WorkedExample(
        (
            "Guten Abend.",
            "Ich mag Tiere, deshalb führe ich jede Woche die Hunde des Tierheims aus.",
            "Im Mai lief einer davon, und nach zwei Stunden habe ich ihn mit einer Pfeife gefunden.",
            "Dabei habe ich gelernt, ruhig zu bleiben, und das kann ich gut.",
            "Eines Tages werde ich erfolgreich sein.",
            "Danke, und kommt das Tierheim besuchen.",
        ),
        {
            "thread": (2, 4),
            "interest": (2,),
            "detail": (2,),
            "future": (),
            "reason": (2,),
            "event": (3,),
            "strength": (4,),
            "proof": (3, 4),
            "closing": (6,),
        },
    ),
    WorkedExample(
        (
            "Hallo zusammen, ich bin Noor und gehe in Delft zur Schule.",
            "Ich habe viele Hobbys, aber am liebsten baue ich samstags mit meinem Onkel Modellschiffe.",
            "Später möchte ich Elektrikerin werden.",
            "Ich kann gut mit meinen Händen arbeiten.",
            "Und meine Schwester heißt Fenna.",
        ),
        {
            "thread": (),
            "interest": (2,),
            "detail": (2,),
            "future": (3,),
            "reason": (),
            "event": (),
            "strength": (4,),
            "proof": (),
            "closing": (),
        },
    ),
)

GERMAN: Final = RubricSpec(
    "Selbstvorstellung",
    2,
    "de",
    (
        CriterionSpec(
            "clarity_of_speech",
            "Klarheit",
            (
                ItemSpec(
                    "opening",
                    "beginnt mit einer Begrüßung oder damit, wer spricht",
                    1,
                    title="einen Anfang",
                    computed="opens",
                    yes="Guten Morgen, ich bin Lea.",
                    no="Ich mag Tennis.",
                    advice="Beginne mit einer Begrüßung oder damit, wer du bist.",
                ),
                ItemSpec(
                    "pace",
                    "spricht in einem Tempo, dem man folgen kann",
                    1,
                    title="ein Tempo, dem man folgen kann",
                    computed="pace",
                    advice="Sprich in dem Tempo, in dem du einem Freund etwas erklären würdest.",
                ),
                ItemSpec(
                    "phrases",
                    "macht Pausen zwischen den Sätzen statt mitten darin",
                    1,
                    title="ganze Wendungen",
                    computed="phrases",
                    advice="Sprich einen Satz zu Ende, bevor du eine Pause machst.",
                ),
                ItemSpec(
                    "sentences",
                    "bringt die Sätze zu Ende",
                    2,
                    title="ganze Sätze",
                    computed="finished",
                    yes="Sonntags spiele ich Schach.",
                    no="Ich spiele, und dann, also ja.",
                    advice="Bring jeden Satz zu Ende, den du anfängst.",
                ),
                ItemSpec(
                    "thread",
                    "führt von einem Thema zum nächsten, mit verbindenden Wörtern oder in klarer Reihenfolge",
                    3,
                    title="einen roten Faden",
                    hard=True,
                    whole=True,
                    yes="Neben der Schule schwimme ich. Dort habe ich Geduld gelernt.",
                    no="Ich bin fünfzehn. Pizza. Meine Schule ist alt.",
                    advice="Führe von einem Thema zum nächsten, zum Beispiel mit „deshalb“ oder „außerdem“.",
                ),
            ),
        ),
        CriterionSpec(
            "content_quality",
            "Inhalt",
            (
                ItemSpec(
                    "name",
                    "sagt den eigenen Namen",
                    1,
                    title="deinen Namen",
                    about="name",
                    computed="name",
                    yes="Mein Name ist Lea Brandt.",
                    no="Hallo zusammen.",
                    advice="Sag deinen Namen.",
                ),
                ItemSpec(
                    "interest",
                    "nennt ein bestimmtes Hobby oder Interesse",
                    1,
                    title="ein Interesse von dir",
                    about="hobbies",
                    yes="Ich spiele Trompete.",
                    no="Ich habe viele Hobbys.",
                    advice="Nenne etwas, das du gern tust.",
                ),
                ItemSpec(
                    "detail",
                    "erzählt Näheres über ein Hobby oder Interesse: mit wem, wo, wie oft, seit wann oder was genau",
                    2,
                    title="etwas, das man sich merkt",
                    about="hobbies",
                    yes="Seit drei Jahren spiele ich Trompete in der Stadtkapelle.",
                    no="Ich spiele Trompete.",
                    advice="Erzähle Näheres von dem, was du gern tust: mit wem, wo, wie oft.",
                ),
                ItemSpec(
                    "future",
                    "nennt einen bestimmten Beruf, ein Fach oder einen Plan für die Zukunft",
                    2,
                    title="einen bestimmten Plan",
                    about="career_goals",
                    yes="Ich möchte Jura studieren.",
                    no="Ich möchte einmal erfolgreich sein.",
                    advice="Nenne einen Beruf, ein Fach oder einen Plan für die Zeit nach der Schule.",
                ),
                ItemSpec(
                    "reason",
                    "nennt einen Grund für einen Plan, ein Interesse oder eine Entscheidung",
                    2,
                    title="einen Grund",
                    sign="reason",
                    about="career_goals",
                    yes="Ich möchte Jura studieren, weil meine Tante ungerecht behandelt wurde.",
                    no="Ich möchte Jura studieren.",
                    advice="Nenne den Grund für deinen Plan oder für das, was du magst.",
                ),
                ItemSpec(
                    "event",
                    "erzählt von etwas Bestimmtem, das sie oder er getan hat, und was daraus wurde",
                    4,
                    title="etwas Bestimmtes, das du getan hast",
                    sign="past",
                    about="experience",
                    hard=True,
                    yes="Letzten Frühling habe ich ein Konzert organisiert, und wir haben 400 Euro gesammelt.",
                    no="Ich organisiere manchmal etwas.",
                    advice="Erzähle von einer Sache, die du getan hast, und was daraus wurde.",
                ),
            ),
            weight=2.0,
        ),
        CriterionSpec(
            "confidence",
            "Sicherheit",
            (
                ItemSpec(
                    "strength",
                    "nennt etwas, das sie oder er gut kann",
                    2,
                    title="etwas, das du gut kannst",
                    about="strengths",
                    yes="Ich kann gut erklären.",
                    no="Meine Freunde sind nett.",
                    advice="Nenne etwas, das du gut kannst.",
                ),
                ItemSpec(
                    "proof",
                    "belegt eine Stärke mit etwas, das sie oder er getan hat",
                    4,
                    title="einen Beleg für eine Stärke",
                    sign="past",
                    about="strengths",
                    hard=True,
                    yes="Ich kann gut erklären: Meine Kusine hat Mathematik bestanden, weil ich mit ihr lernte.",
                    no="Ich kann gut erklären und bin hilfsbereit.",
                    advice="Belege, was du gut kannst, mit etwas, das du getan hast.",
                ),
                ItemSpec(
                    "direct",
                    "sagt ohne Ausflüchte, was gemeint ist",
                    2,
                    title="klare Worte",
                    computed="direct",
                    yes="Ich möchte Krankenpfleger werden.",
                    no="Vielleicht möchte ich irgendwie Krankenpfleger werden, glaube ich.",
                    advice="Sag ohne „vielleicht“ oder „irgendwie“, was du meinst.",
                ),
                ItemSpec(
                    "no_apology",
                    "entschuldigt sich nicht für sich oder für den Vortrag",
                    1,
                    title="Worte ohne Entschuldigung",
                    computed="no_apology",
                    no="Tut mir leid, ich bin schlecht darin.",
                    advice="Lass Entschuldigungen weg: Niemand wartet auf einen Fehler.",
                ),
                ItemSpec(
                    "closing",
                    "endet mit einem Schlusssatz für die Zuhörenden",
                    2,
                    title="einen guten Schluss",
                    sign="ending",
                    yes="Ich freue mich auf die Zeit mit euch. Danke.",
                    no="Und ich habe eine Katze.",
                    advice="Ende mit einem Schlusssatz, zum Beispiel worauf du dich freust.",
                ),
            ),
        ),
    ),
    (_VIVID_DE, _PLAIN_DE),
)

DEFAULTS: Final = (ENGLISH, GERMAN)


def of_language(language: str) -> RubricSpec:
    """The one whose words are in that language; the English one where there is none."""
    return next((spec for spec in DEFAULTS if spec.language == language), ENGLISH)


def localized(rows: Sequence[Mapping[str, Any]], language: str) -> list[dict[str, Any]]:
    """The rows of a rating (`Evaluation.scores`) with the words of these rubrics in the given language.

    Whatever else stands in them, a teacher's own words or quotes, stays as it is.
    """
    known = _translations(language)
    return [
        {
            **row,
            "title": known.get(row["title"], row["title"]),
            "items": [
                {**item, **{field: known.get(item[field], item[field]) for field in ("statement", "title", "advice")}}
                for item in row["items"]
            ],
        }
        for row in rows
    ]


@cache
def _translations(language: str) -> dict[str, str]:
    target = of_language(language)
    return {
        words: translation for spec in DEFAULTS for words, translation in zip(_words(spec), _words(target), strict=True)
    }


def _words(spec: RubricSpec) -> list[str]:
    items = [text for item in spec.items() for text in (item.statement, item.title, item.advice)]
    return [*(criterion.title for criterion in spec.criteria), *items]
