"""A pixel or region term with every object of the truth having the same say."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from lossweep.spaces.files.errors import refused
from lossweep.spaces.losses.families.cross_entropy import CrossEntropy, WeightedCrossEntropy
from lossweep.spaces.losses.families.focal import Focal
from lossweep.spaces.losses.families.regions import Dice, FocalTversky, Jaccard, Tversky
from lossweep.spaces.losses.term import Reduction, Term

WithinObjects: TypeAlias = (
    CrossEntropy | WeightedCrossEntropy | Focal | Jaccard | Dice | Tversky | FocalTversky
)
"""The terms that can be computed object by object."""

Way = Literal["cells", "blobs"]


class PerObject(Term):
    """A term computed object by object: each connected component of the truth has the same say."""

    place = 10
    formula = "mean over objects o of the term within D(o)"
    source = (
        "Bouteille et al., CC-DiceCE, arXiv 2511.17146 (cells); Kofler et al., blob loss, IPMI 2023 (blobs);"
        " Kundu et al., arXiv 2604.24276 (more than two classes)"
    )
    when = "objects that differ in size are counted: the small ones weigh as much as the large ones"
    short_name = "obj"
    color = "#44aa99"

    term: Literal["per_object"] = "per_object"
    loss: Annotated[WithinObjects, Field(discriminator="term")] = Field(
        description="the term: one of pixels or regions, its reduction left alone"
    )
    way: Way = Field(
        default="cells",
        description="D(o): cells for the pixels nearest to the object, blobs for it and all the background",
    )
    inverse_size: bool = Field(
        default=False, description="the object's pixels weigh as much as the others of D(o), in total"
    )
    reduction: Reduction = Field(
        default="batch",
        description="the mean over all objects of the batch, or over an image's and then over images",
    )

    @field_validator("loss")
    @classmethod
    def _reduces_itself(cls, loss: Term) -> Term:
        if getattr(loss, "reduction", "batch") != "batch":
            raise refused(
                "an object's term has no reduction", key="reduction", hint="give per_object the reduction"
            )
        return loss
