"""Features of a frozen backbone: extracted once, kept on disk, and judged by their neighbours."""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from conf import global_settings as settings
from data.dataloader import Batches, evaluation_batch, generator
from data.sampling import stratified
from functions import autocast, labelled_view
from records.checkpoint import tensors_digest
from records.files import locked, whole
from records.weights import without_head

VERSION = 1


@torch.no_grad()
def extract_features(model, batches, view, amp="off", views=0, seed=0):
    """Features of a frozen backbone.

    Args: view: as in functions.predict. views: augmented views of each image, 0 for a plain one.
    Yields: float32 (B, D) batch after batch, max(1, views) times over all images.
    """
    model.eval()
    for number in range(max(1, views)):
        for step, (images, _) in enumerate(batches.epoch()):
            share = batches.share(step)
            inputs = view(images, generator(seed, number, step) if views else None, share)
            with autocast(batches.device, amp):
                found = model.features(inputs)
            piece, = share.pieces
            yield piece.gather(found[None])[0]


def kept_features(folder, backbone, split, device, amp="off", views=0, seed=0, say=print):
    """The features of a split, from disk where the same ones were extracted before.

    Whichever process comes first extracts; others that want the same wait, also those that torchrun
    started beside it. A file that does not match its checksum is made anew.

    Args: folder: where such files live. backbone: functions.Backbone. split: data.datasets.Split.
    Returns: float32 (max(1, views), M, D) memory map, for the M rows of the split.
    """
    path = Path(folder) / (_key(backbone, split, amp, views, seed) + ".npy")
    found = _read(path, say)
    if found is None:
        with locked(path.with_suffix(""), say, "features", "--output-dir"):
            found = _read(path, say)
            if found is None:
                size = settings.EVAL_BATCH_SIZE  # augmentation is drawn batch by batch
                if not views:
                    size = evaluation_batch(device, backbone.image_size, alone=True)
                batches = Batches(split.images, split.labels, size, device, split.rows, alone=True)
                view = labelled_view(*backbone.input)
                parts = extract_features(backbone.model, batches, view, amp, views, seed)
                rows = max(1, views) * len(split.rows)
                _write(path, parts, max(1, views), (rows, backbone.model.fc.in_features))
                found = _read(path, say)
    return found


def _key(backbone, split, amp, views, seed):
    """A digest of everything that changes features: weights, images, input, precision."""
    weights = tensors_digest(without_head(backbone.model.state_dict()))
    digest = hashlib.blake2b(weights.encode(), digest_size=16)
    digest.update(np.ascontiguousarray(split.checksums[split.rows]))
    facts = (VERSION, backbone.image_size, backbone.mean, backbone.std, amp, views,
             seed if views else 0)
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def _write(path, parts, views, shape):
    """Write a .npy file whole or not at all, and its checksum beside it."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    check = 0
    with whole(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            part = part.float().cpu().numpy()
            file.write(part)
            check = zlib.crc32(part, check)
        with whole(path.with_suffix(".json"), encoding="utf-8") as facts:
            json.dump({"crc32": check, "views": views}, facts)


def _read(path, say):
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
        array = np.load(path, mmap_mode="c")
        if zlib.crc32(array) == facts["crc32"]:
            return array.reshape(facts["views"], -1, array.shape[1])
    except (OSError, ValueError, KeyError, EOFError):
        pass
    say(f"{path}: damaged; extracting the features again")
    return None


def knn_accuracy(bank, bank_labels, queries, labels):
    """Weighted k-nearest-neighbour accuracy by cosine similarity (Wu et al. 2018, section 3.4).

    Args: bank (M, D), queries (N, D) float features; labels int64. Returns: fraction in [0, 1].
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    near, index = similarity.topk(min(settings.KNN_NEIGHBOURS, len(bank)), dim=1)
    classes = int(max(bank_labels.max(), labels.max())) + 1
    votes = near.new_zeros(len(queries), classes)
    votes.scatter_add_(1, bank_labels[index], (near / settings.KNN_TEMPERATURE).exp())
    return float((votes.argmax(1) == labels).double().mean())


def rankme(features):
    """RankMe (Garrido et al. 2023, Eq. 1): exp of the entropy of p_k = s_k / |s|_1 + epsilon, s
    being the singular values of the features as they are, not centred.

    They are the roots of eigenvalues of the features' products with each other: in float64 exact to
    1e-8 of the largest, less than epsilon.
    Args: features: float (N, D). Returns: from 1, all on one line, to min(N, D), all directions
        alike; NaN of features that are not finite.
    """
    features = features.double()
    if not features.isfinite().all():
        return float("nan")
    narrow = features if features.shape[0] >= features.shape[1] else features.T
    values = torch.linalg.eigvalsh(narrow.T @ narrow).clamp(min=0).sqrt()
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    shares = shares + settings.RANKME_EPSILON
    return float((-shares * shares.log()).sum().exp())


def _sampled(split, seed):
    """At most KNN_IMAGES rows of a split, class by class."""
    labels = split.labels[split.rows]
    share = min(1.0, settings.KNN_IMAGES / max(1, len(labels)))
    return split.rows[stratified(labels, share, seed, purpose="probe")]


def rank_probe(split, view, device, amp, seed):
    """A function from a backbone to dict of the rankme of its features, on part of any split."""
    batches = Batches(split.images, split.labels, settings.EVAL_BATCH_SIZE, device,
                      _sampled(split, seed))
    return lambda backbone: {
        "rankme": rankme(torch.cat(list(extract_features(backbone, batches, view, amp))))}


def knn_probe(split, view, device, amp, seed):
    """A function from a backbone to dict of the knn_accuracy and the rankme of its features, on
    part of a labelled split; None where it has too few images for a query.

    Four fifths of at most KNN_IMAGES images are neighbours, the rest queries: class by class, since
    in a dataset whose classes take turns every fifth image could be of the same one.
    """
    rows = _sampled(split, seed)
    rows = rows[np.argsort(split.labels[rows], kind="stable")]
    labels = torch.as_tensor(split.labels[rows], device=device)
    alone = torch.bincount(labels)[labels] == 1  # a query without a neighbour of its class
    asked = (torch.arange(len(rows), device=device) % 5 == 4) & ~alone
    if not asked.any():
        return None
    batches = Batches(split.images, split.labels, settings.EVAL_BATCH_SIZE, device, rows)

    def probe(backbone):
        found = torch.cat(list(extract_features(backbone, batches, view, amp)))
        accuracy = knn_accuracy(found[~asked], labels[~asked], found[asked], labels[asked])
        return {"knn_accuracy": accuracy, "rankme": rankme(found)}
    return probe
