"""Series as text: OpenMetrics with a time by each sample for files, Prometheus' own format for a page that is scraped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from marketsim.metrics.series import SERIES, MetricSeries, Sample


def page(found: Mapping[str, Iterable[Sample]], shown: Sequence[MetricSeries] = SERIES) -> bytes:
    """Return the series of one height as the text that `/metrics` answers, without times."""
    from prometheus_client.exposition import generate_latest

    families = [_family(series, ((None, sample) for sample in found[series.name])) for series in shown]
    return generate_latest(_Collected(families))


def write(target: Path, times: Iterable[tuple[float, Mapping[str, list[Sample]]]], shown: Sequence[MetricSeries] = SERIES) -> int:
    """Write the series of rising times (seconds since 1970, the samples) as an OpenMetrics file and return the number of samples.

    A series that ends before the last time gets one more sample, not a number, when it is missed: else it would linger for five minutes
    in whatever reads the file.
    """
    columns: dict[str, dict[tuple[str, tuple[str, ...]], list[tuple[float, float]]]] = {series.name: {} for series in shown}
    before: dict[str, set[tuple[str, tuple[str, ...]]]] = {series.name: set() for series in shown}
    for time, found in times:
        for series in shown:
            lines, seen = columns[series.name], set()
            for suffix, labels, value in found[series.name]:
                lines.setdefault((suffix, labels), []).append((time, value))
                seen.add((suffix, labels))
            for key in before[series.name] - seen:
                lines[key].append((time, float("nan")))
            before[series.name] = seen
    count = 0
    with target.open("w", encoding="utf-8") as file:
        for series in shown:
            count += _write_family(file, series, columns[series.name])
        file.write("# EOF\n")
    return count


def _write_family(file: IO[str], series: MetricSeries, lines: Mapping[tuple[str, tuple[str, ...]], list[tuple[float, float]]]) -> int:
    """Write a family; prometheus-client writes its head and each line once, and the times of a line share what it wrote of the labels."""
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.utils import floatToGoString

    firsts = ((None, (suffix, labels, 0.0)) for suffix, labels in lines)
    text: bytes = generate_latest(_Collected([_family(series, firsts)]))  # type: ignore[no-untyped-call]
    written = text.decode("utf-8").removesuffix("# EOF\n").splitlines()
    heads = [line for line in written if line.startswith("#")]
    starts = [line.removesuffix("0.0") for line in written[len(heads) :]]
    file.writelines(f"{line}\n" for line in heads)
    for start, points in zip(starts, lines.values(), strict=True):
        file.writelines(f"{start}{floatToGoString(value)} {time!r}\n" for time, value in points)  # type: ignore[no-untyped-call]
    return sum(map(len, lines.values()))


class _Collected:
    """What prometheus-client writes out: families that are there already."""

    def __init__(self, found: list[Any]) -> None:
        self._found = found

    def collect(self) -> list[Any]:
        return self._found


def _family(series: MetricSeries, samples: Iterable[tuple[float | None, Sample]]) -> Any:
    from prometheus_client.metrics_core import Metric

    family = Metric(series.name, series.help, series.kind)
    for time, (suffix, values, value) in samples:
        names = (*series.labels, "le") if suffix == "_bucket" else series.labels
        family.add_sample(series.name + suffix, dict(zip(names, values, strict=True)), value, timestamp=time)
    return family
