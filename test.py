"""Test a trained checkpoint of one of the five methods."""

import torch

import checkpoint
import utils
from conf import global_settings as settings
from data.dataloader import Batches
from data.datasets import DATASETS, load_split
from functions import MODEL_TYPES, Backbone, labelled_view, metrics, predict
from supervised.resnet import resnet

FLAGS = ("device", "model_type", "data", "batch_size", "checkpoint", "data_dir", "output_dir",
         "amp", "workers", "max_bad_images", "debug")


def parse(argv):
    """The settings of this program."""
    choices = {"model_type": tuple(MODEL_TYPES), "data": tuple(DATASETS)}
    return utils.build_parser(__doc__, FLAGS, choices, data="cifar100",
                              batch_size=settings.EVAL_BATCH_SIZE).parse_args(argv)


def main(argv=None):
    """Parse, load the checkpoint, evaluate, print."""
    args = parse(argv)
    device = utils.open_device(args.device)
    folder = args.output_dir / "checkpoint" / args.model_type
    path = args.checkpoint or checkpoint.newest(folder)
    if path is None:
        raise FileNotFoundError(f"no checkpoint below {folder}; make one with `python train.py "
                                f"--model-type {args.model_type}` or name one with --checkpoint")
    state = checkpoint.read(path)
    if "trained_as" not in state or "classes" not in state:
        raise ValueError(f"{path}: not a checkpoint of train.py")
    trained, config = state["trained_as"], state["config"]
    test = load_split(args.data, "test", args.data_dir,
                      trained["image_size"] if args.data in ("imagenet", "folder") else None,
                      workers=args.workers, max_bad_images=args.max_bad_images)
    if len(state["classes"]) != len(test.classes):
        raise ValueError(f"{path}: its classifier has {len(state['classes'])} classes, "
                         f"{args.data} has {len(test.classes)}")
    model = resnet(config["arch"], len(state["classes"]), trained["stem"])
    model.load_state_dict(state["model"])
    model.to(device, memory_format=torch.channels_last)
    view = labelled_view(Backbone(model, trained["image_size"], trained["mean"], trained["std"],
                                  trained))
    amp = utils.choose_amp(config["amp"] if args.amp == "auto" else args.amp, device)
    batches = Batches(test.images, test.labels, args.batch_size, device, test.rows)
    scores = metrics(*predict(model, batches, view, amp), torch.nn.CrossEntropyLoss())
    print(f"{path}: epoch {state['epoch']}")
    print(f"test accuracy {scores['accuracy']}, top-5 {scores['top5_accuracy']}, "
          f"loss {scores['loss']:.6f}, {len(test.rows)} images")


if __name__ == "__main__":
    raise SystemExit(utils.run_program(main))
