"""Train one of the five methods on a labelled dataset."""

import time

import torch
from tqdm import tqdm

import checkpoint
import utils
from conf import global_settings as settings
from data.dataloader import Batches
from data.datasets import DATASETS, hold_out, load_split, stratified
from functions import (CRITERIA, MODEL_TYPES, build_model, extract_features, labelled_view, metrics, predict,
                       train_classifier_epoch, train_one_epoch)
from optimizers import build_optimizer, learning_rate
from tensorboard_log import TensorBoardLog

COLUMNS = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss",
           "test_accuracy", "test_top5_accuracy", "images_per_second", "seconds")
FLAGS = ("resume", "device", "lr", "optimizer", "criterion", "batch_size", "model_type", "data",
         "pretrained_model_path", "data_dir", "output_dir", "epochs", "arch", "image_size", "warmup_epochs", "scheduler",
         "milestones", "weight_decay", "val_ratio", "label_ratio", "feature_views", "seed", "amp", "workers",
         "max_bad_images", "debug")


def parse(argv):
    """The settings of this program."""
    choices = {"model_type": tuple(MODEL_TYPES), "data": tuple(DATASETS)}
    return utils.build_parser(__doc__, FLAGS, choices, data="cifar100").parse_args(argv)


def find_pretrained(args, kind):
    """The checkpoint to start from: the one asked for, or the newest matching; None for ImageNet or no weights."""
    if args.pretrained_model_path or kind.weights == "none" or kind.imagenet:
        return args.pretrained_model_path
    folder = args.output_dir / "checkpoint" / kind.pretraining
    path = checkpoint.newest(folder)
    if path is None:
        raise FileNotFoundError(f"no pre-training checkpoint below {folder}; make one with "
                                f"`python pretrain.py --model_type {kind.pretraining} --data ...` "
                                "or name one with --pretrained-model-path")
    print(f"starting from {path}")
    return path


class Task:
    """The images, the network and how one epoch of it is trained and evaluated; whole networks go through
    batches of images, frozen ones through features that are extracted once."""

    def __init__(self, args, kind, device):
        self.args, self.kind, self.amp = args, kind, utils.choose_amp(args.amp, device)
        path = find_pretrained(args, kind)
        train = load_split(args.data, "train", args.data_dir, args.image_size if args.data in ("imagenet", "folder") else None,
                           workers=args.workers, max_bad_images=args.max_bad_images)
        test = load_split(args.data, "test", args.data_dir, train.images.shape[1], workers=args.workers,
                          max_bad_images=args.max_bad_images)
        if train.labels.min() < 0:
            raise ValueError(f"--data {args.data} has no labels: <class> folders are needed in {args.data_dir}/train")
        rows, validation = hold_out(train.labels, args.val_ratio, args.seed)
        rows = rows[stratified(train.labels[rows], args.label_ratio, args.seed)]
        utils.check_batch_size(args.batch_size, len(rows))
        utils.seed_everything(args.seed)
        self.classes, self.images = train.classes, len(rows)
        self.backbone = build_model(kind, args.arch, len(train.classes), DATASETS[args.data], path, args.image_size)
        self.network = self.backbone.model.to(device, memory_format=torch.channels_last)
        self.view = labelled_view(self.backbone)
        self.train = Batches(train.images, train.labels, args.batch_size, device, rows)
        self.eval = {"val": Batches(train.images, train.labels, settings.EVAL_BATCH_SIZE, device, validation),
                     "test": Batches(test.images, test.labels, settings.EVAL_BATCH_SIZE, device)}
        self.criterion = CRITERIA[args.criterion]()
        self.features = self._extract() if kind.frozen else None
        self.optimizer = build_optimizer(args.optimizer, self.network, args.lr, args.weight_decay)

    def _extract(self):
        started = time.perf_counter()
        plain = Batches(self.train.images, self.train.labels, settings.EVAL_BATCH_SIZE, self.train.device, self.train.rows)
        found = {"train": extract_features(self.network, plain, self.view, self.amp, self.args.feature_views, self.args.seed)}
        for name, batches in self.eval.items():
            if len(batches):
                found[name] = extract_features(self.network, batches, self.view, self.amp)
        print(f"features of the frozen backbone extracted in {time.perf_counter() - started:.1f} s", flush=True)
        return found

    def train_epoch(self, rate, epoch, on_step):
        """Returns: dict of loss, accuracy, learning_rate."""
        if self.kind.frozen:
            return train_classifier_epoch(self.network.fc, *self.features["train"], self.criterion, self.optimizer, rate,
                                          batch_size=self.args.batch_size, seed=self.args.seed, epoch=epoch)
        return train_one_epoch(self.network, self.train, self.criterion, self.optimizer, rate, view=self.view,
                               seed=self.args.seed, epoch=epoch, amp=self.amp, on_step=on_step)

    @torch.no_grad()
    def logits(self, split):
        """Returns: (logits, labels) of "val" or "test"."""
        if self.kind.frozen:
            inputs, labels = self.features[split]
            return self.network.fc(inputs[0]), labels
        return predict(self.network, self.eval[split], self.view, self.amp)

    def evaluate(self):
        """Returns: dict of val_ and test_ metrics, without val_ where nothing is held out."""
        result = {}
        for split, batches in self.eval.items():
            if len(batches):
                for name, value in metrics(*self.logits(split), self.criterion).items():
                    result[f"{split}_{name}"] = value
        return result


def main(argv=None):
    """Parse, build, loop over epochs, write."""
    args = parse(argv)
    device = utils.open_device(args.device)
    task = Task(args, MODEL_TYPES[args.model_type], device)
    ratio = task.backbone.trained_as.get("sample_ratio")
    run = utils.run_name(args.data, args.optimizer, args.lr, args.batch_size, ratio, args.label_ratio, args.seed)
    folder = args.output_dir / "checkpoint" / args.model_type / run
    first = 1
    best = -1.0
    if args.resume:
        state = checkpoint.read(folder / "last.pth")
        utils.check_resume(state, args)
        task.network.load_state_dict(state["model"])
        task.optimizer.load_state_dict(state["optimizer"])
        first, best = state["epoch"] + 1, state["best"]
    utils.write_config(folder / "config.yml", args)
    log = utils.CsvLog(args.output_dir / "res" / f"{args.model_type}_{run}.csv", COLUMNS, first - 1)
    board = TensorBoardLog(args.output_dir / "runs" / args.model_type / run, first - 1)
    steps = len(task.train)
    print(f"{args.model_type} on {task.images} images of {args.data} at {task.backbone.image_size} px, "
          f"{task.backbone.trained_as['stem']} stem, amp {task.amp}, {args.epochs} epochs of {steps} steps", flush=True)

    row = {}
    for epoch in range(first, args.epochs + 1):
        started = time.perf_counter()

        def rate(step, done=(epoch - 1) * steps):
            return learning_rate(done + step, args.epochs * steps, args.lr, round(args.warmup_epochs * steps),
                                 args.scheduler, args.milestones)

        with tqdm(total=steps, desc=f"epoch {epoch}", leave=False, disable=None) as bar:
            result = task.train_epoch(rate, epoch, lambda step: bar.update())
        rate_seconds = time.perf_counter() - started
        scores = task.evaluate()
        seconds = time.perf_counter() - started
        scores.pop("val_top5_accuracy", None)
        row = {"epoch": epoch, "learning_rate": result["learning_rate"], "train_loss": result["loss"],
               "train_accuracy": result["accuracy"], **scores,
               "images_per_second": round(task.images / rate_seconds, 1), "seconds": round(seconds, 3)}
        chosen = scores.get("val_accuracy", float(epoch))
        state = {"model": task.network.state_dict(), "optimizer": task.optimizer.state_dict(), "epoch": epoch,
                 "best": max(best, chosen), "config": utils.plain_config(args), "classes": list(task.classes),
                 "trained_as": {**task.backbone.trained_as, "image_size": task.backbone.image_size}}
        if chosen > best and "val_accuracy" in scores:
            checkpoint.save(folder / "best.pth", state)
        best = max(best, chosen)
        checkpoint.save(folder / "last.pth", state)
        log.write(row)
        board.row(row)
        if not task.kind.frozen or epoch in (first, args.epochs) or epoch % 10 == 0:
            print(f"epoch {epoch}/{args.epochs}: loss {row['train_loss']:.4f}, train {row['train_accuracy']:.4f}, "
                  + (f"validation {row['val_accuracy']:.4f}, " if "val_accuracy" in row else "")
                  + f"test {row['test_accuracy']:.4f}, {row['images_per_second']:.0f} images/s, {seconds:.1f} s", flush=True)
    if row:
        finish(board, task, row, args)
    print(f"checkpoint: {folder / 'last.pth'}")


def finish(board, task, row, args):
    """After training: confusion matrix, wrong predictions, settings and final figures."""
    logits, labels = task.logits("test")
    predicted = logits.argmax(1)
    board.confusion(labels, predicted, len(task.classes), row["epoch"])
    wrong = (predicted != labels).cpu().nonzero()[:64, 0].numpy()
    if len(wrong):
        images = torch.from_numpy(task.eval["test"].images[wrong]).to(task.eval["test"].device)
        board.images("wrong_predictions", task.view(images, None), task.backbone.mean, task.backbone.std, row["epoch"])
    board.finish(utils.plain_config(args), {k: v for k, v in row.items() if k.endswith("accuracy")})


if __name__ == "__main__":
    raise SystemExit(utils.run_program(main))
