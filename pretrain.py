"""Pre-train a ResNet without labels, or with labels on the same images."""

import torch

import utils
from conf import global_settings as settings
from data import augment
from data.dataloader import Batches, generator
from data.duplicates import seen
from functions import labelled_view
from parallel import distributed
from records.checkpoint import tensors_digest
from records.runs import PRETRAIN_COLUMNS
from records.weights import load_backbone, without_head
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import check_batch_size, check_start_size, growing_sizes, parse_pretrain
from training.copies import learned_from
from training.features import knn_probe, rank_probe
from training.identity import name_of, of_pretraining, pretraining_start, weights_behind
from training.images import open_pretraining, open_probed
from training.loop import Job, Run
from training.places import claim

PROBED = {"knn_accuracy": "kNN accuracy", "rankme": "RankMe"}  # columns, in words


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    args = parse_pretrain(argv)
    device = utils.open_device(args.device)
    distributed.join(device)
    kind, weights = PRETRAININGS[args.model_type], weights_behind(args)
    start = pretraining_start(args, weights)
    check_start_size(args, start.seen(args))
    split = open_pretraining(args)
    identity = of_pretraining(args, start, split)
    place = claim(args, identity, name_of(args, identity, start.usual), pretraining=True)
    if place is None:
        return
    check_batch_size(args, len(split.rows), distributed.world())

    torch.manual_seed(args.seed)  # of the weights; all else has streams of its own
    method, view = kind.load(), start.seen(args)
    network = method.network(args, view["stem"], len(split.classes))
    if weights:
        load_backbone(backbone_of(network), weights.found, weights.origin)
    network.to(device, memory_format=torch.channels_last)
    probe = make_probe(args, split, view, device)
    job = make_job(args, method, network, view, split, device, probe, weights)
    run = Run(job, args, place)
    print(f"{args.model_type} on {len(split.rows)} images of {args.data} at "
          f"{view['image_size']} px, {view['stem']} stem, {args.arch}, amp {job.amp}, "
          f"{args.epochs} epochs of {run.steps} steps", flush=True)
    show_views(run, view)
    if probe and not run.epoch and not run.progress:
        print("before training: " + ", ".join(f"{PROBED[name]} {value:.4f}" for name, value in
                                              probe(backbone_of(network)).items()), flush=True)
    run.train()
    run.finish()
    run.note(made=tensors_digest(without_head(backbone_of(network).state_dict())))


def make_job(args, method, network, view, split, device, probe, weights):
    """What the loop needs to know of a pre-training. Args: view: as of Start.seen; weights: what it
    starts from, or None."""
    options = {name: view[name] for name in ("mean", "std")} | {
        name: getattr(args, name) for name in method.VIEW_FLAGS}
    augmentation = getattr(augment, method.VIEW)

    def views(images, random, share=None, size=None):
        return augmentation(images, size or view["image_size"], random, share=share, **options)

    def evaluate(epoch):
        due = probe and (epoch == args.epochs or epoch % args.knn_every == 0)
        return {**dict.fromkeys(PROBED, ""), **(probe(backbone_of(network)) if due else {})}, None

    trained_as = {"arch": args.arch, **view, "sample_ratio": args.sample_ratio, "data": args.data,
                  "pretraining": args.model_type}
    return Job(
        network=network, trained=network, view=views, evaluate=evaluate, columns=PRETRAIN_COLUMNS,
        chosen_by="",
        batches=Batches(split.images, split.labels, args.batch_size, device, split.rows,
                        args.micro_batch_size),
        objective=method.objective(args), names=("loss", method.ACCURACY),
        amp=utils.choose_amp(args.amp, device),
        facts={"classes": list(split.classes), "trained_as": trained_as,
               "seen": learned_from(seen(split, split.rows), weights)},
        sizes=growing_sizes(args.start_size, view["image_size"]),
        duplicates={})


def backbone_of(network):
    """The ResNet in a network with a projector, or the network itself."""
    return getattr(network, "backbone", network)


def make_probe(args, split, view, device):
    """A function from a backbone to a dict of figures of its features, keys of PROBED; None where
    nobody asks for them. Without labels, and where no images are left whose labels are not trained
    on, RankMe alone, on images that are."""
    if not args.knn_every:
        return None
    probed = open_probed(args, split, settings.KNN_IMAGES)
    options = (labelled_view(view["image_size"], view["mean"], view["std"]), device,
               utils.choose_amp(args.amp, device), args.seed)
    if len(probed.rows) and not probed.labelled:
        return rank_probe(split, *options)
    probe = knn_probe(probed, *options)
    if probe is None:
        print(f"no kNN accuracy: too few images of {args.knn_data or args.data} "
              f"({len(probed.rows)}) have labels that are not trained on; name others with "
              "--knn-data, or leave some out with --sample-ratio", flush=True)
    return probe or rank_probe(split, *options)


def show_views(run, view):
    """Put a sheet of augmented views into TensorBoard."""
    images, _ = next(run.job.batches.epoch(run.args.seed, 0))
    views = run.job.view(images[:32], generator(run.args.seed, 0))
    if len(views) > len(images[:32]):  # two of each image: side by side
        views = torch.stack(views.chunk(2), 1).flatten(0, 1)
    run.board.images("augmented_views", views, view["mean"], view["std"])


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
