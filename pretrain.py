"""Pre-train a ResNet without labels (SimCLR) or with labels on the same images."""

import time

import torch
from tqdm import tqdm

import checkpoint
from data import augment
from data.dataloader import Batches, generator
from data.datasets import DATASETS, load_split, stratified
from conf import global_settings as settings
from functions import autocast, extract_features, knn_accuracy, train_one_epoch
from optimizers import build_optimizer, learning_rate
from self_supervised_pretrained.epoch import pretrain_one_epoch, scaler_for
from self_supervised_pretrained.network import SimCLR
from supervised.resnet import resnet
from tensorboard_log import TensorBoardLog
import utils

PRETRAININGS = ("SelfSupervisedPretraining", "SupervisedPretraining")
COLUMNS = ("epoch", "learning_rate", "loss", "contrast_accuracy", "knn_accuracy", "images_per_second", "seconds")
FLAGS = ("resume", "device", "lr", "optimizer", "batch_size", "model_type", "data", "sample_ratio", "epochs", "arch",
         "out_dim", "data_dir", "output_dir", "image_size", "stem", "temperature", "crop_scale", "warmup_epochs",
         "scheduler", "milestones", "weight_decay", "knn_every", "knn_data", "seed", "amp", "workers",
         "max_bad_images", "debug")


def parse(argv):
    """The settings of this program."""
    choices = {"model_type": PRETRAININGS, "data": tuple(DATASETS), "knn_data": tuple(DATASETS)}
    return utils.build_parser(__doc__, FLAGS, choices, model_type=PRETRAININGS[0], data="imagenet", lr=1e-4,
                              optimizer="adam", sample_ratio=0.1, weight_decay=1e-4, warmup_epochs=10.0,
                              ).parse_args(argv)


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    args = parse(argv)
    device = utils.open_device(args.device)
    amp = utils.choose_amp(args.amp, device)
    dataset = DATASETS[args.data]
    size = args.image_size or dataset.image_size
    stem = args.stem if args.stem != "auto" else ("3x3" if size <= 32 else "7x7")
    supervised = args.model_type == "SupervisedPretraining"
    split = load_split(args.data, "train" if supervised and dataset.unlabelled == "unlabeled" else "pretrain",
                       args.data_dir, size, args.sample_ratio, args.seed, args.workers, args.max_bad_images)
    if supervised and split.labels.min() < 0:
        raise ValueError(f"--data {args.data} has no labels; SupervisedPretraining needs <class> folders")
    utils.check_batch_size(args.batch_size, len(split.labels))

    utils.seed_everything(args.seed)
    network = resnet(args.arch, len(split.classes), stem) if supervised else SimCLR(args.arch, args.out_dim, stem)
    network = network.to(device, memory_format=torch.channels_last)
    backbone = network if supervised else network.backbone
    optimizer = build_optimizer(args.optimizer, network, args.lr, args.weight_decay)
    batches = Batches(split.images, split.labels, args.batch_size, device)
    trained_as = {"arch": args.arch, "stem": stem, "image_size": size, "mean": dataset.mean, "std": dataset.std,
                  "sample_ratio": args.sample_ratio, "data": args.data, "pretraining": args.model_type}

    run = utils.run_name(args.data, args.optimizer, args.lr, args.batch_size, args.sample_ratio, seed=args.seed)
    folder = args.output_dir / "checkpoint" / args.model_type / run
    first = 1
    if args.resume:
        state = checkpoint.read(folder / "last.pth")
        utils.check_resume(state, args)
        network.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
    utils.write_config(folder / "config.yml", args)
    log = utils.CsvLog(args.output_dir / "res" / f"pretrain_{args.model_type}_{run}.csv", COLUMNS, first - 1)
    board = TensorBoardLog(args.output_dir / "runs" / args.model_type / run, first - 1)
    knn = knn_probe(args, dataset, size, device, amp)
    print(f"{args.model_type} on {len(split.labels)} images of {args.data} at {size} px, {stem} stem, "
          f"{args.arch}, amp {amp}, {args.epochs} epochs of {len(batches)} steps", flush=True)
    if first == 1 and knn:
        print(f"kNN accuracy before training: {knn(backbone):.4f}", flush=True)

    view = augmented_view(supervised, size, dataset, args.crop_scale)
    show_views(board, batches, view, dataset, args.seed)
    criterion = torch.nn.CrossEntropyLoss()
    row = {}
    for epoch in range(first, args.epochs + 1):
        started = time.perf_counter()
        total = args.epochs * len(batches)

        def rate(step, done=(epoch - 1) * len(batches)):
            return learning_rate(done + step, total, args.lr, round(args.warmup_epochs * len(batches)),
                                 args.scheduler, args.milestones)

        with tqdm(total=len(batches), desc=f"epoch {epoch}", leave=False, disable=None) as bar:
            common = dict(view=view, seed=args.seed, epoch=epoch, on_step=lambda step: bar.update())
            if supervised:
                result = train_one_epoch(network, batches, criterion, optimizer, rate, amp=amp, **common)
            else:
                result = pretrain_one_epoch(network, batches, optimizer, rate, temperature=args.temperature,
                                            context=lambda: autocast(device, amp), scaler=scaler_for(device, amp),
                                            random=generator(device, args.seed, epoch), **common)
        seconds = time.perf_counter() - started
        wanted = knn and (epoch == args.epochs or epoch % args.knn_every == 0)
        row = {"epoch": epoch, "learning_rate": result["learning_rate"], "loss": result["loss"],
               "contrast_accuracy": "" if supervised else result["accuracy"],
               "knn_accuracy": knn(backbone) if wanted else "",
               "images_per_second": round(len(split.labels) / seconds, 1), "seconds": round(seconds, 3)}
        checkpoint.save(folder / "last.pth", {
            "model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch,
            "config": utils.plain_config(args), "trained_as": trained_as, "classes": list(split.classes)})
        log.write(row)
        board.row(row)
        print(f"epoch {epoch}/{args.epochs}: loss {row['loss']:.4f}, "
              + ("" if supervised else f"contrastive accuracy {row['contrast_accuracy']:.4f}, ")
              + (f"kNN accuracy {row['knn_accuracy']:.4f}, " if wanted else "")
              + f"{row['images_per_second']:.0f} images/s, {seconds:.1f} s", flush=True)
    board.finish(utils.plain_config(args), {"loss": row.get("loss", ""), "knn_accuracy": row.get("knn_accuracy", "")})
    print(f"checkpoint: {folder / 'last.pth'}")


def augmented_view(supervised, size, dataset, crop_scale):
    """(uint8 images, generator) -> network input: SimCLR's two views, or one crop and flip."""
    augmentation = augment.random_resized_crop_flip if supervised else augment.simclr_views
    return lambda images, random: augmentation(images, size, random, mean=dataset.mean, std=dataset.std,
                                               crop_scale=crop_scale)


def show_views(board, batches, view, dataset, seed):
    """Put a sheet of augmented views into TensorBoard."""
    images, _ = next(batches.epoch(seed, 0))
    board.images("augmented_views", view(images[:32], generator(batches.device, seed, 0)), dataset.mean, dataset.std)


def knn_probe(args, dataset, size, device, amp):
    """A function from a backbone to its kNN accuracy on part of a labelled training set; None without labels."""
    if args.knn_every == 0:
        return None
    name = args.knn_data or args.data
    own = name == args.data and dataset.unlabelled != "unlabeled"
    split = load_split(name, "pretrain" if own else "train", args.data_dir, size if own else None,
                       args.sample_ratio if own else 1.0, args.seed, args.workers, args.max_bad_images)
    if split.labels.min() < 0 or len(split.labels) < 10:
        return None
    rows = stratified(split.labels, min(1.0, settings.KNN_IMAGES / len(split.labels)), args.seed)
    queries = rows[4::5]
    bank = rows[[i % 5 != 4 for i in range(len(rows))]]

    def view(images, random):
        return augment.resize(images, size, mean=dataset.mean, std=dataset.std)

    def accuracy(backbone):
        found = [extract_features(backbone, Batches(split.images, split.labels, settings.EVAL_BATCH_SIZE, device, part),
                                  view, amp) for part in (bank, queries)]
        (known, known_labels), (asked, labels) = found
        return knn_accuracy(known[0], known_labels, asked[0], labels)
    return accuracy


if __name__ == "__main__":
    raise SystemExit(utils.run_program(main))
