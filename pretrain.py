"""Pre-train a ResNet without labels (SimCLR, VICReg) or with labels on the same images."""

import torch

import utils
from conf import global_settings as settings
from data import augment
from data.dataloader import Batches, generator
from data.datasets import DATASETS
from data.duplicates import seen, to_state
from functions import labelled_view
from parallel import distributed
from records.checkpoint import tensors_digest
from records.runs import PRETRAIN_COLUMNS
from records.weights import without_head
from self_supervised_pretrained.registry import PRETRAININGS
from training.command_line import check_batch_size, parse_pretrain, pretraining_input
from training.features import knn_probe
from training.identity import name_of, of_pretraining, pretraining_usual
from training.images import open_pretraining, open_probed
from training.loop import Job, Run
from training.places import claim


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    args = parse_pretrain(argv)
    device = utils.open_device(args.device)
    distributed.join(device)
    kind, split = PRETRAININGS[args.model_type], open_pretraining(args)
    identity = of_pretraining(args, split)
    place = claim(args, identity, name_of(args, identity, pretraining_usual(args)),
                  pretraining=True)
    if place is None:
        return
    check_batch_size(args, len(split.rows), distributed.world())
    size, stem = pretraining_input(args).values()

    torch.manual_seed(args.seed)  # of the weights; all else has streams of its own
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
    run.note(made=tensors_digest(without_head(backbone_of(network).state_dict())))


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
        return {"knn_accuracy": probe(backbone_of(network)) if due else ""}, None

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
               "seen": to_state(seen(split, split.rows))},
        duplicates={})


def backbone_of(network):
    """The ResNet in a network with a projector, or the network itself."""
    return getattr(network, "backbone", network)


def make_probe(args, split, size, device):
    """A function from a backbone to the kNN accuracy of its features; None without labels, and
    where no images are left whose labels are not trained on."""
    if not args.knn_every:
        return None
    split = open_probed(args, split, settings.KNN_IMAGES)
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


def show_views(run, dataset):
    """Put a sheet of augmented views into TensorBoard."""
    images, _ = next(run.job.batches.epoch(run.args.seed, 0))
    views = run.job.view(images[:32], generator(run.args.seed, 0))
    if len(views) > len(images[:32]):  # two of each image: side by side
        views = torch.stack(views.chunk(2), 1).flatten(0, 1)
    run.board.images("augmented_views", views, dataset.mean, dataset.std)


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
