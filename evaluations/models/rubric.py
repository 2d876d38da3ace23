from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from evaluations.rating import default_rubric
from evaluations.rating.calibration import Calibration
from evaluations.rating.checks import CHECKS
from evaluations.rating.rubric import CriterionSpec, ItemSpec, RubricSpec, WorkedExample

ITEM_FIELDS: Final = (
    *("key", "statement", "points", "hard", "whole", "computed", "sign"),
    *("title", "about", "yes", "no", "advice"),
)
FORM_FIELDS: Final = ("name", "hobbies", "career_goals", "strengths", "experience")


class RubricInUseError(ValidationError):
    """Something was rated by it, so it can't change any more."""


class Rubric(models.Model):
    """A version of what is rated: criteria made of yes/no items. Immutable once something was rated by it."""

    name = models.CharField(max_length=100)
    version = models.PositiveSmallIntegerField(default=1)
    language = models.CharField(
        max_length=10, default="en", choices=[("en", _("English")), ("de", _("German"))], help_text="Of its words."
    )

    examples = models.JSONField(
        default=list,
        blank=True,
        help_text="Worked examples for the model: [{sentences: [text], answers: {item: [numbers of sentences]}}]. "
        "One that lacks an item is left out.",
    )

    class Meta:
        ordering = ("name", "version")
        constraints = (models.UniqueConstraint(fields=("name", "version"), name="one_rubric_per_version"),)

    def __str__(self) -> str:
        return gettext("%(name)s, version %(version)s") % {"name": self.name, "version": self.version}

    @classmethod
    def default(cls, language: str = "en") -> Rubric:
        """The rubric every new class starts with. A migration makes it; a test's database may have been emptied."""
        spec = next(spec for spec in default_rubric.DEFAULTS if spec.language == language)
        # Somebody's own version may have taken its number.
        later = cls.objects.filter(name=spec.name, version__gte=spec.version)
        found = next((rubric for rubric in later if rubric.spec().digest == spec.digest), None)
        return found or store(replace(spec, version=next_version(spec, cls)), cls, Criterion, Item)

    @classmethod
    def named(cls, wanted: str) -> Rubric | None:
        """By `NAME`, its latest version, or by `NAME:VERSION`."""
        name, _, version = wanted.rpartition(":")
        exact = cls.objects.filter(name=name, version=int(version)).first() if version.isdecimal() else None
        return exact or cls.objects.filter(name=wanted).last()

    @property
    def is_used(self) -> bool:
        """Whether a rating was made by it, or is ordered."""
        return self.ratings.exists() or self.reratings.exists()

    def spec(self) -> RubricSpec:
        """It as plain data."""
        criteria = self.criteria.prefetch_related("items")
        return RubricSpec(
            self.name,
            self.version,
            self.language,
            tuple(criterion.spec() for criterion in criteria),
            tuple(
                WorkedExample(tuple(each["sentences"]), {key: tuple(shown) for key, shown in each["answers"].items()})
                for each in self.examples
            ),
        )

    def fitted(self, prompts: int) -> dict[str, Calibration]:
        """The newest calibrations that this site's teachers fitted for it and these prompts, by the model's digest."""
        rows = self.calibrations.filter(prompts=prompts)
        return {row.model_sha256: Calibration(row.slope, row.intercepts, row.margin) for row in rows}

    @transaction.atomic
    def new_version(self) -> Rubric:
        """A copy to be changed, with the next free number."""
        made: Rubric = store(replace(spec := self.spec(), version=next_version(spec, Rubric)), Rubric, Criterion, Item)
        return made

    def clean(self) -> None:
        if self.pk and self.is_used:
            raise RubricInUseError("Something was rated by this version; make a new one.")


class Criterion(models.Model):
    """One line of a rubric, scored 1–10 by its items."""

    rubric = models.ForeignKey(Rubric, on_delete=models.CASCADE, related_name="criteria")
    key = models.SlugField(max_length=40)
    title = models.CharField(max_length=100)
    weight = models.FloatField(default=1, validators=[MinValueValidator(0.0)])
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("position", "pk")
        verbose_name_plural = "criteria"
        constraints = (models.UniqueConstraint(fields=("rubric", "key"), name="one_criterion_per_key"),)

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        super().clean()
        if self.rubric_id:
            self.rubric.clean()

    def spec(self) -> CriterionSpec:
        items = tuple(ItemSpec(**{field: getattr(item, field) for field in ITEM_FIELDS}) for item in self.items.all())
        return CriterionSpec(self.key, self.title, items, self.weight)


class Item(models.Model):
    """One yes/no statement of a criterion, with points."""

    criterion = models.ForeignKey(Criterion, on_delete=models.CASCADE, related_name="items")
    key = models.SlugField(max_length=40)
    statement = models.CharField(
        max_length=200, help_text="Follows “The student …”: “names a concrete job or field for the future”."
    )
    points = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    hard = models.BooleanField(default=False, help_text="Above 8 of 10 needs one of these.")
    whole = models.BooleanField(default=False, help_text="Of the whole talk: no single sentence shows it.")
    computed = models.CharField(
        max_length=20,
        blank=True,
        choices=[(name, name) for name in CHECKS],
        help_text="Computed from the words instead of asked of the model.",
    )
    sign = models.CharField(
        max_length=20,
        blank=True,
        db_default="",
        choices=[("past", "tells of the past"), ("reason", "joins a reason"), ("ending", "is one of the last three")],
        help_text="What a sentence that shows it has, in English and German; without such a sentence it is false.",
    )
    title = models.CharField(max_length=100, blank=True, help_text="As feedback names it: “a concrete plan”.")
    about = models.CharField(
        max_length=20,
        blank=True,
        choices=[(field, field.replace("_", " ")) for field in FORM_FIELDS],
        help_text="The field of the form that belongs to it.",
    )
    yes = models.CharField("an example that shows it", max_length=200, blank=True)
    no = models.CharField("one that does not", max_length=200, blank=True)
    advice = models.CharField(max_length=200, blank=True, help_text="To a student who did not show it.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("position", "pk")
        constraints = (models.UniqueConstraint(fields=("criterion", "key"), name="one_item_per_key"),)

    def __str__(self) -> str:
        return self.statement

    def clean(self) -> None:
        super().clean()
        if self.criterion_id:
            self.criterion.clean()


def next_version(spec: RubricSpec, rubrics: Any) -> int:
    """The spec's own, or the one after the latest of its name, whichever is higher; `rubrics`: see `store`."""
    latest = rubrics.objects.filter(name=spec.name).aggregate(models.Max("version"))["version__max"]
    return max(spec.version, (latest or 0) + 1)


def store(spec: RubricSpec, rubrics: Any, criteria: Any, items: Any) -> Any:
    """Write a rubric's rows with the given model classes: migrations have their own.

    Raises:
        BadRubricError: nothing could be rated by it.
    """
    spec.validate()
    fields = {field.name for field in items._meta.get_fields()}.intersection(ITEM_FIELDS)
    rubric = rubrics.objects.create(
        name=spec.name,
        version=spec.version,
        language=spec.language,
        examples=[example.as_dict() for example in spec.examples],
    )
    for position, criterion in enumerate(spec.criteria):
        row = criteria.objects.create(
            rubric=rubric, key=criterion.key, title=criterion.title, weight=criterion.weight, position=position
        )
        items.objects.bulk_create(
            items(criterion=row, position=place, **{field: getattr(item, field) for field in fields})
            for place, item in enumerate(criterion.items)
        )
    return rubric
