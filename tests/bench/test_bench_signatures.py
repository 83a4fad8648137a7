from driftline.bench.signatures import run


def test_what_changed_is_found_and_few_profiles_give_the_groups_of_all(client):
    figures = run(client, entities=240, days=37, planted=6, limit=120)
    assert (figures["entities"], figures["scan_days"]) == (240, 30)
    assert figures["precision"] >= 0.8
    assert figures["recall"] >= 0.8
    assert figures["ari_limit"] >= 0.95
    assert figures["docs"] > 0
    assert min(figures[name] for name in ("seconds_train", "seconds_train_limit", "seconds_scan", "train_rss_mb")) > 0
