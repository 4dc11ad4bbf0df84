"""What a scrape shows, as tests read it."""

from prometheus_client.parser import text_string_to_metric_families


def read(body: str) -> dict[str, float]:
    """Return every sample of a body under its name and labels, as text."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in found, f"{key} stands there twice"
            found[key] = sample.value
    return found


def names(body: str) -> set[str]:
    """Return the names of all samples."""
    return {sample.partition("{")[0] for sample in read(body)}


def total(seen: dict[str, float], name: str, *labels: str) -> float:
    """Return the sum of a name's samples that have these labels, each as `name=value`."""
    return sum(
        value
        for sample, value in seen.items()
        if sample.startswith(f"{name}{{")
        if set(labels) <= set(sample.removeprefix(f"{name}{{").removesuffix("}").split(","))
    )
