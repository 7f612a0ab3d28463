"""Test a trained checkpoint."""

import csv
import tempfile

import torch

import utils
from conf import global_settings as settings
from data.dataloader import Batches, evaluation_batch
from data.datasets import DATASETS, images_digest, load_split, open_source, stored_size
from data.duplicates import count_copies, from_state
from data.own import check_drawn
from functions import MODEL_TYPES, confusion_matrix, labelled_view, metrics, predict
from records import checkpoint
from records.files import whole, writing
from records.names import composed, printable, short
from records.trained import (are_others, check_made_by, find_tested, find_trained, network_of,
                             store_options)

HARDEST = 5  # classes that are printed
NAMED = 80  # signs of class names in an error


def parse(argv):
    """The settings of this program."""
    choices = {"model_type": tuple(MODEL_TYPES), "data": tuple(DATASETS)}
    parser = utils.build_parser(__doc__, "E", choices, data=settings.LABELLED_DATA,
                                batch_size=None)
    args = parser.parse_args(argv)
    utils.check_split(parser, args)
    return args


def main(argv=None):
    """Parse, load the checkpoint, evaluate, print."""
    args = parse(argv)
    if args.csv_dir:
        with writing(args.csv_dir, "CSV files", "--csv-dir"):
            args.csv_dir.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=args.csv_dir).close()  # before any work
    device = utils.open_device(args.device)
    path, state, test, options = find(args)
    trained, config = state["trained_as"], state["config"]
    learned = from_state(state.get("seen"))
    known = 0 if learned is None else count_copies(test, test.rows, learned)
    if known is None:
        print("duplicates: whether images of the test are among those that the network has learned "
              "from is not known: they are stored at other sizes, and not all of their files are "
              "known")
    if known:
        print(f"duplicates: {known} of {len(test.rows)} images of the test are exact copies of "
              "those that the network has learned from")
    order = class_order(state["classes"], test.classes, path)
    model = network_of(state)
    model.to(device, memory_format=torch.channels_last)
    view = labelled_view(trained["image_size"], trained["mean"], trained["std"])
    amp = utils.choose_amp(config["amp"] if args.amp == "auto" else args.amp, device)
    size = args.batch_size or evaluation_batch(device, trained["image_size"])
    batches = Batches(test.images, test.labels, size, device, test.rows)
    logits, labels = predict(model, batches, view, amp)
    logits = logits[:, order]
    scores = metrics(logits, labels, torch.nn.CrossEntropyLoss())
    print(f"{path}: epoch {state['epoch']} of {config['epochs']}"
          + ", chosen on validation" * (path.name == checkpoint.BEST))
    print(f"test accuracy {scores['accuracy']}, top-5 {scores['top5_accuracy']}, "
          f"loss {scores['loss']:.6f}, {len(test.rows)} images")
    print(f"every class counting the same: balanced accuracy {scores['balanced_accuracy']}, "
          f"macro F1 {scores['macro_f1']}")
    matrix = confusion_matrix(logits.argmax(1), labels, len(test.classes))
    print(f"hardest classes: {hardest(matrix, test.classes)}")
    if args.csv_dir:
        source = open_source(args.data, "test", args.data_dir, **options)
        files = [source.name(row) for row in test.rows] if source else [""] * len(labels)
        write_details(args.csv_dir, test.classes, files, logits, labels, matrix)


def find(args):
    """Returns: (path, state of the checkpoint to test, Split of the images, where these were looked
    for, as of records.trained.store_options). Without --checkpoint it is that of the newest run that
    was tested on these images in training, if there is one."""
    folder = args.output_dir / "checkpoint" / args.model_type
    path = args.checkpoint or find_trained(folder, args.data, args.data_dir)
    state = read(path, args.model_type)
    options = store_options(args, state["config"])
    if args.data == "folder":
        check_drawn(args.data_dir, **options)
    test = load_split(args.data, "test", args.data_dir,
                      stored_size(args.data, state["trained_as"]["image_size"]),
                      workers=args.workers, max_bad_images=args.max_bad_images, **options)
    digest = images_digest(test)
    wrong = are_others(state, "test", digest)
    other = find_tested(folder, args.data, digest) if wrong and not args.checkpoint else None
    if other:
        path, state = other, read(other, args.model_type)
    elif wrong:
        known = state["config"]
        print(printable(f"{path}: these are not the test images of that run, which was on "
                        f"{known['data']} in {known.get('data_dir')}"))
    return path, state, test, options


def read(path, model_type):
    """The dict of a checkpoint of train.py. Raises: as checkpoint.read and check_made_by."""
    state = checkpoint.read(path)
    check_made_by(state, path, model_type)
    return state


def class_order(known, names, path):
    """Where a classifier has each of these classes. Raises: ValueError where it knows others."""
    known, names = [[composed(name) for name in some] for some in (known, names)]
    if sorted(known) == sorted(names):
        return [known.index(name) for name in names]
    differ = [f"{len(some)} of {whose} ({short(', '.join(sorted(some)), NAMED)})"
              for some, whose in ((set(known) - set(names), "its own"),
                                  (set(names) - set(known), "these images")) if some]
    raise ValueError(f"{path}: was trained on other classes than these images have: "
                     f"{' and '.join(differ)} are not among the others'; name its own data with "
                     "--data and --data-dir")


def hardest(matrix, names):
    """The classes of which the smallest shares were recognised, as text."""
    found = sorted((matrix[k, k] / matrix[k].sum(), name) for k, name in enumerate(names)
                   if matrix[k].any())
    return ", ".join(f"{printable(name)} {share:.3f}" for share, name in found[:HARDEST])


def write_details(folder, names, files, logits, labels, matrix):
    """Write classes.csv, confusion.csv and predictions.csv, which has a row for each test image: its
    number from 0 on, as in res/*.predictions.npy, and its file, "" where it is in none.

    Args: names: of the classes. matrix: as from functions.confusion_matrix. Raises: OSError.
    """
    confidence, predicted = (values.tolist() for values in logits.softmax(1).max(1))
    tables = {
        "classes": [("class", "images", "correct", "accuracy"),
                    *((name, counts.sum(), counts[k], counts[k] / max(1, counts.sum()))
                      for k, (name, counts) in enumerate(zip(names, matrix)))],
        "confusion": [("true class", *names),
                      *((name, *counts) for name, counts in zip(names, matrix))],
        "predictions": [("image", "file", "true_class", "predicted_class", "probability"),
                        *((number, file, names[label], names[guess], f"{share:.6f}")
                          for number, (file, label, guess, share)
                          in enumerate(zip(files, labels.tolist(), predicted, confidence)))]}
    for name, rows in tables.items():
        with whole(folder / f"{name}.csv", newline="", encoding="utf-8",
                   errors="backslashreplace") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    print(f"wrote {', '.join(f'{name}.csv' for name in tables)} into {folder}")


if __name__ == "__main__":
    raise SystemExit(utils.run(main))
