"""The table of the ways to pre-train."""

import pytest

from self_supervised_pretrained.registry import PRETRAININGS


@pytest.mark.parametrize("name", PRETRAININGS)
def test_a_flag_that_views_take_is_one_that_tells_runs_apart(name):
    row = PRETRAININGS[name]
    assert row.load().VIEW
    if not row.labels:
        with pytest.raises(ValueError, match="its views take color_strength, which its row"):
            row._replace(flags=()).load()
