"""SimCLR pre-training, images per second: the whole loop, the network's step alone, and a peer's loop.

    python tests/benchmarks/bench_pretrain.py [--quick] [--peer FOLDER] [--device cuda --threads 16 --steps 100]

All sides: ResNet-18 with the 7x7 stem, batches of 128, Adam, the same images in memory. The network alone runs on
tensors that are there already. The peer's loop runs as it is, with its own transform and a worker for each thread; on
a GPU in its own mixed precision. FOLDER: a checkout of github.com/sthalles/SimCLR.
"""


import measure
from bench_loop import Loop

PEER_REQUIRED = {32: 3, 64: 2.5, 96: 2.5}  # ratio by px a side
ALONE_REQUIRED = 0.93
WARM_STEPS = 2
PEER = """
import os, sys, tempfile, time, types, warnings
sys.path[:0] = sys.argv[1:3]
warnings.simplefilter("ignore")
import torch
import per_image
from data_aug.contrastive_learning_dataset import ContrastiveLearningDataset
from models.resnet_simclr import ResNetSimCLR
from simclr import SimCLR
size, steps, warm, threads = map(int, sys.argv[4:])
device, cuda = sys.argv[3], sys.argv[3] != "cpu"
torch.set_num_threads(threads)
os.chdir(tempfile.mkdtemp())
transform = per_image.TwoViews(ContrastiveLearningDataset.get_simclr_pipeline_transform(size))
dataset = per_image.PerImage(per_image.some_images(2048, size), transform, (steps + warm) * per_image.BATCH_SIZE)
loader = torch.utils.data.DataLoader(dataset, per_image.BATCH_SIZE, shuffle=True, num_workers=threads, drop_last=True,
                                     pin_memory=cuda)
times = []
def timed():
    for batch in loader:
        times.append(time.perf_counter())
        yield batch
    if cuda:
        torch.cuda.synchronize()
    times.append(time.perf_counter())
class Timed:
    def __iter__(self): return timed()
    def __len__(self): return len(loader)
model = ResNetSimCLR("resnet18", 128).to(device)
args = types.SimpleNamespace(device=device, batch_size=per_image.BATCH_SIZE, n_views=2, temperature=0.5, epochs=1,
                             fp16_precision=cuda, disable_cuda=not cuda, log_every_n_steps=100, arch="resnet18")
optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-4)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
SimCLR(args=args, model=model, optimizer=optimizer, scheduler=scheduler).train(Timed())
print(steps * per_image.BATCH_SIZE / (times[-1] - times[warm]))
"""


def compare(size, arguments):
    """Print the lines of one size."""
    ours = Loop(True, size, "7x7", arguments.steps, device=arguments.device)
    sides = {"whole loop": ours.whole, "network alone": ours.alone}
    if arguments.peer:
        command = ["-c", PEER, arguments.peer, measure.ROOT / "tests/benchmarks", arguments.device, size,
                   arguments.steps, WARM_STEPS, arguments.threads]
        sides["the peer's loop"] = lambda: float(measure.run(command).split()[-1])
    found = measure.alternate(sides, arguments.rounds)
    for name, required in (("network alone", ALONE_REQUIRED), ("the peer's loop", PEER_REQUIRED.get(size))):
        if name in found:
            pair = {"whole loop": found["whole loop"], name: found[name]}
            measure.report(f"SimCLR pre-training, {size} px", pair, "images/s", required)


def main(argv=None):
    """Measure every size."""
    parser = measure.parser(__doc__, rounds=3)
    parser.add_argument("--peer", help="checkout of the well-known SimCLR code")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(PEER_REQUIRED), help="px a side")
    parser.add_argument("--steps", type=int, default=10, help="of each side and round")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.steps = 2
    measure.start(arguments)
    for size in arguments.sizes:
        compare(size, arguments)


if __name__ == "__main__":
    main()
