import orjson
import pytest
from typer.testing import CliRunner

from driftline.bench.train import fleet_data, run
from driftline.cli.app import app

FIGURES = {
    "series", "points", "mode", "gaps", "fit_cpu_ratio", "fit_wall_ratio", "fit_predict_cpu_ratio", "lp_gain_min",
    "lp_gain_median", "fallbacks", "rss_mb", "seconds",
}  # fmt: skip


@pytest.mark.parametrize(("mode", "gaps"), [("additive", 0.0), ("multiplicative", 0.05)])
def test_the_figures_are_there_and_no_fit_is_worse_than_prophets(mode, gaps):
    told = []
    figures = run(series=40, points=336, gaps=gaps, mode=mode, sample=3, progress=lambda *step: told.append(step))
    assert set(figures) >= FIGURES
    assert (figures["series"], figures["points"], figures["mode"], figures["gaps"]) == (40, 336, mode, gaps)
    assert figures["lp_gain_min"] >= -1e-6
    assert figures["fallbacks"] == figures["failed"] == 0
    assert min(figures["fit_cpu_ratio"], figures["fit_predict_cpu_ratio"], figures["seconds"]) > 0
    assert told[-1] == ("series fitted by Prophet", 3, 3)


def test_what_goes_to_prophet_counts_as_ours():
    figures = run(series=2, points=200, growth="logistic", sample=2)
    assert figures["fallbacks"] == 2
    assert figures["fit_cpu_ratio"] < 3


def test_the_fleet_has_the_gaps_that_were_asked_for():
    ds, values = fleet_data(50, 400, "5m", 0.2)
    assert values.shape == (50, 400)
    assert len(ds) == 400
    assert abs((values != values).mean() - 0.2) < 0.02


def test_the_command_tells_machines_and_refuses_what_it_does_not_know():
    told = CliRunner().invoke(
        app, ["bench", "train", "--series", "4", "--points", "100", "--sample", "1", "--freq", "5min", "--json"]
    )
    assert orjson.loads(told.stdout)["freq"] == "5m"
    refused = CliRunner().invoke(app, ["bench", "train", "--mode", "both"])
    assert refused.exit_code == 2
    assert "additive or multiplicative" in refused.output
