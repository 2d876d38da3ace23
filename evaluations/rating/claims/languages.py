"""What each language needs so that a claim can be looked up in what was said: stems, numbers, and words with a role.

The tables hold what students say about themselves. A language without one is compared by stems, or by whole words: who
a sentence is about and whether it is negated is not known there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from text_to_num import alpha2digit


class Phrases:
    """Phrases of one or more words, found where they begin; the longest wins."""

    def __init__(self, text: str = "") -> None:
        """`text`: phrases between commas or line ends."""
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for phrase in re.split(r"[,\n]", text):
            if words := tuple(phrase.split()):
                self._by_first.setdefault(words[0], []).append(words)
        for found in self._by_first.values():
            found.sort(key=len, reverse=True)

    def length_at(self, words: list[str], at: int) -> int:
        """How many words the phrase that begins at `at` has; 0 if none does."""
        for phrase in self._by_first.get(words[at], ()) if at < len(words) else ():
            if tuple(words[at : at + len(phrase)]) == phrase:
                return len(phrase)
        return 0

    def are_in(self, words: list[str]) -> bool:
        return any(self.length_at(words, at) for at in range(len(words)))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    stemmer: str = ""  # Snowball's name of it
    numbers: str = ""  # text2num's code of it
    inverts: bool = False  # the subject may follow its verb: "Schach spiele ich"
    empty: frozenset[str] = frozenset()  # words that claim nothing
    stems: Mapping[str, str] = field(default_factory=dict)  # form → one with its stem: irregular, or stemmed wrongly
    participle: str = ""  # pattern of one: prefix and stem are groups
    synonyms: tuple[tuple[str, ...], ...] = ()  # phrases that say the same, order of words aside
    speaker: frozenset[str] = frozenset()  # who speaks, as a subject
    own: frozenset[str] = frozenset()  # my, our
    addressed: frozenset[str] = frozenset()  # you, as a subject: about nobody in particular
    others: frozenset[str] = frozenset()  # he, they: somebody else, as a subject
    theirs: Phrases = field(default_factory=Phrases)  # "his", "one of them", where a part of a sentence begins
    descriptions: Phrases = field(default_factory=Phrases)  # others speak of the speaker: "friends describe me as"
    places: Phrases = field(default_factory=Phrases)  # "my aunt has a shop where I help" is about the speaker too
    people: frozenset[str] = frozenset()  # whom students tell about
    determiners: frozenset[str] = frozenset()  # before a person who is a subject, where the case shows it
    prepositions: frozenset[str] = frozenset()  # "with my brother" is not about him
    joints: frozenset[str] = frozenset()  # a part of a sentence begins
    lists: frozenset[str] = frozenset()  # joints after which a negation goes on: "not tall and strong"
    relatives: frozenset[str] = frozenset()  # joints that speak of who was named last
    negations: Phrases = field(default_factory=Phrases)
    affirmations: Phrases = field(default_factory=Phrases)  # what looks like a negation and is none
    opinions: frozenset[str] = frozenset()  # "I don't think I am patient" negates what follows
    wishes: Phrases = field(default_factory=Phrases)
    statements: Phrases = field(default_factory=Phrases)  # what looks like a wish and is none
    conditions: frozenset[str] = frozenset()  # if
    times: frozenset[str] = frozenset()  # when: an age that follows may not be today's
    unreal: frozenset[str] = frozenset()  # "if I were": what follows isn't so
    regrets: frozenset[str] = frozenset()  # "I wish I were"
    past: Phrases = field(default_factory=Phrases)  # no longer so
    taking_back: frozenset[str] = frozenset()  # the words of "but not any more", "but it is not for me"
    corrections: Phrases = field(default_factory=Phrases)  # what was just said is withdrawn
    name_cues: Phrases = field(default_factory=Phrases)  # a name follows
    name_cues_weak: Phrases = field(default_factory=Phrases)  # a name follows if it is written as one
    name_ends: frozenset[str] = frozenset()  # "Sophie here"
    age_before: str = ""  # pattern of what makes the number that follows an age
    age_after: str = ""  # pattern of what makes the number before it an age
    age_years: frozenset[str] = frozenset()  # must follow where people have years: "tengo cinco hermanos" is no age

    def stem(self, word: str) -> str:
        regular = self.stems.get(word, word)
        if self.participle:
            regular = re.sub(self.participle, r"\1\2en", regular)
        return snowball(regular, self.stemmer)

    def digits(self, text: str) -> str:
        """`text` with its number words as digits. `one`, `two` and `three` alone stay: they are mostly no numbers."""
        return alpha2digit(text, self.numbers) if self.numbers else text

    @property
    def has_table(self) -> bool:
        return bool(self.speaker)

    def concepts_among(self, stems: Set[str]) -> list[tuple[frozenset[str], str]]:
        """The concepts that these stems make, each with the stems of a phrase for it, the longest phrases first."""
        by_stem = _concepts(self)
        found = [one for stem in stems for one in by_stem.get(stem, ()) if one[0] <= stems]
        return sorted(found, key=lambda one: (-len(one[0]), one[1]))


@lru_cache(maxsize=8192)
def snowball(word: str, algorithm: str) -> str:
    import snowballstemmer  # when a claim is looked up: it brings all of its languages

    # A stemmer of its own: it writes into itself, and a worker has a thread for each slot.
    return str(snowballstemmer.stemmer(algorithm).stemWord(word)) if algorithm else word


@lru_cache(maxsize=64)
def _concepts(language: Language) -> dict[str, list[tuple[frozenset[str], str]]]:
    """The phrases of each concept by one stem of theirs. A concept is named so that it is no stem."""
    found: dict[str, list[tuple[frozenset[str], str]]] = {}
    for group in language.synonyms:
        for phrase in group:
            stems = [language.stem(word) for word in phrase.split()]
            found.setdefault(max(stems, key=len), []).append((frozenset(stems), f"={group[0]}"))
    return found


def _synonyms(text: str) -> tuple[tuple[str, ...], ...]:
    """One group of synonyms a line, phrases between commas."""
    return tuple(
        tuple(phrase.strip() for phrase in line.split(",")) for line in text.strip().splitlines() if line.strip()
    )


def _irregular(text: str) -> dict[str, str]:
    """`write: wrote written` a line."""
    pairs = (line.split(":") for line in text.strip().splitlines())
    return {form: regular.strip() for regular, forms in pairs for form in forms.split()}


_ENGLISH: Final = Language(
    stemmer="english",
    numbers="en",
    empty=_words(
        """
        a about also always am an and are as at be become becoming been being but by can could did do does enjoy
        enjoys enjoying for from good great had has have having he her his i in into is it its just like likes lot
        love loves loving me more most much my of often on one or our really she so some somebody something that the
        their them there they this to too quite very want wants wanted was we were what well when which who will
        with would you your hobby hobbies strength strengths people thing things time myself s
        """
    ),
    stems=_irregular(
        """
        swim: swam swum
        run: ran
        draw: drew drawn
        write: wrote written
        sing: sang sung
        teach: taught
        build: built
        make: made
        take: took taken
        ride: rode ridden
        drive: drove driven
        fly: flew flown
        win: won
        lead: led
        go: went gone
        give: gave given
        learn: learnt
        speak: spoke spoken
        hold: held
        sell: sold
        find: found
        grow: grew grown
        cycling: biking
        gamer: gaming
        collaborate: cooperate cooperates cooperation cooperative
        friendliness: friendly
        cautious: careful
        """
    ),
    synonyms=_synonyms(
        """
        cycling, cycle, ride bike, ride bicycle, bike riding
        teamwork, team work, team player, work others, work together, work other people, collaborate, collaboration
        photography, take photo, take picture, take photograph, photograph, photographer
        hard working, work hard, hardworking, hard worker, diligent, diligence, industrious
        reading, read book, bookworm, read novel
        running, jogging, jog
        gaming, video game, computer game, play video game, play computer game
        programming, coding, write program, write code, programmer, software program
        football, soccer, play football, play soccer
        films, movie, film, cinema, watch film, watch movie
        mathematics, maths, math
        hiking, hike, go hiking
        patience, patient
        creativity, creative
        reliability, reliable, dependable
        organised, organized, organisation, organization, organise, organize
        helpfulness, helpful, help others, help other people, like helping
        curiosity, curious
        honesty, honest
        punctuality, punctual, on time
        confidence, confident
        responsibility, responsible
        calmness, calm, stay calm
        music, listen music
        listening, listen, good listener
        communication, communicate, communicative
        ambition, ambitious
        perseverance, never give up, persistent, persistence
        leadership, leader, lead
        learning quickly, learn quickly, learn fast, quick learner, fast learner
        veterinarian, vet
        nurse, nursing
        engineer, engineering
        teacher, teaching, teach
        developer, software developer, software engineer
        internship, intern, work experience placement
        volunteering, volunteer
        """
    ),
    speaker=_words("i we im ive"),
    own=_words("my our"),
    addressed=_words("you"),
    others=_words("he she they"),
    theirs=Phrases(
        """
        his, her, their, one is, one of them, one of whom, both are, both of them, the other, the older, the younger
        """
    ),
    descriptions=Phrases(
        """
        describe me, describes me, call me, calls me, see me, consider me, know me, find me, about me, say of me
        """
    ),
    places=Phrases("where, in which, at which"),
    people=_words(
        """
        brother brothers sister sisters mother mothers father fathers mom mum dad mommy mummy daddy parent parents
        friend friends uncle uncles aunt aunts cousin cousins grandma grandpa grandmother grandfather grandparents
        teacher teachers neighbour neighbours neighbor neighbors boyfriend girlfriend husband wife classmate
        classmates boss colleague colleagues son daughter twin family dog cat people somebody someone
        mate mates coach trainer roommate partner buddy nan gran granny stepbrother stepsister stepmum stepdad niece
        nephew tutor idol hero headmaster principal
        """
    ),
    prepositions=_words("with for of from to by than like at in about after before around without against"),
    joints=_words(
        """
        and or but where because so while although though which who whose that when if than whereas unless until
        since nor
        """
    ),
    lists=_words("and or nor that"),
    relatives=_words("who whose which that"),
    negations=Phrases(
        """
        not, never, no, cannot, weakness, weaknesses, weak point, dont, doesnt, didnt, cant, isnt, wasnt, wont,
        havent, hate, hates, hated, dislike, hardly, neither, nor, unable, lack, lacks, nobody, bad at, terrible at,
        awful at, weak at, weak in, poor at, struggle with, afraid of, scared of, barely, rarely, nothing, none,
        far from
            boring, annoying, horrible, hard for me, difficult for me, failed, fail to, supposed to, refuse to, almost,
        nearly, was going to, did not get
        """
    ),
    affirmations=Phrases(
        """
        not only, not just, no problem, no doubt, no matter, why not, not to mention, no wonder, not only that,
        not afraid of, not scared of, never afraid of, not shy, do not struggle with, no fear of, never tired of,
        not bad at, live without, imagine life without, nothing more than, nothing better than, nothing more,
        do not only, does not only, am not only, not bad, do not mind, can not wait, never miss, no secret
        """
    ),
    opinions=_words("think believe feel say guess suppose"),
    wishes=Phrases(
        """
        want, wants, wanted, hope, hoping, plan to, planning, dream, dreamed, dreaming, would, will, am going to,
        are going to, wish, intend, aim to, looking forward, might, need to, should, could be more, could be better,
        trying to, try to be, try to become, get better, become better, working on
        """
    ),
    statements=Phrases(
        """
        would say, would describe, would call, would consider, would think, will always, would always,
        dream come true, will not give up, will find, will see
        """
    ),
    conditions=_words("if unless"),
    times=_words("when if until once before unless"),
    unreal=_words("were was had could"),
    regrets=_words("wish"),
    taking_back=_words("not no any anymore more longer now stopped quit gave up it is that was for me this"),
    past=Phrases(
        """
        i used to, also used to, we used to, always used to, stopped, quit, no longer, any more, anymore, gave up
        """
    ),
    corrections=Phrases(
        """
        sorry, no, no wait, wait, i mean, i meant, or rather, no sorry, sorry i mean, no i mean, scratch that,
        oh no, no no, correction, wait no, oops, sorry no, excuse me, no wait i mean, that is wrong
        """
    ),
    name_cues=Phrases(
        """
        my name is, my name s, my names, my full name is, my first name is, my last name is, my surname is,
        my family name is, my nickname is, call me, calls me, i am called, i am named, i am known as, the name is
        """
    ),
    name_cues_weak=Phrases("i am, this is, it is, it s, im"),
    name_ends=_words("here speaking"),
    age_before=r"\b(?:am|im|turned|my age is|aged)"
    r"(?: (?:now|just|already|currently|only|about|around|like|um|uh|turned|exactly))*$",
    age_after=r"^(?:years? old|years? of age|yrs? old|yo\b|years? young)\b",
)

_GERMAN: Final = Language(
    stemmer="german",
    numbers="de",
    inverts=True,
    empty=_words(
        """
        aber als also am an auch auf aus bei bin bist da das dass dem den der des die dies ein eine einem einen einer
        eines er es für gern gerne gut habe haben hat hatte ich ihr im in ist ja kann können lieber liebe mag man
        mein meine meinem meinen meiner mich mir mit möchte nach noch oder sehr sein seine sie sind so und uns unser
        unsere von vor war waren was weil wenn werde werden will wir wird wurde würde zu zum zur über hobby hobbys
        stärke stärken dann viel viele einmal später besonders immer oft
        """
    ),
    stems=_irregular(
        """
        lesen: liest las
        laufen: läuft lief
        fahren: fährt fuhr
        arbeiten: arbeitete
        machen: machte
        spielen: spielte
        helfen: hilft half geholfen
        bauen: baute
        schreiben: schrieb geschrieben
        schwimmen: schwamm geschwommen
        singen: sang gesungen
        backen: backt bäckt
        """
    ),
    participle=r"^(mit|aus|ein|an|auf|vor|zu|teil|ab)?ge(\w{3,}?)e?[nt]$",
    synonyms=_synonyms(
        """
        radfahren, rad fahren, fahrrad fahren, radeln, fahrradfahren
        teamarbeit, team arbeiten, zusammenarbeiten, anderen zusammenarbeiten, teamfähigkeit, teamfähig, teamplayer
        fotografieren, fotografie, foto machen, bilder machen, fotograf
        fleißig, hart arbeiten, fleiß, arbeite hart
        lesen, bücher lesen, buch lesen, leseratte
        laufen, joggen, rennen
        computerspiele, videospiele, zocken, computerspiele spielen, videospiele spielen, gaming
        programmieren, programmierung, coden, programme schreiben
        fußball, fußball spielen
        musizieren, musik machen
        musik, musik hören, höre musik
        filme, kino, filme schauen, filme sehen
        geduldig, geduld
        kreativ, kreativität
        zuverlässig, zuverlässigkeit
        hilfsbereit, hilfsbereitschaft
        pünktlich, pünktlichkeit
        freundlich, freundlichkeit
        ehrlich, ehrlichkeit
        neugierig, neugier
        ordentlich, ordnung
        organisiert, organisieren, organisation
        mathe, mathematik
        krankenpfleger, krankenschwester, krankenpflegerin, pflegekraft
        arzt, ärztin
        lehrer, lehrerin
        ingenieur, ingenieurin
        pilot, pilotin
        zuhören, zuhörer, höre zu
        """
    ),
    speaker=_words("ich wir mir mich"),
    own=_words("mein meine meiner meinem meinen unser unsere"),
    others=_words("er sie"),
    theirs=Phrases(
        """
        sein, seine, ihr, ihre, einer ist, einer heißt, einer davon, eine ist, eine davon, beide sind, der ältere,
        der jüngere, die ältere, die jüngere
        """
    ),
    descriptions=Phrases(
        """
        beschreiben mich, nennen mich, sehen mich, finden mich, halten mich, kennen mich, nennt mich
        """
    ),
    places=Phrases("wo, in der, in dem, in denen, bei der, bei dem, an der, an dem, auf der, auf dem"),
    people=_words(
        """
        bruder brüder schwester schwestern mutter mama vater papa eltern freund freunde freundin freundinnen onkel
        tante cousin cousine oma opa großmutter großvater großeltern lehrer lehrerin lehrern nachbar nachbarin mann
        frau mitschüler chef chefin kollege kollegin sohn tochter zwilling familie hund katze leute geschwister kumpel
        trainer trainerin mitbewohner nichte neffe idol vorbild stiefbruder stiefschwester klassenkamerad
        """
    ),
    determiners=_words("mein meine unser unsere der die ein eine viele manche alle einige"),
    prepositions=_words("mit für von zu bei als wie ohne gegen um nach vor in im am an aus"),
    joints=_words("und oder aber sondern weil denn während obwohl dass wenn als damit doch da ob"),
    lists=_words("und oder dass damit als da"),
    relatives=_words("der die das"),
    negations=Phrases(
        """
        schwäche, schwächen, nicht, nie, niemals, kein, keine, keinen, keinem, keiner, hasse, hasst, kaum, ungern,
        weder, noch nie, schlecht in, schlecht im, nichts, unfähig
            langweilig, nervig, schwer für mich, fällt mir schwer, fällt mir nicht leicht, hätte fast, beinahe, fast
        """
    ),
    affirmations=Phrases(
        """
        nicht nur, kein problem, nicht schlecht, keine frage, kein wunder, keine angst, nicht schüchtern
        """
    ),
    opinions=_words("glaube denke finde"),
    wishes=Phrases(
        """
        möchte, will, würde, werde, wünsche, hoffe, plane, träume, traum, wollte, vorhabe, wäre, hätte, könnte, sollte,
        muss noch, versuche
        """
    ),
    statements=Phrases("würde sagen, würde ich sagen, werde oft"),
    conditions=_words("wenn falls"),
    times=_words("wenn als falls bis sobald bevor"),
    unreal=_words("wäre hätte könnte wär hätt"),
    regrets=_words("wünschte"),
    taking_back=_words("nicht nichts mehr jetzt das ist war für mich"),
    past=Phrases("früher, aufgehört, nicht mehr"),
    corrections=Phrases(
        """
        nein, nein warte, quatsch, nein quatsch, entschuldigung, ich meine, ich meinte, besser gesagt, sorry, warte,
        ach nein, stimmt nicht, moment, beziehungsweise, nein sorry, nein ich meine, nee, nein entschuldigung
        """
    ),
    name_cues=Phrases(
        """
        ich heiße, ich heisse, heiße ich, mein name ist, mein name lautet, mein voller name ist, mein vorname ist,
        mein nachname ist, nennt mich, nennen mich, hier spricht
        """
    ),
    name_cues_weak=Phrases("ich bin der, ich bin die, ich bin, hier ist, bin der, bin die"),
    age_before=r"\b(?:bin|bin ich|mein alter ist|wurde(?: (?!mit|vor|am|um|im)\w+){0,3})"
    r"(?: (?:jetzt|gerade|schon|erst|bereits|nun|etwa|ungefähr|ähm|äh|genau))*$",
    age_after=r"^(?:jahre? alt|jahre? jung|jährig\w*)\b",
)

_SPANISH: Final = Language(
    stemmer="spanish",
    numbers="es",
    inverts=True,
    empty=_words(
        """
        a al con de del el ella en encanta encantan es eso esta este estoy fue gusta gustan gustaría ha hacer he la
        las lo los me mi mis mucho mucha muy más o para pero por porque que quiero quisiera se ser si soy su sus
        también tengo un una unos y ya yo
        """
    ),
    synonyms=_synonyms(
        """
        ciclismo, montar bicicleta, montar bici, andar bicicleta
        leer, leer libros, lectura
        nadar, natación
        trabajo equipo, trabajar equipo
        fotografía, tomar fotos, sacar fotos, hacer fotos
        paciente, paciencia
        fútbol, jugar fútbol
        """
    ),
    speaker=_words("yo soy tengo me quiero estoy trabajo nosotros"),
    own=_words("mi mis nuestro nuestra"),
    others=_words("él ella ellos ellas"),
    theirs=Phrases("su, sus, uno tiene, uno de ellos"),
    descriptions=Phrases("me describen, me llaman, me ven"),
    places=Phrases("donde, en la que, en el que"),
    people=_words(
        """
        hermano hermana hermanos hermanas padre madre padres papá mamá amigo amiga amigos amigas tío tía primo prima
        abuelo abuela abuelos profesor profesora vecino vecina novio novia hijo hija familia perro gato
        """
    ),
    prepositions=_words("con de para a por en sin como al del"),
    joints=_words("y e o u pero sino porque cuando mientras aunque que quien si"),
    lists=_words("y e o u que"),
    relatives=_words("que quien"),
    negations=Phrases("no, nunca, jamás, ni, odio, tampoco, nada, apenas, debilidad"),
    affirmations=Phrases("no solo, no sólo, sin duda, no hay problema"),
    opinions=_words("creo pienso"),
    wishes=Phrases("quiero, quisiera, gustaría, espero, voy a, sueño"),
    conditions=_words("si"),
    times=_words("cuando si hasta"),
    unreal=_words("fuera fuese tuviera tuviese"),
    regrets=_words("ojalá"),
    past=Phrases("ya no, dejé de, solía"),
    corrections=Phrases("no, perdón, digo, quiero decir, mejor dicho, no perdón, perdona, espera"),
    name_cues=Phrases("me llamo, mi nombre es, llámame, me llaman, me dicen"),
    name_cues_weak=Phrases("soy, yo soy, este es, esta es"),
    age_before=r"\b(?:tengo|cumplí|acabo de cumplir|mi edad es)(?: (?:ya|ahora|casi))*$",
    age_after=r"^años de edad\b",
    age_years=_words("años año"),
)

_STEMMERS: Final = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "el": "greek", "et": "estonian", "eu": "basque",
    "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian",
    "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
_NUMBERS: Final = frozenset({"da", "fr", "it", "nl", "pt"})

TABLES: Final = {"en": _ENGLISH, "de": _GERMAN, "es": _SPANISH}  # with words that have a role
_ALL: Final = TABLES | {
    code: Language(stemmer=stemmer, numbers=code if code in _NUMBERS else "") for code, stemmer in _STEMMERS.items()
}
_OTHER: Final = Language()


def language(code: str) -> Language:
    """The language of a code such as `en` or `pt-br`; one that nothing is known of has neither stems nor numbers."""
    return _ALL.get(code.lower().replace("_", "-").partition("-")[0], _OTHER)


def guessed(words: Iterable[str]) -> str:
    """The code of the language, of those with a table, to which most of the small words belong."""
    said = list(words)
    return max(TABLES, key=lambda code: sum(word in TABLES[code].empty for word in said))
