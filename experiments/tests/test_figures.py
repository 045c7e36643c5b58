"""Figures from made-up records."""

import shutil

import matplotlib.pyplot as plt
import pytest

from experiments import figures
from experiments.runner.record import start_record, write_record
from experiments.studies.permuting import figures as permuting_figures
from experiments.studies.permuting.presets import PRESETS
from experiments.studies.permuting.run import STRENGTHS
from experiments.studies.permuting.study import STUDY
from experiments.tables import fill_tables

SI = STRENGTHS["SI"]


def a_record(run, task_0):
    """Return a record in which task 0 falls from 1 to `task_0`, and the other tasks stay at 1."""
    tasks = run.tasks
    steps = list(range(1000, 1000 * tasks + 1, 1000))
    rows = [[200] * (i + 1) for i in range(tasks)]
    return start_record("permuting", run) | {
        "numbers": {"total": 1000, "per_added_model": 10},
        "curve": {"images": 500, "steps": steps}
        | {"correct": [500] * (tasks - 1) + [int(500 * task_0)], "loss": [0.1] * tasks},
        "rows": {"images": 200, "correct": rows},
        "final": {"images": 10000, "correct": [int(10000 * task_0)] + [9700] * (tasks - 1)},
    }


def test_existing_records_are_drawn_and_missing_runs_are_named(tmp_path, capsys):
    folder = tmp_path / "permuting"
    chosen = ("mnist-Binary-2x256-seed0", "mnist-Binary-2x256-seed1", f"mnist-SI-strength{SI:g}")
    for run in PRESETS["table"]:
        if run.name.startswith(chosen):
            write_record(folder / f"{run.name}.json", a_record(run, 0.5))
    figures.main(tmp_path, tmp_path / "out")
    output = capsys.readouterr().out
    assert "permuting-figure-2: 28 of 30 runs are missing: mnist-standard-2x128-seed0" in output
    assert "mnist-standard-2x128-seed2 and 25 more\n" in output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    drawn = {f"permuting-{name}" for name in ("figure-2", "figure-3", "table")}
    assert names == {f"{n}.{e}" for n in drawn for e in ("png", "svg")}
    text = fill_tables("<!-- table: permuting/table accuracy -->\n<!-- end -->", tmp_path)
    assert "| 2×256 | Binary | 97.00 ± 0.00 |  | 96.06 ± 0.00 | 0.00 ± 0.00 | 50.00" in text
    assert f"| 2×2000, bfloat16 | SI ({SI:g}) | 97.00 | 97.2 |" in text


def test_two_strengths_of_a_method_are_two_places_in_the_figure_of_the_table(tmp_path, monkeypatch):
    runs = [run for run in PRESETS["table"] if (run.method.penalty, run.width) == ("SI", 2000)]
    drawn = []
    monkeypatch.setattr(permuting_figures, "save_figure", lambda figure, _: drawn.append(figure))
    permuting_figures.draw_table([a_record(run, 0.5) for run in runs], tmp_path)
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["SI (1)", "SI (3)"]
    assert len(set(axes.lines[0].get_xdata())) == 2
    plt.close(drawn[0])


def test_the_figures_of_capacity_are_drawn_from_the_record(tmp_path, capsys):
    shutil.copy(figures.RESULTS / "capacity-digits.json", tmp_path)
    figures.main(tmp_path, tmp_path / "out")
    parts = ("networks", "retrieval")
    drawn = {f"capacity-digits-{part}.{ending}" for part in parts for ending in ("png", "svg")}
    assert drawn == {path.name for path in (tmp_path / "out").iterdir()}


def test_without_records_nothing_is_drawn(tmp_path, capsys):
    figures.main(tmp_path / "none", tmp_path / "out")
    n = len(PRESETS["table"])
    assert f"table: {n} of {n} runs are missing" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError, match="permuting has no record of the preset table"):
        fill_tables("<!-- table: permuting/table accuracy -->\n<!-- end -->", tmp_path)


def test_a_record_under_the_name_of_another_run_is_refused(tmp_path):
    run, other = PRESETS["figure-2"][:2]
    write_record(tmp_path / "permuting" / f"{run.name}.json", a_record(other, 0.5))
    with pytest.raises(ValueError, match="holds the record of another run than its name says"):
        STUDY.records_of("figure-2", tmp_path)
