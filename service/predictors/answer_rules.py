"""What a model's answers may be, beside what its signature says of them."""

import msgspec


class AnswerRules(msgspec.Struct, frozen=True):
    """`any_rows` is whether it may answer another number of rows than it gets.

    `non_finite_is_null` is whether NaN and infinity are answered as null; else they are an error.
    """

    any_rows: bool = False
    non_finite_is_null: bool = False
