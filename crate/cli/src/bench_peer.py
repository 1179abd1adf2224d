"""The peer of `rethink bench`: the same models, batches and updates in PyTorch, eager.

Runs behind the text of models/torch_models.py and the lists MODELS and PHOTOGRAPHS, which rethink adds. Reads lines "MODEL STEPS" from standard input and answers each
with the seconds that STEPS training steps took, and the most memory (bytes) since the model was built, where
Linux tells it. Arguments: threads, device, "float32" or "tf32". Every model is built once, at its first line; two
steps of each are not counted.
"""
import sys
import time

DEVICE = sys.argv[2]  # "cpu", "cuda:0"


class Trainer:
    def __init__(self, name):
        large = name in PHOTOGRAPHS
        side, classes, self.batch, count = (299, 1000, 8, 32) if large else (28, 10, 128, 4096)
        self.images = torch.randn(count, 3, side, side)
        self.labels = torch.randint(classes, (count,))
        self.model = MODELS[name]().to(DEVICE)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9)
        self.run(2)

    def run(self, steps):
        start = time.perf_counter()
        order = torch.randperm(len(self.labels))
        for step in range(steps):
            at = step * self.batch % len(self.labels)
            batch = order[at : at + self.batch]
            # On a GPU, batches are gathered here and sent there, as ours are.
            images, labels = self.images[batch].to(DEVICE), self.labels[batch].to(DEVICE)
            value = loss(self.model(images), labels)
            self.optimizer.zero_grad()
            value.backward()
            self.optimizer.step()
            value.item()  # our trainer, too, reads the loss of every step
        return time.perf_counter() - start


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak():
    if DEVICE != "cpu":
        return ""  # a card's memory is not the process's
    try:
        with open("/proc/self/status") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return ""


def main():
    torch.set_num_threads(int(sys.argv[1]))
    # PyTorch's own default rounds convolutions, but not matrix products.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = sys.argv[3] == "tf32"
    name = trainer = None
    where = "" if DEVICE == "cpu" else f" on {torch.cuda.get_device_name(DEVICE)}"
    print(f"PyTorch {torch.__version__}{where}, {torch.get_num_threads()} threads", flush=True)
    for line in sys.stdin:
        wanted, steps = line.split()
        if wanted != name:
            trainer = None  # the last model's memory first
            forget_peak()
            name, trainer = wanted, Trainer(wanted)
        print(trainer.run(int(steps)), peak(), flush=True)


main()
