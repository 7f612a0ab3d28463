"""Which columns a table of results needs: what sets its rows apart, and what they share."""

from conf.values import usual_warmup
from records.setting import BEHIND, DIGEST_SIGNS, text
from reporting.style import ratio_text

DIGESTS = ("images", "weights digest")  # ends of names of settings that are digests
HEADINGS = {"lr": "learning rate", "sample_ratio": "pre-training sample ratio",
            "images": "images (digest)", "test images": "test images (digest)",
            "validation images": "validation images (digest)",
            "record": "settings recorded"}
SHARED = "optimizer", "lr", "batch_size", "sample_ratio", "epochs", "image_size"  # worth a word
# What is left out where others tell it: the mean of a method's weights, the kind of pre-training
FOLLOWS = {"model_type": ("",), "mean": ("", "weights"), "std": ("", "weights"),
           "test images": ("images",), "validation images": ("images", "val_ratio", "val_seed"),
           "store_size": ("image_size",),
           "pretrained_model_path": ("", "sample_ratio")}


def told(result):
    """{name: text} of all that sets rows apart, the same two only for equal settings."""
    setting = result.setting
    found = {"model_type": setting.model_type, "data": setting.data,
             "label_ratio": f"{setting.labels:.15g}", "optimizer": setting.optimizer}
    if setting.lr is not None:
        found.update(lr=f"{setting.lr:.15g}", batch_size=f"{setting.batch_size}")
    if setting.ratio is not None:
        found["sample_ratio"] = ratio_text(setting)
    planned, more = f"{max(run.planned for run in result.runs)}", dict(setting.more)
    said = more.pop("epochs", "none")
    if more.get("weights") == "run":  # two pre-trainings, one of which goes on from another
        more.setdefault(f"{BEHIND}weights", "none")
    odd = {"epochs as written": said} if said != planned else {}  # no number, or missing
    return {**found, "epochs": planned, **more, **odd}


def heading(name):
    """The heading of a column, e.g. `Pre-training crop scale`."""
    last = name.rsplit(BEHIND, 1)[-1]
    words = name.removesuffix(last) + HEADINGS.get(last, last.replace("_", " "))
    return words[:1].upper() + words[1:]


def apart(results, shown=("model_type",)):
    """The columns that set results apart.

    Args: shown: names that the table has anyway.
    Returns: {name: [a text for each result]}: names for which two of the results have two values,
        and then as many others as it takes until no two rows look the same.
    """
    rows = [told(result) for result in results]
    names = list(dict.fromkeys(name for row in rows for name in row))
    varied = {name for name in names if name not in shown
              and len({row[name] for row in rows if name in row}) > 1
              and not _follows(name, rows)}
    columns = {name: _texts(name, rows) for name in names if name in varied}
    for name in names:
        looks = _looks(rows, shown, columns)
        if len(set(looks)) == len(rows):
            break
        if name not in columns and name not in shown:
            more = {**columns, name: _texts(name, rows)}
            if len(set(_looks(rows, shown, more))) > len(set(looks)):
                columns = more
    return {name: columns[name] for name in names if name in columns}


def _looks(rows, shown, columns):
    """What of each row is to be seen."""
    return [(*(row.get(name) for name in shown), *(texts[place] for texts in columns.values()))
            for place, row in enumerate(rows)]


def _follows(name, rows):
    """Whether a column says nothing that others do not."""
    last = name.rsplit(BEHIND, 1)[-1]
    before = name.removesuffix(last)
    if last == "warmup_epochs":
        return all(row[name] == _warmup(row.get(f"{before}epochs")) for row in rows if name in row)
    if last not in FOLLOWS:
        return False
    keys = [tuple(row.get(before + key if key else "model_type") for key in FOLLOWS[last])
            for row in rows if name in row]
    return len(set(keys)) == len({*zip(keys, (row[name] for row in rows if name in row))})


def _warmup(epochs):
    return text(usual_warmup(int(epochs))) if (epochs or "").isdecimal() else None


def _texts(name, rows):
    """The cells of a column; digests as short as still tells them apart."""
    texts = [row.get(name, "-") for row in rows]
    if name.endswith(DIGESTS):
        length = next((length for length in range(DIGEST_SIGNS, 64) if len(
            {text[:length] for text in texts}) == len(set(texts))), None)
        return [text[:length] for text in texts]
    return texts


def shared(results, columns):
    """A line on what all rows have in common and no column tells; "" where that is nothing."""
    rows = [told(result) for result in results]
    words = {"lr": "learning rate {}", "batch_size": "batch size {}", "epochs": "{} epochs",
             "sample_ratio": "pre-training sample ratio {}", "image_size": "{} px"}
    parts = []
    for name in SHARED:
        values = {row.get(name) for row in rows}
        some = None in values and name in ("lr", "batch_size", "sample_ratio")  # not all have one
        values -= {None} if some else set()
        if name not in columns and len(values) == 1 and values != {None}:
            (value,) = values
            word = "{} epoch" if (name, value) == ("epochs", "1") else words.get(name, "{}")
            parts.append(word.format(value) + " where there is one" * some)
    return f"All rows: {', '.join(parts)}." if parts else ""


def names_of(results):
    """A text for each result that tells it from the others: its method, and what else it takes."""
    columns, names = apart(results), []
    for place, result in enumerate(results):
        method, parts = result.setting.model_type, [result.setting.model_type]
        alike = {other for other, each in enumerate(results) if each.setting.model_type == method}
        while len(alike) > 1:
            kept = {name: {other for other in alike if texts[other] == texts[place]}
                    for name, texts in columns.items()}
            best = min((name for name in kept if len(kept[name]) < len(alike)), default=None,
                       key=lambda name: (columns[name][place] == "-", len(kept[name])))
            if best is None:
                break
            parts.append(f"{heading(best).lower()} {columns[best][place]}")
            alike = kept[best]
        names.append(", ".join(parts))
    return names
