"""Cost beside quality: means of an arm, the front, names that do not meet, the sentence, the table and the section."""

import io
import random
import re
from typing import Any

import pytest
from rich.console import Console

from lmcompare.comparison import Comparison
from lmcompare.frontier import front
from lmcompare.report import cost, scatter
from lmcompare.report.headline import headline
from lmcompare.report.page import render
from lmcompare.report.table import print_table
from lmcompare.statistics import summarize
from tests.fake_runs import Row, failed, finished, pretrained, suite


def measured(
    seconds: float, *, computed: float | None = None, trained: int = 1000, ms: float = 1.0, **more: Any
) -> dict[str, Any]:
    features = None if computed is None else {"bytes": 5e6, "seconds": 3.0, "computed_seconds": computed}
    return {
        "seconds": seconds,
        "device": "cpu, 1 threads",
        "parameters": {"total": 10 * trained, "trained": trained},
        "peak_memory_mb": 512,
        "cost": {
            "energy": {"joules": None, "of": [], "reason": "none here"},
            "gpu_memory_mb": None,
            "model_bytes": 4_000_000,
            "lost_attempts": 0,
            "features": features,
            "inference": {"milliseconds": ms, "cold_milliseconds": None if computed is None else 9 * ms},
            **more,
        },
    }


def of(rows: list[Row]) -> Comparison:
    return summarize(rows, title="a study")


def both_ways(tuned: dict[str, Any], features: dict[str, Any]) -> list[Row]:
    return [
        *(finished("tuned", task, 1, 0.8, **tuned) for task in "xy"),
        *(finished("frozen", task, 1, 0.7, kind="features", **features) for task in "xy"),
    ]


def printed(comparison: Comparison, width: int) -> str:
    stream = io.StringIO()
    print_table(comparison, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([(1, 1)], [0]),
        ([(None, 1), (1, None)], []),
        ([(3, 0.9), (1, 0.5), (2, 0.4), (2, 0.7)], [1, 3, 0]),
        ([(1, 0.5), (1, 0.5), (2, 0.5)], [0, 1]),
        ([(1, 0.4), (1, 0.5)], [1]),
        ([(1, 0.9), (2, 0.8), (None, 0.99)], [0]),
    ],
)
def test_the_front_is_what_no_other_point_beats(points: list[Any], expected: list[int]) -> None:
    assert front(points) == expected


def test_the_front_as_its_definition_says() -> None:
    chance = random.Random(3)
    for _ in range(200):
        points = [(chance.randrange(6), chance.randrange(6)) for _ in range(chance.randrange(9))]
        beaten = {
            n
            for n, (cost_, quality) in enumerate(points)
            for other, better in points
            if (other <= cost_ and better > quality) or (other < cost_ and better >= quality)
        }
        assert set(front(points)) == set(range(len(points))) - beaten


def test_means_of_an_arm_are_over_tasks_and_none_where_a_task_has_none() -> None:
    rows = [
        finished("a", "x", 1, 0.5, **measured(10)),
        finished("a", "x", 2, 0.5, **measured(20)),
        finished("a", "y", 1, 0.5, **measured(40)),
        finished("b", "x", 1, 0.5, **measured(5)),
        failed("b", "y", 1),
    ]
    a, b = of(rows).costs
    assert a.figures["seconds"].mean == 27.5 and a.figures["seconds"].n == 3
    assert b.figures["seconds"].mean is None and b.figures["seconds"].n == 1
    assert a.devices == ("cpu, 1 threads",) and a.runs == 3


def test_old_results_compare_without_the_figures_that_they_lack() -> None:
    comparison = of(suite())
    assert comparison.costs[0].figures["seconds"].mean == 61.25
    assert comparison.costs[0].figures["milliseconds"].mean is None
    page = render(comparison)
    assert "Quality against cost" in page and "an answer</th>" not in page
    rows = [finished("a", "x", 1, 0.5, attempts=2), finished("b", "x", 1, 0.5, attempts=1)]
    assert [row.figures["seconds"].mean for row in of(rows).costs] == [None, 61.25]


def test_nothing_measured_has_no_section() -> None:
    rows = [finished(arm, "x", 1, 0.5, seconds=None, tokens=None) for arm in "ab"]
    assert "Quality against cost" not in render(of(rows))
    assert "on average" not in printed(of(rows), 100).split("Points on")[1].split("leads")[0]


def test_pretraining_stands_beside_and_once() -> None:
    rows = [
        pretrained("pretrain-s1"),
        *both_ways(
            {**measured(36), "lineage": [{"did": "pretrain", "run": "pretrain-s1"}]},
            {**measured(9), "lineage": [{"did": "pretrain", "run": "pretrain-s1"}]},
        ),
        finished("random", "x", 1, 0.4, weights="random", **measured(30)),
    ]
    comparison = of(rows)
    assert [row.pretraining for row in comparison.costs] == [("pretrain-s1",), ("pretrain-s1",), ()]
    assert comparison.costs[0].figures["seconds"].mean == 36
    assert cost.shared_models(comparison) == [
        "Not in these figures, as it is done once: the pretraining pretrain-s1 (9 s) for tuned and frozen."
    ]


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.11, "a ninth of the time of"),
        (0.128, "an eighth of the time of"),
        (0.34, "a third of the time of"),
        (0.5, "half the time of"),
        (0.62, "62 % of the time of"),
        (0.41, "41 % of the time of"),
        (0.95, "about as long as"),
        (1.34, "1.3 times as long as"),
        (12.3, "12.3 times as long as"),
        (0.03, "3 % of the time of"),
        (0.001, "less than 1 % of the time of"),
    ],
)
def test_a_share_in_words(share: float, words: str) -> None:
    assert cost.compared(share) == words


def test_the_sentence_about_time() -> None:
    found = of(both_ways(measured(36), measured(9, computed=5)))
    assert headline(found)[-1] == (
        "frozen takes a ninth of the time of tuned once its layers are cached (4 s a run against 36 s)."
    )
    old = {"seconds": 9.0, "device": "cpu, 1 threads"}
    found = of(both_ways(measured(36), old))
    assert headline(found)[-1] == "frozen takes a quarter of the time of tuned (9 s a run against 36 s)."


def test_no_sentence_without_figures_of_both_or_over_devices() -> None:
    other = measured(9, computed=5)
    lost = {**measured(36), "cost": {**measured(36)["cost"], "lost_attempts": 1}}
    for tuned, features in (
        (measured(36), {**other, "device": "a GPU"}),
        (lost, other),
        ({"seconds": None}, {"seconds": None}),
    ):
        assert not [s for s in headline(of(both_ways(tuned, features))) if "takes" in s]


def test_the_sentence_stands_on_the_tasks_that_both_have() -> None:
    rows = [
        *both_ways(measured(40), measured(12, computed=2)),
        finished("tuned", "z", 1, 0.5, **measured(4000)),
        failed("frozen", "z", 1),
    ]
    assert any("a quarter of the time of tuned" in sentence for sentence in headline(of(rows)))


def test_numbers_as_people_read_them() -> None:
    assert [cost.duration(s) for s in (0.1234, 9, 119, 120, 7200, 360000)] == [
        "0.123 s", "9 s", "119 s", "2 min", "2 h", "100 h",
    ]  # fmt: skip
    sizes = (12, 999, 1234, 999_999, 22_100_000)
    assert [cost.number(n) for n in sizes] == ["12", "999", "1.23 k", "1 M", "22.1 M"]
    assert [cost.octets(n) for n in (0, 1500, 4e6, 2.5e9)] == ["0 B", "1.5 kB", "4 MB", "2.5 GB"]
    assert [cost.mebibytes(n) for n in (512, 1024, 1536)] == ["512 MiB", "1 GiB", "1.5 GiB"]
    assert [cost.three(n) for n in (0.000012, 1234.5, 0.5)] == ["0.000012", "1,230", "0.5"]


@pytest.mark.parametrize("width", [200, 60, 20])
def test_the_terminal_has_the_costs_at_any_width(width: int) -> None:
    text = printed(of(both_ways(measured(36), measured(9, computed=5))), width)
    assert max(map(len, text.splitlines())) <= width
    joined = re.sub(r"\s", "", text)
    for word in ("36 s", "9 s", "4 s", "1 ms", "1 k", "512 MiB", "4 MB", "5 MB"):
        assert word.replace(" ", "") in joined, word


def test_the_terminal_says_what_makes_the_figures_unlike(capsys: pytest.CaptureFixture[str]) -> None:
    slow = {**measured(9, computed=5), "device": "cpu, 2 threads"}
    for width in (200, 60):
        text = " ".join(printed(of(both_ways(measured(36), slow)), width).split())
        assert (
            "Not all runs had the same device, so times are not alike: cpu, 1 threads, cpu, 2 threads."
            in text
        )
        assert "Energy of" not in text  # which the page says


def test_energy_says_whose_it_is_and_memory_why_it_is_missing() -> None:
    read = {"joules": 7.0, "of": ["package-0", "A GPU"], "reason": None}
    rows = [
        finished("a", "x", 1, 0.5, **measured(3, energy=read)),
        finished(
            "b", "x", 1, 0.5, **{**measured(3, memory_reason="it cannot be told"), "peak_memory_mb": None}
        ),
    ]
    found = cost.notes(of(rows))
    whole = "whole packages and GPUs, with what ran beside"
    assert f"Energy of 1 run is that of package-0 and A GPU: {whole}." in found
    assert "Memory of 1 run: it cannot be told." in found and "Energy of 1 run: none here." in found
    assert whole in render(of(rows))


def test_disk_is_that_of_all_that_an_answer_needs() -> None:
    features = measured(9, computed=5, model_bytes=100_000, needed_bytes=4_100_000)
    comparison = of(both_ways(measured(36, needed_bytes=4_000_000), features))
    assert [row.figures["needed_bytes"].mean for row in comparison.costs] == [4_000_000, 4_100_000]
    text = printed(comparison, 200)
    assert "4.1 MB" in text and "100 kB" not in text
    assert {"disk to answer", "disk of its own"} <= set(re.findall(r'"col">([^<]*)<', render(comparison)))
    # Older results: only a run that tuned an encoder of its own keeps all that it needs.
    old = of(
        [*both_ways(measured(3), measured(3)), finished("part", "x", 1, 0.5, together=["y"], **measured(3))]
    )
    assert [run.cost.needed_bytes for run in old.runs] == [4_000_000, 4_000_000, None, None, None]


def test_a_single_arm_has_nothing_to_be_compared_with() -> None:
    comparison = of([finished("a", "x", 1, 0.5, **measured(3))])
    assert "Quality against cost" not in render(comparison)
    assert "a run, on average" not in printed(comparison, 100)


def test_the_section_has_every_choice_and_number() -> None:
    rows = both_ways(measured(36, ms=2.5), measured(9, computed=5, trained=40))
    page = render(of([*rows, finished("third", "x", 1, 0.2, **measured(1)), failed("third", "y", 1)]))
    section = page.split('id="h-cost"')[1].split("</section>")[0]
    assert re.findall(r"<label[^>]*>(.*?)</label>", section) == [
        "Time to train", "Time an answer", "Trained parameters", "Memory",
    ]  # fmt: skip
    assert section.count(" checked>") == 1
    for word in (
        "36 s",
        "2.5 ms",
        "4 MB",
        "512 MiB",
        "Energy of 5 runs: none here.",
        "Without a figure for both: third",
    ):
        assert word in section, word
    assert section.count('class="dot') == 4 * 2
    first = section.split('class="panel panel-1')[1].split('class="panel')[0]
    assert "frozen; tuned" in first  # the cheap one, then the better one
    assert 'aria-label="Mean score against time to train. On the front: frozen; tuned' in first


def test_names_are_text() -> None:
    nasty = "<script>alert(1)</script>"
    rows = [finished(f"{arm} {nasty}", "x", 1, 0.5, **measured(3)) for arm in "ab"]
    assert nasty not in render(of(rows))


def overlaps(places: list[tuple[float, float]], names: list[str], high: float) -> list[str]:
    """Names that meet another name or another dot, at widths between those that the layout looks at, too."""
    found = []
    labels = scatter.labels(places, names, high, [n % 2 == 0 for n in range(len(names))])
    for width in range(500, 1041, 20):
        boxes = [
            (n, scatter.box(places[n], label, names[n], high, width))
            for n, label in enumerate(labels)
            if label is not None
        ]
        for i, (n, (left, top, right, bottom)) in enumerate(boxes):
            if left < 0 or right > width:
                found.append(f"{names[n]} sticks out at {width}")
            for m, (l, t, r, b) in boxes[:i]:
                if left < r and l < right and top < b and t < bottom:
                    found.append(f"{names[n]} meets {names[m]} at {width}")
    return found


@pytest.mark.parametrize("count", [1, 2, 9, 30])
@pytest.mark.parametrize("spread", [0.0, 0.02, 1.0])
def test_names_never_meet_and_none_is_left_out(count: int, spread: float) -> None:
    chance = random.Random(count)
    places = [
        (0.5 + spread * (chance.random() - 0.5), 0.5 + spread * (chance.random() - 0.5)) for _ in range(count)
    ]
    names = [f"an arm called {'very ' * (n % 3)}{n}" for n in range(count)]
    high = min(scatter.MOST, max(scatter.LEAST, 24 * count))
    assert overlaps(places, names, high) == []
    assert None not in scatter.labels(places, names, high, [n % 2 == 0 for n in range(count)])


def test_a_log_axis_where_the_span_asks_for_it() -> None:
    wide, narrow = scatter.axis([3.0, 4000.0]), scatter.axis([30.0, 80.0])
    assert type(wide).__name__ == "LogScale" and type(narrow).__name__ == "Scale"
    assert wide.ticks[0] <= 3 and wide.ticks[-1] >= 4000 and narrow.low == 0
    assert float(wide.place(100.0)) - float(wide.place(10.0)) == pytest.approx(
        float(wide.place(1000.0)) - float(wide.place(100.0)), abs=0.02
    )
    assert type(scatter.axis([0.0, 5000.0])).__name__ == "Scale"
    assert scatter.axis([5.0]).low == 0


def test_a_long_name_is_shortened_in_its_middle() -> None:
    name = "bert finetune, transfer.layers=concat_last_4, examples=500"
    assert scatter.short(name) == "bert finetune, t…_4, examples=500"
    assert len(scatter.short(name)) <= scatter.LONGEST
