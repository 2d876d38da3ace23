"""The words by which `instructions` knows a sentence that talks to the rater, as regular expressions. Data only.

They are for text as `instructions` prepares it: small letters, one blank between words, "colon" for a colon. English
and German, as a speech recogniser writes them: with or without punctuation, "j son", "open bracket".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final, cast

from django.utils.functional import SimpleLazyObject


def compiled_on_use(pattern: str) -> re.Pattern[str]:
    """Compiling the large ones takes longer than importing them, and most of what starts rates nobody."""
    return cast("re.Pattern[str]", SimpleLazyObject(lambda: re.compile(pattern)))


def _any(*words: str) -> str:
    """One of the words; each may be a pattern, and several may stand in a string, between blanks."""
    return f"(?:{'|'.join(word.replace('_', ' ') for words_ in words for word in words_.split())})"


_NUMBER = _any(
    r"\d+ one two three four five six seven eight nine ten hundred",
    r"eins? zwei drei vier fünf sechs sieben acht neun zehn hundert",
)
_TOP = _any(
    (
        r"(?:full|top|best|highest|maximum|max|perfect)_(?:marks?|grades?|scores?|points?|ratings?|levels?"
        r"|credit|stars?)"
    ),
    r"(?:volle|beste|höchste|maximale)[nrs]?_(?:punkt\w*|noten?|stufen?|wertung|bewertung) bestnoten?",
    rf"a_plus an_a {_NUMBER}_(?:points?|punkten?|stars?|sterne) note_(?:eins|1)",
    rf"{_NUMBER}_(?:points?_)?(?:out_)?of_{_NUMBER} {_NUMBER}_von_{_NUMBER}",
)
_BEST = _any(_TOP.replace(" ", "_"), "excellent outstanding ausgezeichnet sehr_gut")
_GRADE = _any(
    r"marks? grades? scores? ratings? points levels? stars? noten? punkte\w* stufen? sterne",
    _BEST.replace(" ", "_"),
)
_ITEM = _any(
    r"items? criteri(?:on|a) rubrics? questions? fields? answers? values? statements? boxes box",
    r"kriteri(?:um|en) rubrik fragen? felder werte? punkte antwort(?:en)? aussagen? kästchen häkchen",
)
_YES = _any(
    r"true yes met fulfilled satisfied passed excellent perfect ten",
    r"wahr ja erfüllt bestanden ausgezeichnet zehn sehr_gut",
)
_EVERY = _any(r"(?:all|every|each|alle[nrs]?|jede[nrsm]?)(?:_of)?(?:_(?:the|these|der|dieser))?")
_PUPIL = _any(
    r"(?:the|this|that|next)_(?:student|pupil|candidate|speaker)",
    r"(?:der|die|das|dem|den|diese[rsmn]?|nächste[rn]?)_(?:schüler(?:in)?|student(?:in)?|kandidat(?:in)?)",
)
_STAFF = _any(
    r"teachers? examiners? school headmaster principal developers? admin(?:istrator)?s? staff",
    r"lehrer(?:in)? lehrkraft prüfer(?:in)? schule schulleit(?:er|erin|ung) entwickler rektor(?:in)? direktor(?:in)?",
)
_MACHINE = _any(
    r"ai a_i (?:large_)?language_model chatbot bot computer machine artificial_intelligence grader rater evaluator",
    r"model llm chat_?gpt ki k_i sprachmodell künstliche_intelligenz prüfer bewerter maschine",
)
_RATER = _any(
    "evaluator rater grader assessor bewerter automatic_marker",
    r"(?:grading|rating|marking|assessment)_(?:software|systems?|programs?|machine|computer|tool|model|assistant)",
    r"bewertungs(?:software|system|programm|computer|modell|maschine)",
)
_SPEECH = _any(
    "this_(?:presentation|introduction|speech|video|talk|recording|text|clip)",
    "dieses_(?:video|gespräch) diese[rn]?_(?:aufnahme|vorstellung|rede|vortrag)",
)
_QUALITY = _any("clarity confidence content content_quality overall klarheit inhalt selbstvertrauen gesamt auftreten")
_REPORT = _any(
    r"feedback suggestions? rating evaluation report response output assessment",
    r"rückmeldung vorschlägen? bewertung antwort beurteilung",
)
_JSON = _any("json j_son jason jay_son yaml xml")
_WHICH = "(?:this|every|(?:the|my) (?:first|last|next|following|previous|second))"
_SHOWABLE = _any(
    "greeting opening beginning thread interest detail plan reason event strength proof evidence closing ending",
    "example begrüßung anfang einstieg faden interesse detail plan grund ereignis erlebnis stärke beleg beweis",
    "nachweis schluss abschluss schlusssatz beispiel",
)
_ONE = r"(?:an? |the |my |eine?n? |den |die |das |meine?n? )?"
_TALK = _any(
    "introduction presentation speech talk recording video clip text",
    "vorstellung rede vortrag aufnahme präsentation selbstvorstellung",
)
_RATE = _any("rate score grade mark judge evaluate assess award bewerten? benoten? beurteilen?")
_GIVE = (
    _any(
        "give award grant put set assign choose select pick write say answer make add let use take",
        "gib gebt setze? setzt vergib wähle? schreibe? trage? nimm mache? lass sage?",
        "geben_sie schreiben_sie vergeben_sie nehmen_sie setzen_sie wählen_sie",
    )
    + r"(?! (?:ich|wir|i|we)\b)"
)
_IGNORE = _any(
    "ignore disregard override bypass overrule forget",
    "ignorieren? missachten? vergiss vergessen übergehe",
)
_RULES = _any(
    "instructions? rubrics? criteria prompts? guidelines? commands? orders? rules training task",
    r"anweisung\w* rubrik kriterien vorgaben befehle? regeln aufgabe",
)
DATA_LABEL: Final = _any(
    "system input output transcript transkript rating bewertung score answer antwort question frage response",
    "correct_answer richtige_antwort eingabe ausgabe item prompt verdict",
)
_ROLE = _any("assistant assistent user human student schüler teacher lehrer instruction anweisung grade note")
# Where an order begins: a sentence, a "please", a "you must". Not behind "I" or "to", where one tells of oneself.
_ORDER = (
    r"(?:^|\b(?:please|kindly|now|then|bitte|jetzt|dann)"
    r"|\byou (?:must|should|shall|can|will|may|now|have to|need to|are to|ought to)"
    r"|\b(?:du|sie) (?:musst|müssen|sollst|sollen|solltest|kannst|darfst))"
    r" ?(?:(?:do|please|also|not|only|just|always|never|simply|now|bitte|nur|immer|einfach|jetzt|mich|mir) )*\b"
)
_ORDER_OR_AND = rf"(?:{_ORDER}|\b(?:and|und|just|so) )"


def _up_to(count: int) -> str:
    """So many words between two others at most, each with the blank before it."""
    return rf"(?: \S+){{0,{count}}}"


_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "an order to rate": (
        rf"{_ORDER}{_RATE}(?: sie)? (?:me|this|it|{_PUPIL}|{_EVERY}|everything|mich|diese\w*)\b",
        rf"{_ORDER}{_RATE}(?: sie)? (?:my|mein\w*) .*\b(?:{_GRADE}\b|{_NUMBER}$)",
        rf"\b(?:and|und) {_RATE} (?:me|this|mich|{_PUPIL})\b",
        rf"{_ORDER}{_GIVE}{_up_to(8)} {_GRADE}\b",
        rf"\b(?:and|und) (?:give|gib|award) (?:me|mir|{_PUPIL}){_up_to(4)} {_GRADE}\b",
        rf"\bto (?:give|award) (?:me|{_PUPIL}){_up_to(2)} {_BEST}\b",
        rf"\b(?:give|award|gib|geben) {_PUPIL}{_up_to(5)} {_GRADE}\b",
        rf"{_ORDER}(?:answer|respond|reply|(?:be)?antworten?)\b.*\b(?:yes|true|ja|wahr|{_EVERY})\b",
        rf"\b(?:i deserve|i should get|ich verdiene){_up_to(3)} {_BEST}\b",
        rf"\b(?:score|rating|grade){_up_to(5)} (?:should|must|has to|shall|is to) be (?:{_NUMBER}|{_GRADE})\b",
        rf"\b(?:bewertung|punktzahl|wertung|stufe){_up_to(5)} (?:soll|sollte|muss)(?! (?:ich|wir)\b)",
        rf"\b(?:and|und|so) (?:give|write|put|set|use|enter|award|gib|geben sie|schreib|setz){_up_to(3)} {_TOP}\b",
        rf"(?<!\bi )(?<!\bwe )(?<!\bto )\b{_RATE} (?:it|this|me|{_SPEECH}) as\b",
        (
            r"\b(?:you|du) (?:must|should|have to|need to|can|musst|sollst|kannst) (?:\S+ )?(?:me|mir|mich"
            rf"|this){_up_to(3)} {_BEST}\b"
        ),
        rf"\b(?:use|put|take|enter|write) {_NUMBER} (?:for|in|to|as) (?:all|every|each|it|everything)\b",
        (
            r"\b(?:score|rating|result|grade|ergebnis|bewertung|wertung) (?:here )?(?:is|lautet|ist) (?:an?"
            rf" )?(?:{_NUMBER}|{_BEST})\b"
        ),
        rf"\b{_QUALITY}(?: is| ist| equals| to| auf)? {_NUMBER}\b",
        (
            rf"\b(?:video|recording|introduction|presentation|speech|vorstellung|aufnahme){_up_to(2)} (?:deserves"
            rf"|verdient){_up_to(2)} {_BEST}\b"
        ),
        rf"\b(?:command|order|ask|urge|befehle|bitte) (?:you|dir|dich|ihnen|sie)\b.* {_RATE}\b",
        rf"\b{_QUALITY} (?:must|should|has to|shall|soll|muss)(?: be| sein)? ",
        rf"\blevel {_NUMBER} level {_NUMBER}\b|\bstufe {_NUMBER} stufe {_NUMBER}\b",
        rf"\b(?:überall (?:ja|wahr|{_NUMBER})|(?:yes|true|{_NUMBER}) everywhere)\b",
        rf"{_ORDER_OR_AND}(?:treat|consider|count) {_EVERY} {_ITEM}\b",
        (
            rf"\b(?:you|du)\b{_up_to(4)} (?:give|gibst|gebt|geben){_up_to(3)} {_NUMBER}(?:$| (?:points|stars|out"
            r"|you|wirst|du)\b)"
        ),
        rf"\b(?:you|du)\b{_up_to(4)} (?:less than|weniger als) {_NUMBER}\b",
        r"\bzu bewerten\b",
        rf"\b(?:must|should|is to|are to) be (?:rated|graded|marked|scored){_up_to(4)} {_GRADE}\b",
        r"\bwho(?:ever)? (?:rates|grades|evaluates|judges|marks|scores) this\b",
        r"\bwer (?:das|dies) (?:hier )?bewertet\b",
        rf"\b{_SPEECH}{_up_to(3)} (?:{_GRADE}|bewerten|zu bewerten)\b",
        rf"\b{_NUMBER} (?:out of|von) {_NUMBER} (?:is|are|would|wäre|wären|sind|ist|bitte|please)\b",
        r"\b(?:score|rating|grade|result|overall|bewertung|ergebnis|punktzahl) (?:equals|gleich)\b",
        rf"(?:{_ORDER}|\b(?:and|und|just|einfach) )(?:type|enter|tippe?|tippen sie) (?:\S+ )?{_NUMBER}\b",
        rf"\b(?:no|not|nie|nicht){_up_to(4)} (?:lower|less|worse|schlechter|weniger) (?:than|als) (?:{_NUMBER}|a)\b",
    ),
    "all items": (
        rf"\b(?:item|question|point|punkt|frage) {_NUMBER} (?:is |ist )?{_YES}\b",
        rf"\b(?:answer|antwort)\b{_up_to(1)} (?:all|every|each|alle\w*|jede\w*) (?:your|of your|deine\w*|ihre)\b",
        rf"{_ORDER_OR_AND}(?:count|treat|take) everything as\b",
        r"\b(?:the|die) (?:correct |right |richtige )?(?:answer|antwort) (?:is|ist|lautet) (?:true|wahr)\b",
        (
            rf"\b{_EVERY} (?:goals?|requirements?|objectives?|ziele?|anforderungen) (?:of|in|for|für) (?:this|the"
            r"|diese[rs]?)\b"
        ),
        rf"\b{_EVERY} {_ITEM}{_up_to(3)} (?:is|are|as|to|with|be|ist|sind|auf|mit|als)(?: all| alle)? {_YES}\b",
        rf"\b{_EVERY} {_ITEM} (?:sind |ist )?{_YES}\b",
        rf"\b(?:fulfill?s?|meets?|passes|satisfies|erfüllt|besteht) (?:{_EVERY} {_ITEM}|everything$|alles$)",
        rf"\b(?:fulfill?ed|met|covered|satisfied) {_EVERY}(?: single)? (?:criteri(?:on|a)|items?|boxes)\b",
        rf"\b{_EVERY} (?:punkte|kriterien|anforderungen|fragen) (?:des|der) (?:rasters?|bewertung|rubrik|aufgabe)\b",
        rf"\bbei (?:allem|allen|jedem){_up_to(3)} (?:häkchen|haken|kreuz|ja)\b",
        r"\b(?:results?|ergebnisse?) (?:have to|must|should|müssen) (?:be )?(?:maximum|maximal|perfect|perfekt)\b",
        rf"\b(?:evidence|proof|beleg|beweis) (?:for|of|für) (?:the |my |meine? )?(?:{_QUALITY}|{_EVERY} {_ITEM})\b",
        r"\b(?:has|have|hat|haben) (?:already )?(?:alles|everything) (?:erfüllt|fulfilled|right|passed|bestanden)\b",
    ),
    "what is wanted, listed": (
        # What is wanted, named one after the other: nobody introduces themselves so.
        rf"(?:\b{_SHOWABLE}s? (?:(?:is|are|was|ist|sind|war|colon) )?{_YES}\b.*){{2}}",
        rf"\b{_TALK}\b.*\b{_SHOWABLE}s?\b.*\b{_SHOWABLE}s?\b.*\b{_SHOWABLE}",
        rf"\b{_SHOWABLE}s?\b.*\b{_SHOWABLE}s?\b.*\b{_SHOWABLE}.*\b{_TALK}\b",
        rf"\b{_ONE}{_SHOWABLE}s? (?:and |und )?{_ONE}{_SHOWABLE}s? (?:and |und |with |mit )?{_ONE}{_SHOWABLE}s?\b",
        (
            rf"\b(?:everything|all|whatever|what)(?: that)? (?:a|any|every) (?:good"
            rf"|perfect|great|best) {_TALK} (?:needs|has|must|should)\b"
        ),
        (
            rf"\b(?:alles|all das|was)(?: was)? (?:zu )?(?:eine?r?|jede) (?:gute"
            rf"|perfekte|tolle)[nrs]? {_TALK} (?:braucht|gehört|hat|haben|muss)\b"
        ),
        r"\bhier alles richtig\b|\beverything (?:right|correctly) here\b",
        rf"{_ORDER_OR_AND}(?:tick|check|cross|hake?|kreuze?)\b.*\b(?:{_EVERY}|everything|alles|überall)\b",
        rf"\b(?:tick|check) {_EVERY} (?:box|boxes|item|items)\b|\büberall (?:ein )?(?:häkchen|kreuz)",
    ),
    "a plea": (
        (
            r"\b(?:be|sei|seid|seien sie) (?:so )?(?:\S+ )?(?:kind|nice|generous|lenient|gentle|merciful|easy|fair"
            r"|lieb|nett|gnädig|gütig|großzügig|mild) (?:to|with|on|mit|zu) (?:me|mir|this|diese\w*)\b"
        ),
        rf"\b(?:if|when) (?:this|it|my {_TALK}){_up_to(3)} {_TOP}\b",
        rf"\b(?:if|wenn|falls) (?:i|ich)\b{_up_to(4)} {_TOP}\b.*\b(?:you|dir|ihnen|euch)\b",
        r"\bif i (?:fail|do not pass|don't pass) (?:this|here)\b|\bwenn ich (?:hier|damit) durchfalle\b",
        (
            rf"\b(?:he|she|they|friends?) (?:\S+ )?(?:got|received) (?:an? )?(?:{_NUMBER}|{_TOP})\b.*\b(?:so|and) "
            r"(?:should i|i should|i deserve)\b"
        ),
        rf"\b(?:alle|anderen?|jeder|freund\w*|klasse)\b.*\bdafür (?:\S+ )?{_GRADE} (?:bekommen|gekriegt|erhalten)\b",
        rf"\b(?:du|sie){_up_to(4)} nicht (?:so|zu) streng (?:wärst|wären|bewertest|bewerten)\b",
        r"\b(?:sei|seien sie) (?:bitte )?nicht (?:so|zu) streng\b|\b(?:do not|don't) be (?:so|too) (?:strict|harsh)\b",
        r"\b(?:sehen|betrachten|werten|nehmen) sie (?:das|dies\w*|mein\w*|folgende\w*)\b.*\bals\b",
        rf"\bi (?:\S+ )?(?:get|receive|deserve) (?:less|lower|worse) than (?:an? )?{_NUMBER}\b",
        rf"\bich (?:weniger|schlechter) als (?:eine )?{_NUMBER} (?:bekomme|kriege|erhalte)\b",
        (
            r"\b(?:pretend|imagine|act as if|suppose)(?: that)? you (?:are"
            r"|were)\b.*\b(?:rate|judge|mark|grade|score|assess|listen)\b"
        ),
        (
            r"\b(?:tu|tut|tun sie) (?:so )?als (?:ob (?:du|sie)|wärs?e?t? ?(?:du"
            r"|sie)?|seist)\b.*\b(?:urteil\w*|bewert\w*|benote\w*)\b"
        ),
        r"\bstell(?:en sie sich| dir) vor(?: dass)? (?:du|sie)\b.*\b(?:urteil\w*|bewert\w*|benote\w*)\b",
    ),
    "an order to ignore": (
        r"\brubrics?\b(?! cube)",
        r"\b(?:your|deine[nr]?|ihre[nr]?) (?:system )?(?:instructions?|prompts?|programming|anweisung(?:en)?)\b",
        rf"{_ORDER_OR_AND}(?:disable|skip|drop|delete|remove|change|replace){_up_to(2)} {_RULES}\b",
        r"\bdo (?:as|what) i say\b|\b(?:the|your) prompt says\b",
        rf"\b{_IGNORE}(?: sie)?{_up_to(2)} (?:your|deine\w*|ihre){_up_to(2)} {_RULES}\b",
        rf"\b{_IGNORE} (?:everything|anything|all|what) (?:that )?you(?:r| were| have| know)\b",
        rf"\b{_IGNORE}(?: sie)? alles was (?:dir|du|ihnen|sie)\b",
        rf"\b{_IGNORE}(?: sie)?(?: (?:all|the|any|alle|die))* (?:previous|above|prior|earlier|vorherigen?|obigen?)\b",
        rf"{_ORDER_OR_AND}{_IGNORE}{_up_to(4)} (?:{_RULES}|above|transcript|transkript|text|mistakes|fehler)\b",
        rf"{_ORDER_OR_AND}{_IGNORE}{_up_to(4)} everything (?:before|above|that was said)\b",
        rf"\b(?:new|neue) {_RULES} colon\b",
        rf"^(?:new|neue) {_RULES}(?:$| (?:the|you|der|die|du)\b)",
        r"\bfrom now on you\b",
        r"\bab (?:jetzt|sofort|nun) \S+ du\b",
        r"\byou (?:(?:must|should|will|now) )?(?:follow|obey) (?:my|me|this|these)\b",
    ),
    "a call to the machine": (
        rf"\b{_RATER}\b",
        r"\b(?:reviewer|marker|judge|model) (?:instructions?|notes?)\b",
        r"\b(?:admin|developer|debug|root|god) mode\b",
        rf"\b(?:if you are|wenn du) (?:an?|eine?) (?:\S+ )?{_MACHINE}\b",
        r"\byour (?:only )?(?:job|task|purpose) is to\b|\bdeine (?:einzige )?aufgabe ist\b",
        r"\b(?:answer|respond|reply|antworte|antworten sie) (?:only|just|nur) (?:with|mit|yes|ja)\b",
        r"\b(?:evaluation|rating|assessment|grading) (?:is )?(?:complete|completed|finished|done)\b",
        r"\ball (?:the )?boxes\b",
        r"\b(?:computer|you and me|unter uns)\b.*\b(?:say|sage?) (?:\S+ )?(?:yes|ja)\b",
        (
            r"\byou are (?:the|an?|such an?)(?: \S+){1,2} (?:assistant|algorithm|program|robot)\b"
            r"|\bdu bist (?:der|die|das|eine?)(?: \S+){1,2} (?:assistent|programm|roboter)\b"
        ),
        r"\b(?:be|sei|werde) (?:that|this|like the|dieser|wie der) (?:\S+ )?(?:robot|computer|roboter)\b",
        r"\bwe are (?:now )?in (?:a )?test mode\b|\bwir sind (?:jetzt )?im testmodus\b",
        (
            r"\b(?:from (?:here|now) on|ab (?:jetzt|hier|sofort))\b.*"
            r"\b(?:means|bedeutet|heißt|true|yes|ja|wahr|stimmt)\b"
            r"|\b(?:means|bedeutet|heißt)\b.*\b(?:from (?:here|now) on|ab (?:jetzt|hier|sofort))\b"
        ),
        rf"\bas an? (?:\S+ )?{_MACHINE}(?: model)? (?:you|please)\b",
        rf"\bals (?:eine? )?{_MACHINE} (?:du|musst|sollst|solltest|bist|kannst|bitte)\b",
        rf"\byou are (?:now|only|just) an? (?:\S+ )?{_MACHINE}\b",
        r"\byou are an? (?:\S+ )?(?:ai|a i|language model|grader|rater|evaluator|chatbot)\b",
        rf"\bdu bist (?:jetzt|nun|nur) eine? (?:\S+ )?{_MACHINE}\b",
        r"\bdu bist eine? (?:\S+ )?(?:ki|k i|sprachmodell|prüfer|bewerter|künstliche intelligenz)\b",
        rf"\b(?:attention|hello|hi|hey|dear|achtung|hallo|liebe[rs]?) (?:\S+ )?{_MACHINE}\b(?! science)",
        (
            r"\b(?:dear|hello|hi|hey|liebe[rs]?|hallo) (?:\S+ )?(?:judge|software|program|algorithm|robot"
            r"|assistant|programm|assistent)\b"
        ),
        r"\bsystem ?(?:prompts?|messages?|override|instructions?|nachricht|anweisung)\b",
        r"\b(?:end|begin|beginning|start) of (?:the )?(?:transcript|prompt|input|instructions?|system|rating)\b",
        r"\b(?:ende|anfang|beginn) (?:des|der) (?:transkripts?|prompts?|eingabe|anweisung\w*|system\w*|bewertung)\b",
        (
            r"\b(?:rater|grader|evaluator|language model|ai model) (?:should|must|has to|needs to|please|the"
            r" following)\b"
        ),
        r"\b(?:bewerter|prüfer|sprachmodell) (?:soll|muss|bitte|es folgt)\b",
    ),
    "a form of data": (
        r"[{}]",
        r"\[\s*[\"'\d]",
        r"[\"']\w+[\"']\s*:",
        r"\b(?:curly|curved) (?:brackets?|braces?)\b",
        r"\b(?:open|opening|close|closing|left|right) (?:brackets?|braces?)\b",
        r"\b(?:bracket|brace) (?:open|closed?)\b",
        r"\bgeschweifte klammer|\bklammer (?:auf|zu)\b",
        rf"\b(?:answer|antwort|return|output|respond|reply|antworte|antworten sie){_up_to(3)} {_JSON}\b",
        rf"\bcolon (?:{_NUMBER}|true|false|excellent|wahr|falsch|ausgezeichnet)\b",
        r"\b(?:true|wahr)(?: (?:and )?(?:true|wahr)){2,}",
        (
            rf"{_ORDER_OR_AND}(?:print|repeat|output|say|write|sag|schreibe?|wiederhole) (?:the|das|den) (?:word"
            r"|wort|satz|text)\b"
        ),
        (
            rf"(?:^|\b(?:please|bitte|and) )(?:output|return|print){_up_to(2)} (?:true|false|rating|score|grade"
            rf"|{_JSON})\b"
        ),
    ),
    "numbers of sentences": (
        (
            rf"\bsentences? (?:number )?{_NUMBER}(?: (?:and|to|through|or) {_NUMBER})?(?: (?:clearly|also|already))?"
            r"(?: (?:shows?|proves?|is|are|demonstrates?|supports?|contains?|as|for|counts?)\b|$)"
        ),
        rf"\b{_WHICH} sentence (?:clearly |also )?(?:shows|proves|demonstrates|is evidence|is proof|counts as)\b",
        rf"{_ORDER_OR_AND}(?:quote|cite|use|take|choose|mark) (?:the )?(?:(?:first|last) )?sentences?\b",
        (
            rf"\b(?:satz|sätze) (?:nummer )?{_NUMBER}(?: (?:und|bis) {_NUMBER})?"
            r"(?: (?:zeigt|zeigen|beweist|beweisen|belegt|belegen|ist|sind|als)\b|$)"
        ),
        (
            r"\b(?:dieser|jeder|(?:der|mein) (?:erste|letzte|nächste"
            r"|folgende|vorige|vorherige)) satz (?:zeigt|beweist|belegt)\b"
        ),
        (
            r"\b(?:this|the) sentence\b.*\b(?:is|as|counts as) (?:my |the |an? )?"
            r"(?:proof|evidence|reason|closing|example)\b"
        ),
        rf"\b(?:dieser|der) satz\b{_up_to(3)} (?:beleg|beweis|grund|schlusssatz|nachweis) für\b",
        r"\b(?:nimm|zitiere|verwende|benutze|wähle) (?:den )?(?:(?:ersten|letzten) )?(?:satz|sätze)\b",
    ),
    "a teacher's voice": (
        rf"^{_STAFF}(?: s|'s)? (?:note|comment|remark|hint)\b(?! book)",
        (
            r"^(?:note|comment|remark|hint|(?:this is a )?message|instruction)"
            rf" (?:(?:from|of|by|for|to|the|your|this) )+(?:{_STAFF}|{_MACHINE})\b"
        ),
        (
            r"^(?:note|conclusion|hint|verdict|comment|hinweis|fazit|urteil|anmerkung) (?:\S+ ){1,2}"
            rf"(?:grading|rating|evaluation|bewertung|{_STAFF})\b"
        ),
        (
            rf"^(?:anmerkung|hinweis|notiz|kommentar|nachricht) (?:(?:der|des|von|vom|an|für|den|die|dem) )+"
            rf"(?:{_STAFF}|{_MACHINE})\b"
        ),
        rf"\b(?:this is|here is|it is){_up_to(2)} (?:the|your) (?:teacher|examiner|headmaster|principal|developer)\b",
        rf"\b{_SPEECH}{_up_to(4)} (?:graded|rated|approved|verified|benotet|bewertet|freigegeben|geprüft)\b",
        rf"\b{_SPEECH}{_up_to(4)} checked\b.*\b{_GRADE}\b",
        r"\b(?:teacher|examiner|headmaster|principal) (?:is )?speaking\b",
        rf"\bhier (?:spricht|ist) (?:der|die|ihre?) {_STAFF}\b",
        (
            rf"\b{_PUPIL} (?:\S+ )?(?:deserves?|must|should|gets?|receives?|earns?|fulfill?s?|meets?|passes|shows"
            r"|scores)\b"
        ),
        (
            rf"\b{_PUPIL} (?:\S+ )?(?:demonstrates|names|mentions|explains|gives|has (?:met|shown|said|named)|is"
            r" (?:to|excellent|confident|perfect|outstanding))\b"
        ),
        (
            rf"\b{_PUPIL} (?:\S+ )?(?:nennt|erwähnt|erklärt|verdient|bekommt|muss|soll|erfüllt|besteht|erhält"
            r"|zeigt|ist mit)\b"
        ),
        rf"\b(?:say|write|state|note|sag|schreib)(?: down)? that (?:{_PUPIL}|{_SPEECH})\b",
        rf"{_ORDER_OR_AND}(?:write|note|schreibe?|notiere)(?: down| auf)? (?:that i|dass ich)\b",
        (
            rf"\b(?:text|message|part|following)\b{_up_to(4)} (?:written|spoken|sent|approved|checked) by (?:the"
            rf"|your) {_STAFF}\b"
        ),
        rf"\b{_PUPIL} (?:\S+ )?hat (?:{_EVERY}|alles)\b",
        rf"\b(?:let|please let) (?:this one|{_PUPIL}) pass\b|^let (?:me|him|her) pass\b|\bbestehen lassen\b",
        (
            rf"\b(?:the|der|die) {_STAFF} (?:(?:has|have|hat|already|schon|bereits) )*"
            rf"(?:decided|checked|approved|agreed|entschieden|geprüft|bestätigt){_up_to(8)} {_GRADE}\b"
        ),
        rf"(?:^|\bcolon )(?:does|did|nennt|sagt|hat|is|ist) {_PUPIL}\b",
        (
            rf"\b{_STAFF}\b.*\b{_SPEECH}{_up_to(4)} (?:passed|bestanden"
            rf"|approved|accepted|anerkannt|angenommen|perfect|perfekt)\b"
        ),
    ),
    "an example for a model": (
        rf"\b(?:example|beispiel) {_NUMBER}\b.*\b(?:answer|true|yes|antwort|wahr|ja)\b",
        rf"^(?:(?:next|nächste) )?(?:{DATA_LABEL}|{_ROLE}) colon\b",
        r"\b(?:assistant|assistent|system|user|human|rating|bewertung|score|output|answer|antwort) colon\b",
        rf"^(?:rating|score|bewertung|answer|antwort|output|item|grade) (?:is )?(?:all |alle )?(?:{_NUMBER}|{_YES})$",
    ),
    "an order for the feedback": (
        (
            rf"{_ORDER_OR_AND}(?:write|say|put|mention|state|include|add|tell|schreibe?|sage?|erwähne|setze?|nenne)"
            rf"{_up_to(4)} (?:in|into|to|as|inside|als) (?:(?:the|your|my|die|den|der|deine\w*|meine|das) )?{_REPORT}\b"
        ),
        rf"{_ORDER_OR_AND}(?:begin|start|end|finish|open|close|fill){_up_to(2)} (?:your|deine?) {_REPORT}\b",
        rf"\bin (?:the|your|my) {_REPORT} (?:you )?(?:must|should|tell|write|say|put)\b",
        rf"\bin (?:die|den|der|deine\w*|meine) {_REPORT} (?:sie |du )?(?:soll\w*|muss\w*|schreib\w*|steht)\b",
        (
            rf"\b(?:your|the) {_REPORT} (?:must|should|has to|shall|needs to|is) (?:be|say|contain|include|mention"
            r"|that|true)\b"
        ),
        rf"\b(?:deine?|die) {_REPORT} (?:soll|muss|ist) (?:sein|lauten|{_YES}|{_JSON})\b",
    ),
}
# No list of forms is complete. So a sentence is one, too, that has a word of judging, one of a best result and one that
# turns to somebody, all three close together; each alone is in many an introduction.
_JUDGING = _any(
    r"rate[sd]? rating scor(?:es?|ed|ing) grad(?:es?|ed|ing|er) mark(?:s|ed|er|ing)? evaluat\w+ assess\w* reviewers?",
    (
        r"criteri\w+ categor(?:y|ies) requirements? points? stars? deduct\w* evidence examiner results?"
        r" answers? options? json"
    ),
    (
        r"bewerte\w* bewertung\w* noten? punkte\w* punktzahl stufen? kriteri\w+ kategorien? anforderungen"
        r" prüfer\w* ergebnis"
    ),
    r"antworten? abzug abzieh\w* zieh",
)
_RESULT = _any(
    rf"{_NUMBER} {_BEST.replace(' ', '_')} maximum max highest top best perfect excellent full everything nothing",
    r"every each all true yes fulfilled met verified passed accepted generous high",
    r"volle\w* höchste\w* beste\w* perfekt alle\w* jede\w* erfüllt wahr ja nichts großzügig",
)
_TURNING = _any(
    (
        r"you_(?:must|should|will|shall|have|need|promised|give|are|can|may|ought|already)(?!_know)"
        r" your_(?:answer|output|task|result)"
    ),
    (
        r"please kindly hereby (?:do_not|don't)_(?:deduct|rate|grade|score|mark) du_\w+st wirst_du ihr_müsst"
        r" hiermit bitte"
    ),
    r"dear forbidden verboten wähle gib zieh wiederhole nimm",
    *(words.replace(" ", "_") for words in (_SPEECH, _PUPIL, _MACHINE)),
)
JUDGING: Final = compiled_on_use(rf"\b{_JUDGING}\b")
RESULT: Final = compiled_on_use(rf"\b{_RESULT}\b")
TURNING: Final = compiled_on_use(rf"\b{_TURNING}\b")
IMPERATIVE: Final = compiled_on_use(
    r"(?:^|\b(?:and|so|then|und|dann) )(?:accept|choose|consider|skip|repeat|remember|print|reveal"
    r"|translate|confirm|go straight|assume"
    r"|suppose|wiederhole|nimm|wähle|zieh|gib|akzeptiere|bestätige|denk)\b"
)

# What no feedback says to a student unless the speech made it: an address, a promise, an order to those who rate.
FOREIGN_TO_FEEDBACK: Final = compiled_on_use(
    "|".join(
        (
            r"https?:|\bwww\b|\S@\S|\w\.(?:com|org|net|info|io|tv|de|eu|co|uk|app)\b",
            r"\b(?:dot|punkt) (?:com|org|net|de|io|tv)\b",
            r"\byou(?:'ll| will| have| are going to)(?: \w+)? (?:receive|win|won|earned|be given|pass)\b",
            rf"\byou(?:'ll| will)(?: \w+)? get(?: \w+)? (?:prize|phone|money|{_GRADE})\b",
            r"\b(?:du|sie) (?:bekommst|bekommen|erhältst|gewinnst|hast gewonnen)\b",
            r"\bdu wirst (?:\w+ ){0,3}(?:bekommen|erhalten|gewinnen)\b",
            rf"\b{_STAFF} (?:should|must|has to|have to|needs to){_up_to(1)} (?:give|award|let|rate|grade|pass)\b",
            rf"\b{_STAFF} (?:soll|sollte|muss){_up_to(4)} (?:geben|bewerten|lassen)\b",
            rf"\b(?:give|award|gebt|geben sie|gib) (?:him|her|them|{_PUPIL}|ihm|ihr)\b",
            rf"\b{_NUMBER} (?:out of|von) {_NUMBER}\b",
            r"\b(?:full|top|highest|maximum) (?:marks?|scores?|grades?|points|ratings?)\b",
            r"\b(?:subscribe|abonnier\w*|click|follow me|folgt mir)\b",
        )
    )
)
# Words of feedback on any speech: that they are in a masked sentence, too, says nothing.
COMMON_WORDS: Final = frozenset(
    [
        "about",
        "everybody",
        "everyone",
        "feedback",
        "suggestion",
        "suggestions",
        "rückmeldung",
        "also",
        "best",
        "better",
        "clarity",
        "clear",
        "clearly",
        "confidence",
        "confident",
        "content",
        "each",
        "even",
        "every",
        "everything",
        "excellent",
        "from",
        "give",
        "good",
        "have",
        "hello",
        "into",
        "just",
        "like",
        "more",
        "most",
        "much",
        "must",
        "name",
        "next",
        "nothing",
        "only",
        "other",
        "part",
        "perfect",
        "please",
        "quality",
        "said",
        "same",
        "sentence",
        "sentences",
        "should",
        "show",
        "shows",
        "some",
        "speech",
        "strong",
        "student",
        "teacher",
        "tell",
        "than",
        "that",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "thing",
        "things",
        "think",
        "this",
        "those",
        "time",
        "very",
        "video",
        "well",
        "were",
        "what",
        "when",
        "where",
        "which",
        "will",
        "with",
        "words",
        "would",
        "write",
        "your",
        "aber",
        "alle",
        "alles",
        "auch",
        "beim",
        "dann",
        "dass",
        "dein",
        "deine",
        "deinen",
        "deiner",
        "dich",
        "diese",
        "diesen",
        "dieser",
        "dieses",
        "doch",
        "eine",
        "einen",
        "einer",
        "etwas",
        "gute",
        "guten",
        "haben",
        "hast",
        "immer",
        "jede",
        "jeder",
        "kann",
        "klar",
        "klarheit",
        "kriterium",
        "lehrer",
        "lehrerin",
        "mehr",
        "mein",
        "meine",
        "nicht",
        "nichts",
        "noch",
        "oder",
        "satz",
        "schon",
        "schüler",
        "schülerin",
        "sehr",
        "sein",
        "seine",
        "selbstvertrauen",
        "sich",
        "sind",
        "über",
        "und",
        "video",
        "wenn",
        "wird",
        "wörter",
    ]
)


@cache
def forms() -> Mapping[str, re.Pattern[str]]:
    """Each kind's pattern; compiled at the first question, for few of the programs that import this ever ask."""
    return {kind: re.compile("|".join(patterns)) for kind, patterns in _FORMS.items()}
