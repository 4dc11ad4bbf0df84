import msgspec
import pytest

from service.core.versions import InvalidModelUriError, ModelRef, RefKind
from tests.support.fake_source import a_version


@pytest.mark.parametrize(
    ("uri", "kind", "name", "target", "label", "immutable"),
    [
        ("models:/m/Production", RefKind.STAGE, "m", "Production", "Production", False),
        ("models:/m/production", RefKind.STAGE, "m", "Production", "Production", False),
        ("models:/m/none", RefKind.STAGE, "m", "None", "None", False),
        ("models:/m@champion", RefKind.ALIAS, "m", "champion", "@champion", False),
        ("models:/a name.with-dots@v_1-b", RefKind.ALIAS, "a name.with-dots", "v_1-b", "@v_1-b", 0),
        (
            "models:/team@churn@champion",
            RefKind.ALIAS,
            "team@churn",
            "champion",
            "@champion",
            False,
        ),
        ("models:/team@churn/3", RefKind.VERSION, "team@churn", "3", "3", True),
        ("models:/team@churn/latest", RefKind.LATEST, "team@churn", "latest", "latest", False),
        ("models:/a?b#c%2F@champion", RefKind.ALIAS, "a?b#c%2F", "champion", "@champion", False),
        ("models:/m/3", RefKind.VERSION, "m", "3", "3", True),
        ("models:/m/003", RefKind.VERSION, "m", "3", "3", True),
        ("models:/m/Latest", RefKind.LATEST, "m", "latest", "latest", False),
        ("models:/m-0123ab", RefKind.LOGGED_MODEL, "", "m-0123ab", "m-0123ab", True),
        ("runs:/0123/model", RefKind.RUN, "", "0123", "run", True),
        ("runs:/0123/a/deep/path", RefKind.RUN, "", "0123", "run", True),
        ("  models:/m@champion\n", RefKind.ALIAS, "m", "champion", "@champion", False),
    ],
)
def test_each_form_of_a_model_uri_is_read(
    uri: str, kind: RefKind, name: str, target: str, label: str, *, immutable: bool
) -> None:
    """Stages in any case, numbers without zeros in front."""
    ref = ModelRef.parse(uri)
    assert (ref.kind, ref.name, ref.target, ref.label) == (kind, name, target, label)
    assert ref.immutable == immutable
    assert ModelRef.parse(ref.uri) == ref


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "m",
        "models:/m",
        "models:/",
        "models:/m/",
        "models:/m@",
        "models:/m\n@champion",
        "models:/m\ud800@champion",
        "models:/" + "m" * 5000 + "@champion",
        "models:/m/Production/2",
        "models:/m/Prod",
        "models:/m/-1",
        "models:/m/²",
        "models:/m/" + "9" * 5000,
        "models:/@champion",
        "models://host/m/1",
        "runs:/0123",
        "runs:/0123/",
        "s3://bucket/model",
        "models:/m@two words",
    ],
)
def test_anything_else_is_refused(uri: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(InvalidModelUriError, match="allowed are"):
        ModelRef.parse(uri)


def test_an_alias_may_be_given_with_its_at() -> None:
    """It is the same alias."""
    assert ModelRef.for_alias("m", "@champion") == ModelRef.parse("models:/m@champion")


@pytest.mark.parametrize("field", ["registry", "name", "version", "run_id", "source", "created_ms"])
def test_every_field_is_part_of_a_versions_identity(field: str) -> None:
    """A registry that was made again has a version 1, too."""
    version = a_version(1)
    other = msgspec.structs.replace(
        version, **{field: 7 if field == "created_ms" else getattr(version, field) + "x"}
    )
    assert other != version
    assert other.key != version.key


def test_a_versions_key_is_a_plain_file_name() -> None:
    """Whatever its name holds."""
    key = a_version(1, name="../a name/with: everything" * 10).key
    assert len(key) < 120
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not key.startswith("../")
