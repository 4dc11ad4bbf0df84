"""What a model's answers may be, beside what its signature says of them."""

import msgspec

from service.core.text_enum import TextEnum


class NonFinite(TextEnum):
    """How numbers that are not finite are answered by MLflow's scoring protocol."""

    LITERAL = "literal"  # as NaN and Infinity, which strict JSON has not
    NULL = "null"
    ERROR = "error"


class AnswerRules(msgspec.Struct, frozen=True):
    """`any_rows` is whether it may answer another number of rows than it gets.

    `non_finite_is_null` is whether NaN and infinity are answered as null; else they are an
    error. `scored_non_finite` is the same for answers in MLflow's scoring protocol.
    """

    any_rows: bool = False
    non_finite_is_null: bool = False
    scored_non_finite: NonFinite = NonFinite.LITERAL
