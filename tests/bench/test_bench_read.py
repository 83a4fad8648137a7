from driftline.bench.read import run


def test_what_is_read_raw_is_read_whole_and_then_stored(client):
    figures = run(client, series=30, points=72, freq="1h")
    assert set(figures) >= {"series", "points", "seconds_raw", "seconds_read", "read_ratio", "seconds_store", "rss_mb"}
    assert (figures["series"], figures["points"]) == (30, 72)
    assert figures["docs"] == 30 * 72
    assert figures["pages"] >= 1
    assert min(figures["read_ratio"], figures["seconds_store"]) > 0
