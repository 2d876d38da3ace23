"""A class list against the class: what it would change, and changing just that.

`plan` reads, `apply` writes all of it or nothing. Whoever is matched is an account of the class, or, by its user name,
of another class of the same teacher: a list never reaches anybody else's account, nor one that is no student's.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from evaluations.access.members import usernames
from evaluations.access.members.tables import ListLine, NameList
from evaluations.models import Classroom, LoginCard

LONGEST_NAME: Final = 150  # of a first and of a last name, each
LONGEST_USER_NAME: Final = 150
LONGEST_EMAIL: Final = 254

_PARTICLES: Final = {"von", "vom", "van", "der", "den", "de", "del", "della", "di", "da", "dos", "du", "la", "le", "el"}
_PARTICLES_TOO: Final = {"al", "bin", "ben", "ter", "ten", "zu", "zum", "zur", "af", "av", "do", "das"}
_valid_user_name: Final = UnicodeUsernameValidator()


class RowKind(Enum):
    """What happens to a row; the value is for templates."""

    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    COMES = "comes"  # from another class of the same teacher
    BACK = "back"  # was deactivated


@dataclass(frozen=True, slots=True)
class PlannedStudent:
    """A row of a list, and what it would do. With `error` it does nothing, and nor does the whole list."""

    number: int
    first: str = ""
    last: str = ""
    username: str = ""
    email: str = ""
    kind: RowKind = RowKind.NEW
    student: User | None = None
    error: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}".strip()


@dataclass(frozen=True, slots=True)
class RosterPlan:
    """What a list would do to a class. `missing`: who is in the class but not on the list."""

    rows: list[PlannedStudent]
    missing: list[User] = field(default_factory=list)
    deactivates: bool = False
    moves: bool = False

    @property
    def is_sound(self) -> bool:
        return not any(row.error for row in self.rows)

    @property
    def errors(self) -> list[PlannedStudent]:
        return [row for row in self.rows if row.error]

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(row.kind.value for row in self.rows)
        return {kind.value: found[kind.value] for kind in RowKind}

    @property
    def mark(self) -> str:
        """Differs for plans that do something else: what is confirmed is what was shown."""
        rows = [
            (row.kind.value, row.student and row.student.pk, row.first, row.last, row.username, row.email)
            for row in self.rows
        ]
        gone = sorted(each.pk for each in self.missing) if self.deactivates else []
        return hashlib.sha256(json.dumps([rows, gone, self.moves]).encode()).hexdigest()[:16]


def plan(
    classroom: Classroom,
    found: NameList,
    taught: QuerySet[Classroom],
    *,
    deactivates: bool = False,
    moves: bool = False,
) -> RosterPlan:
    """What the list would do.

    Args:
        taught: the classes of whoever imports; accounts of theirs can be named by user name.
        deactivates: whoever is not on the list loses their place.
        moves: who comes from another class of `taught` leaves that.
    """
    return _Planner(classroom, taught).plan(found.lines, deactivates=deactivates, moves=moves)


class ChangedMeanwhileError(Exception):
    """The class is not what it was when the plan was shown."""


def apply(
    classroom: Classroom, found: NameList, taught: QuerySet[Classroom], *, mark: str, deactivates: bool, moves: bool
) -> RosterPlan:
    """Do what a plan with this `mark` says, all of it or nothing.

    Raises:
        ChangedMeanwhileError: the plan would be another one by now, or has errors. Nothing was changed.
    """
    try:
        with transaction.atomic():
            Classroom.objects.select_for_update().get(pk=classroom.pk)  # two imports one after the other
            wanted = plan(classroom, found, taught, deactivates=deactivates, moves=moves)
            if wanted.mark != mark or not wanted.is_sound:
                raise ChangedMeanwhileError
            _write(classroom, wanted, taught)
    except IntegrityError as error:  # somebody else took one of the user names since
        raise ChangedMeanwhileError from error
    return wanted


def _write(classroom: Classroom, wanted: RosterPlan, taught: QuerySet[Classroom]) -> None:
    unusable = [make_password(None) for _row in wanted.rows]
    new = [
        User(username=row.username, first_name=row.first, last_name=row.last, email=row.email, password=password)
        for row, password in zip(wanted.rows, unusable, strict=True)
        if row.kind is RowKind.NEW
    ]
    known = []
    for row in wanted.rows:
        if row.student is not None:
            row.student.first_name, row.student.last_name = row.first, row.last
            row.student.email, row.student.is_active = row.email, True
            known.append(row.student)
    User.objects.bulk_update(known, ["first_name", "last_name", "email", "is_active"])
    classroom.students.add(*User.objects.bulk_create(new), *known)
    if wanted.moves:
        coming = [row.student for row in wanted.rows if row.kind is RowKind.COMES and row.student]
        for other in taught.exclude(pk=classroom.pk).filter(students__in=coming).distinct():
            other.students.remove(*coming)
    if wanted.deactivates:
        take_out(classroom, wanted.missing)


def take_out(classroom: Classroom, students: Iterable[User]) -> None:
    """Whoever attends another class leaves this one; whoever attends none besides is deactivated and stays on its list.

    So a list brings them back by name, and what they handed in stays theirs.
    """
    keys = [one.pk for one in students]
    plain = plain_students().filter(pk__in=keys)
    others = Classroom.objects.exclude(pk=classroom.pk).order_by()
    staying = set(plain.exclude(classes_attended__in=others).values_list("pk", flat=True))
    classroom.students.remove(*(key for key in keys if key not in staying))
    User.objects.filter(pk__in=staying).update(is_active=False)


@transaction.atomic
def move(classroom: Classroom, target: Classroom, students: Iterable[User]) -> None:
    """To another class; what they handed in stays where it was handed in. Their cards were for the class they leave."""
    moving = list(students)
    target.students.add(*moving)
    classroom.students.remove(*moving)
    LoginCard.objects.filter(classroom=classroom, student__in=moving).delete()


def plain_students() -> QuerySet[User]:
    """Accounts that teachers may change: those that are nobody's of the staff, and teach nothing."""
    return User.objects.filter(is_staff=False, is_superuser=False, classes_taught=None)


def is_plain_student(user: User) -> bool:
    return plain_students().filter(pk=user.pk).exists()


class _Planner:
    """Matches rows with accounts; reads the database once."""

    def __init__(self, classroom: Classroom, taught: QuerySet[Classroom]) -> None:
        self.members = list(classroom.students.order_by("pk"))
        mine = Q(classes_attended__in=taught.order_by())
        self.within_reach = {one.username.lower(): one for one in User.objects.filter(mine).distinct()}
        self.within_reach |= {one.username.lower(): one for one in self.members}
        self.plain = set(
            plain_students().filter(pk__in=[u.pk for u in self.within_reach.values()]).values_list("pk", flat=True)
        )
        self.inside = {one.pk for one in self.members}
        self.used: set[int] = set()  # accounts that a row is matched with

    def plan(self, lines: Sequence[ListLine], *, deactivates: bool, moves: bool) -> RosterPlan:
        rows = [_cleaned(line) for line in lines]
        self._refuse_repeated(rows)
        self.names = self._user_names_beginning_like(rows)
        for match in (self._by_user_name, self._by_email, self._by_name):
            rows = [row if row.error or row.student else match(row) for row in rows]
        rows = self._with_user_names(rows)
        repeated = Counter(_key(row.first, row.last) for row in rows if not row.error)
        rows = [self._judged(row, repeated) for row in rows]
        missing = [one for one in self.members if one.pk not in self.used and one.is_active and one.pk in self.plain]
        return RosterPlan(rows, missing, deactivates, moves)

    def _refuse_repeated(self, rows: list[PlannedStudent]) -> None:
        first: dict[str, int] = {}
        for place, row in enumerate(rows):
            if not row.username or row.error:
                continue
            before = first.setdefault(row.username.lower(), row.number)
            if before != row.number:
                words = _("The user name is in row %(number)s, too.") % {"number": before}
                rows[place] = replace(row, error=words)

    def _user_names_beginning_like(self, rows: Sequence[PlannedStudent]) -> set[str]:
        """User names in small letters, of the whole site, that these rows have or could be given."""
        given = [row.username.lower() for row in rows if row.username]
        begins = Q(lower__in=given)
        for stem in {usernames.stem(row.first, row.last) for row in rows if not row.username and not row.error}:
            begins |= Q(lower__startswith=stem)
        found = User.objects.annotate(lower=Lower("username")).filter(begins)
        return set(found.values_list("lower", flat=True))

    def _matched(self, row: PlannedStudent, student: User) -> PlannedStudent:
        self.used.add(student.pk)
        return replace(row, student=student, username=student.username, email=row.email or student.email)

    def _by_user_name(self, row: PlannedStudent) -> PlannedStudent:
        if not row.username:
            return row
        known = self.within_reach.get(row.username.lower())
        if known is not None:
            return self._matched(row, known)
        if row.username.lower() in self.names:
            words = _(
                "This user name is taken by somebody in none of your classes. Choose another one, or leave it empty."
            )
            return replace(row, error=words)
        return row

    def _by_email(self, row: PlannedStudent) -> PlannedStudent:
        if row.username or not row.email:
            return row
        same = [one for one in self.members if one.email.lower() == row.email.lower() and one.pk not in self.used]
        return self._matched(row, same[0]) if len(same) == 1 else row

    def _by_name(self, row: PlannedStudent) -> PlannedStudent:
        """Of several of one name the first that no row has yet, in the order of their accounts."""
        if row.username:
            return row
        wanted = _key(row.first, row.last)
        same = (
            one for one in self.members if one.pk not in self.used and _key(one.first_name, one.last_name) == wanted
        )
        known = next(same, None)
        return row if known is None else self._matched(row, known)

    def _with_user_names(self, rows: Sequence[PlannedStudent]) -> list[PlannedStudent]:
        taken = self.names | {row.username.lower() for row in rows if row.username}
        found = []
        for row in rows:
            if not row.username and not row.error:
                made = usernames.make(row.first, row.last, taken)
                taken.add(made)
                row = replace(row, username=made)
            found.append(row)
        return found

    def _judged(self, row: PlannedStudent, repeated: Counter[tuple[str, str]]) -> PlannedStudent:
        """With its kind, and what a teacher should look at."""
        if row.error:
            return row
        if row.student is None:
            is_double = repeated[_key(row.first, row.last)] > 1 or self._has_namesake(row)
            note = _("Another student has the same name: this becomes an account of its own.") if is_double else ""
            return replace(row, kind=RowKind.NEW, note=note)
        if row.student.pk not in self.plain:
            return replace(
                row,
                error=_("This account is no student’s: it belongs to somebody who teaches or looks after the site."),
            )
        kind = RowKind.SAME
        if row.student.pk not in self.inside:
            kind = RowKind.COMES
        elif not row.student.is_active:
            kind = RowKind.BACK
        elif (row.first, row.last, row.email) != (row.student.first_name, row.student.last_name, row.student.email):
            kind = RowKind.CHANGED
        return replace(row, kind=kind)

    def _has_namesake(self, row: PlannedStudent) -> bool:
        wanted = _key(row.first, row.last)
        return any(_key(one.first_name, one.last_name) == wanted for one in self.members)


def _key(first: str, last: str) -> tuple[str, str]:
    return first.casefold(), last.casefold()


def _cleaned(line: ListLine) -> PlannedStudent:
    """The cells of a line, or why they can't be taken."""
    row = PlannedStudent(line.number, error=line.error)
    if line.error:
        return row
    cells = {column: tidy(text) for column, text in line.cells.items()}
    first, last = cells.get("first", ""), cells.get("last", "")
    if not (first or last):
        first, last = split_name(cells.get("name", ""))
    row = replace(row, first=first, last=last, username=cells.get("username", ""), email=cells.get("email", ""))
    return replace(row, error=name_error(first, last) or _error_of_account(row.username, row.email))


def tidy(text: str) -> str:
    """Composed, with single blanks, without signs that nobody sees. What begins like a formula is text as any other."""
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(sign for sign in composed if unicodedata.category(sign) != "Cf").split())


def name_error(first: str, last: str) -> str:
    """Why this is no name; empty: it is one."""
    name = first + last
    if not name:
        return _("There is no name.")
    if max(len(first), len(last)) > LONGEST_NAME:
        return _("The name is longer than %(count)s characters.") % {"count": LONGEST_NAME}
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Cn") for sign in name):
        return _("The name has signs in it that can’t be shown: the file may be in another encoding.")
    if not any(sign.isalpha() for sign in name):
        return _("There is no letter in the name.")
    return ""


def _error_of_account(username: str, email: str) -> str:
    if username:
        try:
            _valid_user_name(username)
        except ValidationError:
            return _("A user name has letters, digits and @ . + - _ only.")
        if len(username) > LONGEST_USER_NAME:
            return _("The user name is longer than %(count)s characters.") % {"count": LONGEST_USER_NAME}
    if email:
        try:
            validate_email(email)
        except ValidationError:
            return _("This is no e-mail address.")
        if len(email) > LONGEST_EMAIL:
            return _("This is no e-mail address.")
    return ""


def split_name(name: str) -> tuple[str, str]:
    """First and last name of `Anna van der Berg`, or of `Berg, Anna`. One word is a first name."""
    if "," in name:
        last, _comma, first = name.partition(",")
        return first.strip(), last.strip()
    words = re.split(r"\s+", name.strip())
    place = len(words) - 1
    while place > 1 and words[place - 1].lower() in _PARTICLES | _PARTICLES_TOO:
        place -= 1
    return (" ".join(words[:place]), " ".join(words[place:])) if place else (words[0], "")
