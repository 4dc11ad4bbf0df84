from pathlib import Path

import pytest

from service.store.formats import may_need_skops

PICKLED = "flavors:\n  sklearn:\n    serialization_format: cloudpickle\n"
SKOPS = "flavors:\n  sklearn:\n    serialization_format: skops\n"


@pytest.mark.parametrize(
    ("stored", "may"), [([], True), ([PICKLED], False), ([PICKLED, SKOPS], True), ([""], False)]
)
def test_skops_is_needed_where_a_version_says_so_or_none_does(
    tmp_path: Path, stored: list[str], *, may: bool
) -> None:
    """An empty store tells nothing of what will be promoted."""
    for number, described in enumerate(stored):
        model = tmp_path / "versions" / str(number) / "model"
        model.mkdir(parents=True)
        (model / "MLmodel").write_text(described)
    assert may_need_skops(tmp_path) is may
