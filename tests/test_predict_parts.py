"""What of predict.py needs no pictures: its command line, and the nearest by cosine."""

import numpy as np
import pytest
import torch

import predict


@pytest.mark.parametrize("count", [1, 7, 50])
def test_the_nearest_by_cosine(monkeypatch, count):
    monkeypatch.setattr(predict, "BANK_ROWS", 9)
    rng = np.random.default_rng(count)
    bank, features = rng.normal(size=(40, 6)).astype("f4"), rng.normal(size=(5, 6)).astype("f4")
    lengths = np.outer(np.linalg.norm(features, axis=1), np.linalg.norm(bank, axis=1))
    wanted = (-(features @ bank.T) / lengths).argsort(axis=1)[:, :count]
    assert predict.nearest(bank, torch.from_numpy(features), count).tolist() == wanted.tolist()


@pytest.mark.parametrize("words, message", [([], "PICTURE"), (["x.png"], "--checkpoint"),
                                            (["--checkpoint", "x", "--neighbours", "-1", "x.png"], "'-1' is not"),
                                            (["--checkpoint", "x", "--neighbours", "2_0", "x.png"], "2_0"),
                                            (["--checkpoint", "x", "--neighbours", "many", "x.png"], "many")])
def test_wrong_usage(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        predict.parse(words)
    assert stop.value.code == 2 and message in capsys.readouterr().err
