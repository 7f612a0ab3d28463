"""Pre-train a ResNet without labels (SimCLR) or with labels on the same images."""

import torch

import distributed
import program
import utils
from conf import global_settings as settings
from data import augment
from data.dataloader import Batches, generator
from data.datasets import DATASETS, load_split
from features import knn_probe
from functions import classification
from gradients import Objective
from loop import Job, Run
from self_supervised_pretrained.loss import nt_xent
from self_supervised_pretrained.network import SimCLR
from supervised.resnet import resnet


PRETRAININGS = {"SelfSupervisedPretraining": False, "SupervisedPretraining": True}  # with labels
COLUMNS = ("epoch", "learning_rate", "loss", "contrast_accuracy", "knn_accuracy",
           "images_per_second", "seconds")
FLAGS = ("resume", "device", "lr", "optimizer", "batch_size", "model_type", "data", "sample_ratio",
         "epochs", "arch", "out_dim", "data_dir", "output_dir", "image_size", "stem", "temperature",
         "crop_scale", "warmup_epochs", "scheduler", "milestones", "weight_decay", "knn_every",
         "knn_data", "seed", "amp", "compile", "micro_batch_size", "lr_scaling", "workers",
         "max_bad_images", "checkpoint_minutes", "debug")


def parse(argv):
    """The settings of this program."""
    datasets = tuple(DATASETS)
    choices = {"model_type": tuple(PRETRAININGS), "data": datasets, "knn_data": datasets}
    return utils.build_parser(
        __doc__, FLAGS, choices, model_type="SelfSupervisedPretraining",
        data=settings.PRETRAINING_DATA, lr=1e-4, optimizer="adam", sample_ratio=0.1,
        weight_decay=1e-4).parse_args(argv)


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    args = parse(argv)
    device = utils.open_device(args.device)
    distributed.join(device)
    labels = PRETRAININGS[args.model_type]
    size = args.image_size or DATASETS[args.data].image_size
    stem = args.stem if args.stem != "auto" else ("3x3" if size <= 32 else "7x7")
    split = load(args, labels, size)

    utils.seed_everything(args.seed)
    network = (resnet(args.arch, len(split.classes), stem) if labels
               else SimCLR(args.arch, args.out_dim, stem))
    network.to(device, memory_format=torch.channels_last)
    probe = make_probe(args, split, size, device)
    job = make_job(args, labels, network, stem, size, split, device, probe)
    name = utils.run_name(args.data, args.optimizer, args.lr, args.batch_size, args.sample_ratio,
                          seed=args.seed)
    run = Run(job, args, name, csv_prefix="pretrain_")
    print(f"{args.model_type} on {len(split.rows)} images of {args.data} at {size} px, "
          f"{stem} stem, {args.arch}, amp {job.amp}, {args.epochs} epochs of {run.steps} steps",
          flush=True)
    show_views(run, DATASETS[args.data])
    if probe and not run.epoch:
        print(f"kNN accuracy before training: {probe(backbone_of(network)):.4f}", flush=True)
    run.train()
    run.board.finish(utils.plain_config(args))


def load(args, labels, size):
    """The images to pre-train on. Raises: ValueError for a lack of labels or a batch too large."""
    split = "train" if labels and has_unlabelled_part(args.data) else "pretrain"
    found = load_split(args.data, split, args.data_dir, size, args.sample_ratio, args.seed,
                       args.workers, args.max_bad_images, labels)
    if labels and not found.labelled:
        raise ValueError(f"--data {args.data} has no labels; SupervisedPretraining needs <class> "
                         "folders")
    utils.check_batch_size(args.batch_size, len(found.rows))
    return found


def has_unlabelled_part(name):
    """Whether a dataset keeps images without labels apart, as STL-10 does."""
    return DATASETS[name].unlabelled == "unlabeled"


def make_job(args, labels, network, stem, size, split, device, probe):
    """What the loop needs to know of a pre-training."""
    dataset = DATASETS[args.data]
    statistics = {"mean": dataset.mean, "std": dataset.std}
    augmentation = augment.random_resized_crop_flip if labels else augment.simclr_views

    def view(images, random, share=None):
        return augmentation(images, size, random, crop_scale=args.crop_scale, share=share,
                            **statistics)

    contrast = Objective(lambda z, _: nt_xent(z, args.temperature), pairs=True)

    def evaluate(epoch):
        due = probe and (epoch == args.epochs or epoch % args.knn_every == 0)
        return {"knn_accuracy": probe(backbone_of(network)) if due else ""}

    trained_as = {"arch": args.arch, "stem": stem, "image_size": size, **statistics,
                  "sample_ratio": args.sample_ratio, "data": args.data,
                  "pretraining": args.model_type}
    return Job(
        network=network, trained=network, view=view, evaluate=evaluate, columns=COLUMNS,
        chosen_by="",
        batches=Batches(split.images, split.labels, args.batch_size, device, split.rows,
                        args.micro_batch_size),
        objective=classification(torch.nn.CrossEntropyLoss()) if labels else contrast,
        names=("loss", None if labels else "contrast_accuracy"),
        amp=utils.choose_amp(args.amp, device),
        facts={"classes": list(split.classes), "trained_as": trained_as})


def backbone_of(network):
    """The ResNet in SimCLR's network, or the network itself."""
    return getattr(network, "backbone", network)


def make_probe(args, split, size, device):
    """A function from a backbone to the kNN accuracy of its features; None without labels."""
    if not args.knn_every:
        return None
    name = args.knn_data or args.data
    if name != args.data or has_unlabelled_part(name):
        split = load_split(name, "train", args.data_dir, workers=args.workers,
                           max_bad_images=args.max_bad_images)
    if not split.labelled:
        return None
    dataset = DATASETS[args.data]

    def view(images, random, share):
        return augment.resize(images, size, mean=dataset.mean, std=dataset.std)

    return knn_probe(split, view, device, utils.choose_amp(args.amp, device), args.seed)


def show_views(run, dataset):
    """Put a sheet of augmented views into TensorBoard."""
    images, _ = next(run.job.batches.epoch(run.args.seed, 0))
    views = run.job.view(images[:32], generator(run.args.seed, 0))
    if len(views) > len(images[:32]):  # two of each image: side by side
        views = torch.stack(views.chunk(2), 1).flatten(0, 1)
    run.board.images("augmented_views", views, dataset.mean, dataset.std)


if __name__ == "__main__":
    raise SystemExit(program.run(main))
