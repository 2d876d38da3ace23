from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class Rubric(models.Model):
    """What is rated: an ordered list of criteria."""

    name = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def default(cls) -> Rubric:
        """The rubric every new class starts with: three criteria, and the overall rating computed from them."""
        rubric, created = cls.objects.get_or_create(name="Self-introduction")
        if created:
            Criterion.objects.bulk_create(
                Criterion(rubric=rubric, position=position, **fields)
                for position, fields in enumerate(_DEFAULT_CRITERIA)
            )
        return rubric


class Criterion(models.Model):
    """One line of a rubric, scored 1–10."""

    class Basis(models.TextChoices):
        """Where the score comes from."""

        JUDGED = "judged", _("judged by the model")
        MEASURED = "measured", _("measured")
        BOTH = "both", _("judged and measured")
        COMPUTED = "computed", _("mean of the other criteria by weight")

    class Measure(models.TextChoices):
        """What is measured, by the function of the same name in evaluations/rating/scoring.py."""

        NONE = "", "nothing"
        DELIVERY = "delivery", "pace and how clearly words were recognised"
        COMPLETENESS = "completeness", "how much of the form was said"
        FLUENCY = "fluency", "fillers and long pauses"

    rubric = models.ForeignKey(Rubric, on_delete=models.CASCADE, related_name="criteria")
    key = models.SlugField(max_length=40)
    title = models.CharField(max_length=100)
    description = models.TextField(help_text="Given to the model and shown to students.")
    basis = models.CharField(max_length=10, choices=Basis.choices, default=Basis.JUDGED)
    measure = models.CharField(max_length=20, choices=Measure.choices, blank=True)
    weight = models.FloatField(default=1, validators=[MinValueValidator(0.0)])
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ("position", "pk")
        verbose_name_plural = "criteria"
        constraints = (models.UniqueConstraint(fields=("rubric", "key"), name="one_criterion_per_key"),)

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        if self.basis in (self.Basis.MEASURED, self.Basis.BOTH) and not self.measure:
            raise ValidationError({"measure": "Choose what is measured."})


_DEFAULT_CRITERIA = (
    {
        "key": "overall_rating",
        "title": "Overall rating",
        "description": "All criteria together.",
        "basis": Criterion.Basis.COMPUTED,
    },
    {
        "key": "clarity_of_speech",
        "title": "Clarity of speech",
        "description": "Words are easy to follow: a steady pace, clear sentences, few restarts.",
        "basis": Criterion.Basis.BOTH,
        "measure": Criterion.Measure.DELIVERY,
    },
    {
        "key": "content_quality",
        "title": "Content quality",
        "description": "Says who they are, what they like, what they are good at and what they want, with details.",
        "basis": Criterion.Basis.BOTH,
        "measure": Criterion.Measure.COMPLETENESS,
    },
    {
        "key": "confidence",
        "title": "Confidence",
        "description": "Speaks of themselves positively and directly, without hedging.",
        "basis": Criterion.Basis.BOTH,
        "measure": Criterion.Measure.FLUENCY,
    },
)
