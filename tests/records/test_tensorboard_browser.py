"""What a browser shows of a small grid's TensorBoard; skipped where Chromium or its driver is not installed.

    SCREENSHOTS=/tmp python -m pytest tests/records/test_tensorboard_browser.py      keeps a picture of each tab
"""

import base64
import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.common import ROOT, environment

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
WAIT_SECONDS = 90  # for a page, at most
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no Chromium with chromedriver is installed")

LINEAR = "SelfSupervisedPretrained/digits-adam-lr0.01-bs16-fromdigits-ratio0.2"
PRETRAINING = "SelfSupervisedPretraining/digits-adam-lr0.01-bs64-ratio0.2"
GRID = [f"Supervised/digits-sgd-lr{lr}-bs32-labels0.3" for lr in ("0.01", "0.001")]
# Elements of a page, those in shadow roots, too
DEEP = """const deep = (node, found = []) => { for (const root of [node, node.shadowRoot]) if (root)
    for (const child of root.children) { found.push(child); deep(child, found); } return found; };"""


def run(*command, **variables):
    subprocess.run(list(map(str, command)), cwd=ROOT, env=environment(OMP_NUM_THREADS="1", **variables), check=True,
                   timeout=300, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A grid of two cells, a pre-training, and a linear classifier on it that was resumed."""
    found = tmp_path_factory.mktemp("grid")
    common = ["--data", "digits", "--output-dir", found, "--optimizer", "adam", "--lr", "0.01"]
    run("python", "pretrain.py", *common, "--batch-size", "64", "--epochs", "1", "--sample-ratio", "0.2")
    linear = ["python", "train.py", *common, "--model-type", "SelfSupervisedPretrained", "--batch-size", "16"]
    run(*linear, "--epochs", "2")
    run(*linear, "--epochs", "4", "--resume")
    run("bash", "grid_search/supervised_grid_search.sh", "--output-dir", found, "--epochs", "1", "--label-ratio", "0.3",
        DATA="digits", OPTIMIZERS="sgd", LRS="0.01 0.001", BATCH_SIZES="32")
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def call(url, method="GET", body=None):
    """Send JSON, return the JSON that comes back."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        return json.load(answer)


def wait_for(function, what):
    """Ask until the answer is true. Returns: it."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        try:
            found = function()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {WAIT_SECONDS} s")


class Browser:
    """A headless Chromium with the TensorBoard of some runs, driven as WebDriver (W3C) describes."""

    def __init__(self, address, driver):
        self.address = address
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1100",
                     "--enable-unsafe-swiftshader"]  # the projector's WebGL without a GPU
        options = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments, "binary": BROWSER}}}
        session = call(f"{driver}/session", "POST", {"capabilities": options})["value"]["sessionId"]
        self.session = f"{driver}/session/{session}"

    def post(self, what, **body):
        return call(f"{self.session}/{what}", "POST", body)["value"]

    def script(self, code, *arguments):
        return self.post("execute/sync", script=DEEP + code, args=list(arguments))

    def open(self, tab, *texts):
        """Open a tab and wait until it shows these texts. Returns: all that it shows."""
        self.post("frame", id=None)
        self.post("url", url="about:blank")
        self.post("url", url=f"{self.address}/#{tab}")
        shown = wait_for(lambda: (lambda text: text if all(part in text for part in texts) else "")(self.text()),
                         f"{tab} with {texts}")
        self.picture(tab)
        return shown

    def text(self):
        """The texts of the page's elements, without those that are hidden."""
        return self.script("""return deep(document.body).filter(
            e => !/^(SCRIPT|STYLE|TEMPLATE|NOSCRIPT)$/.test(e.tagName) && e.getClientRects().length)
            .flatMap(e => [...e.childNodes, ...(e.shadowRoot || {childNodes: []}).childNodes])
            .filter(n => n.nodeType == Node.TEXT_NODE).map(n => n.data.trim()).filter(Boolean).join('\\n')""")

    def fetch(self, path):
        """What TensorBoard answers to its own page."""
        return self.script(f"""const request = new XMLHttpRequest(); request.open('GET', {path!r}, false);
            request.send(); return JSON.parse(request.responseText)""")

    def picture(self, name):
        if "SCREENSHOTS" in os.environ:
            png = base64.b64decode(call(f"{self.session}/screenshot")["value"])
            (Path(os.environ["SCREENSHOTS"]) / f"{name}.png").write_bytes(png)


@pytest.fixture(scope="module")
def browser(folder):
    ports = free_port(), free_port()
    address, driver = (f"http://127.0.0.1:{port}" for port in ports)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "runs"), "--host",
                                 "127.0.0.1", "--port", str(ports[0])], **quiet),
               subprocess.Popen([DRIVER, f"--port={ports[1]}"], **quiet)]
    found = None
    try:
        wait_for(lambda: call(f"{driver}/status")["value"]["ready"], "chromedriver")
        runs = {LINEAR, PRETRAINING, *GRID}
        wait_for(lambda: runs <= set(call(f"{address}/data/runs")), "TensorBoard with all runs")
        found = Browser(address, driver)
        yield found
    finally:
        if found:
            call(found.session, "DELETE")
        for process in started:
            process.terminate()
            process.wait(20)


def rows(folder, name):
    with open(folder / "res" / f"{name.replace('/', '_')}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_curves_of_every_run(browser):
    shown = browser.open("timeseries", LINEAR, PRETRAINING, *GRID, "augmented_views", "confusion_matrix")
    assert "No dashboards are active" not in shown
    browser.open("scalars", LINEAR, PRETRAINING, *GRID, "contrast_accuracy", "final/val_accuracy")


def test_a_resumed_curve_has_each_epoch_once(browser, folder):
    points = browser.fetch(f"data/plugin/scalars/scalars?run={LINEAR}&tag=val_accuracy")
    written = rows(folder, LINEAR)
    assert [step for _, step, _ in points] == [1, 2, 3, 4] == [int(row["epoch"]) for row in written]
    assert [value for *_, value in points] == pytest.approx([float(row["val_accuracy"]) for row in written])


def test_a_grid_can_be_compared_by_what_differs(browser, folder):
    shown = browser.open("hparams", LINEAR, PRETRAINING, *GRID, "Trial ID", "final/val_accuracy").split("\n")
    table = shown[shown.index("TABLE VIEW") if "TABLE VIEW" in shown else shown.index("Trial ID"):]
    assert {"batch_size", "lr", "model_type"} <= set(table)
    assert {"final/val_accuracy", "final/test_accuracy"} <= set(table)
    assert not {"debug", "output_dir", "workers", "resume"} & set(shown)
    for name in (LINEAR, *GRID):
        assert any(text.startswith(f"{float(rows(folder, name)[-1]['val_accuracy']):.4g}") for text in table), name


def test_the_pictures_are_there(browser):
    tags = ["augmented_views", "confusion_matrix", "most_wrong"]
    browser.open("images", *tags)
    loaded = wait_for(lambda: browser.script("""return deep(document.body).filter(
        e => e.tagName == 'IMG' && e.src.includes('individualImage') && e.naturalWidth >= 300).length"""), "images")
    assert loaded >= len(tags) - 1  # the last group is folded up while there are many


def test_the_projector_shows_names_and_thumbnails(browser, folder):
    browser.open("projector")
    for _ in range(2):  # a frame in a frame
        frame = wait_for(lambda: browser.script("return deep(document.body).find(e => e.tagName == 'IFRAME')"), "frame")
        browser.post("frame", id=frame)
    names, = folder.glob(f"runs/{LINEAR}/00004/test_features/metadata.tsv")
    points = len(names.read_text().splitlines())
    wait_for(lambda: f"Points: {points} Dimension: 512" in " ".join(browser.text().split()), f"{points} points")
    wanted = {"metadata", "sprite_image", "tensor"}
    loaded = wait_for(lambda: browser.script("""return performance.getEntriesByType('resource').filter(
        e => e.responseStatus == 200).map(e => e.name)"""), "its files")
    assert wanted <= {part for part in wanted for name in loaded if f"/{part}?" in name}
    time.sleep(2)
    browser.picture("projector")
