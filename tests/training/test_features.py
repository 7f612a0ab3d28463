"""Features: equal to a plain forward, kept on disk, judged by their neighbours."""

import math

import numpy as np
import pytest
import torch

from conf import global_settings as settings
from data.datasets import Split, load_split
from functions import Backbone, labelled_view
from supervised.resnet import resnet
from training.features import extract_features, kept_features, knn_accuracy, knn_probe, rankme


@pytest.fixture
def split():
    return load_split("digits", "train", "nowhere", ratio=0.1)


def backbone_of(seed):
    torch.manual_seed(seed)
    model = resnet("resnet18", 3, "7x7").eval()
    return Backbone(model, 32, (0.5,) * 3, (0.5,) * 3, {})


def test_features_equal_those_of_a_plain_forward(split, tmp_path):
    backbone = backbone_of(0)
    found = torch.as_tensor(kept_features(tmp_path, backbone, split, "cpu"))
    images = torch.from_numpy(split.images[split.rows])
    with torch.no_grad():
        whole = backbone.model(labelled_view(*backbone.input)(images, None))
        assert torch.allclose(backbone.model.fc(found[0]), whole, atol=1e-5)
    assert found.shape == (1, len(split.rows), 512)


def test_they_are_extracted_once(split, tmp_path, monkeypatch):
    first = kept_features(tmp_path, backbone_of(0), split, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr("training.features.extract_features", lambda *_: pytest.fail("extracted again"))
        assert np.array_equal(first, kept_features(tmp_path, backbone_of(0), split, "cpu"))
    for other in (lambda: kept_features(tmp_path, backbone_of(1), split, "cpu"),
                  lambda: kept_features(tmp_path, backbone_of(0)._replace(image_size=40), split, "cpu"),
                  lambda: kept_features(tmp_path, backbone_of(0), split, "cpu", views=1),
                  lambda: kept_features(tmp_path, backbone_of(0), split, "cpu", "bf16")):
        before = len(list(tmp_path.glob("*.npy")))
        assert not np.array_equal(first, other())
        assert len(list(tmp_path.glob("*.npy"))) == before + 1


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(path.read_bytes()[:-5]),
    lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"),
    lambda path: path.write_bytes(b""),
    lambda path: path.with_suffix(".json").unlink()])
def test_a_damaged_file_is_made_anew(split, tmp_path, damage):
    first, said = np.array(kept_features(tmp_path, backbone_of(0), split, "cpu")), []
    path, = tmp_path.glob("*.npy")
    damage(path)
    again = kept_features(tmp_path, backbone_of(0), split, "cpu", say=said.append)
    assert np.array_equal(first, again) and "damaged" in said[0]


def test_augmented_views_differ_and_repeat(split, tmp_path):
    found = kept_features(tmp_path / "a", backbone_of(0), split, "cpu", views=2)
    assert found.shape[0] == 2 and not np.array_equal(found[0], found[1])
    assert np.array_equal(found, kept_features(tmp_path / "b", backbone_of(0), split, "cpu", views=2))


def test_knn_finds_clusters():
    bank = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]]).repeat(10, 1)
    labels, queries = torch.tensor([0, 0, 1, 1]).repeat(10), torch.tensor([[2.0, 0.1], [0, 3]])
    assert knn_accuracy(bank, labels, queries, torch.tensor([0, 1])) == 1
    assert knn_accuracy(bank, labels, queries, torch.tensor([1, 0])) == 0


def vote(bank, labels, query, neighbours, temperature):
    """The class with the largest sum of exp(cosine / temperature) over the nearest (Wu et al. 2018, section 3.4)."""
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)
    near = sorted(((cosine(row, query), label) for row, label in zip(bank, labels)), reverse=True)[:neighbours]
    weights = [(math.exp(similarity / temperature), label) for similarity, label in near]
    return max(set(labels), key=lambda k: sum(weight for weight, label in weights if label == k))


WAYS = [(1, 0.07), (5, 0.3), (20, 0.3), (20, 1e3), (60, 0.3)]


@pytest.mark.parametrize("neighbours, temperature", WAYS)
def test_knn_is_the_weighted_vote(monkeypatch, neighbours, temperature):
    """Of clouds that overlap, where one neighbour, few, all, or votes of equal weight elect others."""
    monkeypatch.setattr(settings, "KNN_NEIGHBOURS", neighbours)
    monkeypatch.setattr(settings, "KNN_TEMPERATURE", temperature)
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    points = torch.eye(3, 4)[labels] + 0.7 * torch.randn(120, 4, generator=random)
    points *= 1 + 9 * torch.rand(120, 1, generator=random)  # lengths do not count
    bank, known, queries = points[:60], labels[:60], points[60:]
    elected = {way: [vote(bank.tolist(), known.tolist(), query, *way) for query in queries.tolist()] for way in WAYS}
    assert len(set(map(tuple, elected.values()))) == len(WAYS)
    assert knn_accuracy(bank, known, queries, torch.tensor(elected[neighbours, temperature])) == 1


def test_one_neighbour_that_is_near_loses_to_many():
    bank = torch.tensor([[1.0, 0.0]] + 6 * [[1.0, 0.1]])
    labels, query = torch.tensor([0] + 6 * [1]), torch.tensor([[1.0, 0.0]])
    assert knn_accuracy(bank, labels, query, torch.tensor([1])) == 1


def test_a_batch_that_fills_a_card_gives_the_same_features(split, tmp_path, monkeypatch):
    """Also augmented ones, which are drawn batch by batch."""
    for views in (0, 2):
        wanted = np.array(kept_features(tmp_path / "a", backbone_of(0), split, "cpu", views=views))
        monkeypatch.setattr("training.features.evaluation_batch", lambda *_, **options: 3)
        found = np.array(kept_features(tmp_path / "b", backbone_of(0), split, "cpu", views=views))
        assert np.allclose(found, wanted, atol=1e-5) and len({str(view) for view in wanted}) == max(1, views)
        monkeypatch.undo()


def test_extraction_leaves_the_backbone_as_it_was(split):
    backbone = backbone_of(0)
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    from data.dataloader import Batches
    batches = Batches(split.images, split.labels, 8, "cpu", split.rows)
    list(extract_features(backbone.model, batches, labelled_view(*backbone.input), views=1))
    assert all(torch.equal(before[k], v) for k, v in backbone.model.state_dict().items())


class Colour(torch.nn.Module):
    """The mean colour of an image as its features."""

    def features(self, images):
        return images.mean((2, 3))


def probe_of(labels):
    """A probe on images whose colour is their label, given in this order."""
    labels = np.array(labels, dtype=np.int64)
    images = np.zeros((len(labels), 4, 4, 3), np.uint8)
    images[np.arange(len(labels)), ..., labels % 3] = (50 * (labels // 3 + 1))[:, None, None]
    split = Split(images, labels, tuple("abcde"), np.arange(len(labels)), np.zeros(len(labels), np.int64),
                  np.full(len(labels), -1))
    return knn_probe(split, lambda images, *_: images.permute(0, 3, 1, 2).float() - 20, "cpu", "off", 0)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4] * 10, sorted([0, 1, 2, 3, 4] * 10), [0, 0, 0, 1, 1, 2]],
                         ids=["in turns", "class by class", "few"])
def test_a_probe_asks_of_classes_that_have_neighbours(labels, monkeypatch):
    """In turns every fifth image is of one class, which no neighbour then is."""
    seen = []
    monkeypatch.setattr("training.features.knn_accuracy",
                        lambda bank, known, queries, asked: seen.extend((known, asked)))
    monkeypatch.setattr("training.features.rankme", lambda features: len(features))
    assert probe_of(labels)(Colour())["rankme"] == len(labels)
    known, asked = (tensor.tolist() for tensor in seen)
    assert len(known) + len(asked) == len(labels) and set(asked) <= set(known)
    if len(labels) == 50:
        assert sorted(asked) == sorted([0, 1, 2, 3, 4] * 2)


def test_a_probe_in_turns_is_right():
    assert probe_of([0, 1, 2, 3, 4] * 20)(Colour())["knn_accuracy"] == 1


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (1, 3), (300, 64)])
def test_rankme_is_that_of_the_paper(shape):
    """Equation 1 on numpy's singular values; columns of very different lengths."""
    features = np.random.default_rng(0).normal(size=shape) * np.logspace(0, -4, shape[1]) + 0.1
    values = np.linalg.svd(features, compute_uv=False)
    shares = values / np.abs(values).sum() + 1e-7
    assert rankme(torch.from_numpy(features)) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)


def test_rankme_goes_from_one_direction_to_all():
    assert rankme(torch.eye(6)) == pytest.approx(6, rel=1e-4)
    assert rankme(torch.ones(50, 6)) == pytest.approx(1, rel=1e-3)
    assert math.isfinite(rankme(torch.zeros(5, 3))) and math.isnan(rankme(torch.tensor([[1.0, float("inf")]])))


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 1, 1], [0, 1, 2, 3, 4]])
def test_too_few_images_for_a_probe(labels):
    assert probe_of(labels) is None
