"""Pre-train a ResNet without labels (SimCLR, VICReg) or with labels on the same images."""

import numpy as np
import torch

import utils
from conf import global_settings as settings
from data import augment
from data.dataloader import Batches, generator
from data.datasets import DATASETS, images_digest, load_split, stored_size
from functions import labelled_view
from parallel import distributed
from records.runs import PRETRAIN_COLUMNS, run_name
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import check_batch_size, parse_pretrain
from training.features import knn_probe
from training.loop import Job, Run
from training.places import claim


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    args = parse_pretrain(argv)
    device = utils.open_device(args.device)
    distributed.join(device)
    name = run_name(args.data, args.optimizer, args.lr, args.batch_size, args.sample_ratio,
                    seed=args.seed)
    place = claim(args, name, csv_prefix="pretrain_")
    kind = PRETRAININGS[args.model_type]
    size = args.image_size or DATASETS[args.data].image_size
    stem = args.stem if args.stem != "auto" else ("3x3" if size <= 32 else "7x7")
    split = load(args, kind.labels, size)

    torch.manual_seed(args.seed)  # of the weights; order and augmentation have streams of their own
    method = kind.load()
    network = method.network(args, stem, len(split.classes))
    network.to(device, memory_format=torch.channels_last)
    probe = make_probe(args, split, size, device)
    job = make_job(args, method, network, stem, size, split, device, probe)
    run = Run(job, args, place)
    print(f"{args.model_type} on {len(split.rows)} images of {args.data} at {size} px, "
          f"{stem} stem, {args.arch}, amp {job.amp}, {args.epochs} epochs of {run.steps} steps",
          flush=True)
    show_views(run, DATASETS[args.data])
    if probe and not run.epoch:
        print(f"kNN accuracy before training: {probe(backbone_of(network)):.4f}", flush=True)
    run.train()
    run.finish()


def load(args, labels, size):
    """The images to pre-train on. Args: size: px a side of the views.

    Raises: ValueError for a lack of labels or a batch too large.
    """
    found = load_split(args.data, trained_part(args.data, labels), args.data_dir,
                       args.store_size or size, args.sample_ratio, args.seed, args.workers,
                       args.max_bad_images, args.store_dir, labels)
    if labels and not found.labelled:
        raise ValueError(f"--data {args.data} has no labels; SupervisedPretraining needs <class> "
                         "folders")
    check_batch_size(args, len(found.rows), distributed.world())
    return found


def trained_part(name, labels):
    """The part of a dataset to pre-train on: "train" with labels where the other has none, as that
    of STL-10."""
    part = DATASETS[name].unlabelled
    return "train" if labels and part == "unlabeled" else part


def make_job(args, method, network, stem, size, split, device, probe):
    """What the loop needs to know of a pre-training."""
    dataset = DATASETS[args.data]
    statistics = {"mean": dataset.mean, "std": dataset.std}
    augmentation = getattr(augment, method.VIEW)

    def view(images, random, share=None):
        return augmentation(images, size, random, crop_scale=args.crop_scale, share=share,
                            **statistics)

    def evaluate(epoch):
        due = probe and (epoch == args.epochs or epoch % args.knn_every == 0)
        return {"knn_accuracy": probe(backbone_of(network)) if due else ""}

    trained_as = {"arch": args.arch, "stem": stem, "image_size": size, **statistics,
                  "sample_ratio": args.sample_ratio, "data": args.data,
                  "pretraining": args.model_type}
    return Job(
        network=network, trained=network, view=view, evaluate=evaluate, columns=PRETRAIN_COLUMNS,
        chosen_by="",
        batches=Batches(split.images, split.labels, args.batch_size, device, split.rows,
                        args.micro_batch_size),
        objective=method.objective(args), names=("loss", method.ACCURACY),
        amp=utils.choose_amp(args.amp, device),
        facts={"classes": list(split.classes), "trained_as": trained_as,
               "data": {"pretrain": images_digest(split)}})


def backbone_of(network):
    """The ResNet in a network with a projector, or the network itself."""
    return getattr(network, "backbone", network)


def make_probe(args, split, size, device):
    """A function from a backbone to the kNN accuracy of its features; None without labels, and
    where no images are left whose labels are not trained on."""
    if not args.knn_every:
        return None
    split = probed(args, split, size)
    if len(split.rows) and not split.labelled:
        return None
    dataset = DATASETS[args.data]
    view = labelled_view(size, dataset.mean, dataset.std)
    probe = knn_probe(split, view, device, utils.choose_amp(args.amp, device), args.seed)
    if probe is None:
        print(f"no kNN accuracy: too few images of {args.knn_data or args.data} "
              f"({len(split.rows)}) have labels that are not trained on; name others with "
              "--knn-data", flush=True)
    return probe


def probed(args, split, size):
    """The images for the kNN accuracy. Those whose labels are trained on would tell what is known
    by heart: with labels it is another part of the dataset (the digits 5-9), or what the sample
    leaves out. Args: split: what is trained on."""
    labels, name = PRETRAININGS[args.model_type].labels, args.knn_data or args.data
    options = {"workers": args.workers, "max_bad_images": args.max_bad_images,
               "store_dir": args.store_dir}
    part = trained_part(args.data, labels)
    if name != args.data or part == "unlabeled" or labels and part != "train":
        return load_split(name, "train", args.data_dir, stored_size(name, size), **options)
    if not labels:
        return split
    ratio = min(1.0, args.sample_ratio + settings.KNN_IMAGES / len(split.labels))
    more = load_split(name, part, args.data_dir, args.store_size or size, ratio, args.seed,
                      **options)
    return more._replace(rows=np.setdiff1d(more.rows, split.rows))


def show_views(run, dataset):
    """Put a sheet of augmented views into TensorBoard."""
    images, _ = next(run.job.batches.epoch(run.args.seed, 0))
    views = run.job.view(images[:32], generator(run.args.seed, 0))
    if len(views) > len(images[:32]):  # two of each image: side by side
        views = torch.stack(views.chunk(2), 1).flatten(0, 1)
    run.board.images("augmented_views", views, dataset.mean, dataset.std)


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
