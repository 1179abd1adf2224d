"""The peer of `rethink bench`: the same models, batches and updates in PyTorch.

Runs behind the text of models/torch_models.py and the lists MODELS and PHOTOGRAPHS, which rethink adds. Says what it is and, in a second
line, in which variants it trains: "eager", "channels_last", "compiled" (where torch.compile finds a C++ compiler),
"compiled+channels_last", and the same behind "bf16+", under automatic mixed precision, where the processor or the card has bfloat16. Then reads
lines "MODEL VARIANT STEPS" from standard input and answers each with the seconds that STEPS training steps took, and the most memory
(bytes) since the model was built, where Linux tells it; "failed" and why, where the variant does not run. Arguments: threads, device,
"float32" or "tf32". A model is built at its first line after another one; two steps are not counted.
"""
import contextlib
import os
import shutil
import sys
import time

DEVICE = sys.argv[2]  # "cpu", "cuda:0"


def variants():
    found = ["eager", "channels_last"]
    if shutil.which(os.environ.get("CXX", "g++")):
        found += ["compiled", "compiled+channels_last"]
    if DEVICE == "cpu":
        halves = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    else:
        halves = torch.cuda.is_bf16_supported()
    return found + ["bf16+" + variant for variant in found if halves]


class Trainer:
    def __init__(self, name, variant):
        parts = variant.split("+")
        large = name in PHOTOGRAPHS
        side, classes, self.batch, count = (299, 1000, 8, 32) if large else (28, 10, 128, 4096)
        self.images = torch.randn(count, 3, side, side)
        self.labels = torch.randint(classes, (count,))
        self.model = MODELS[name]().to(DEVICE)
        self.format = torch.contiguous_format
        if "channels_last" in parts:
            self.format = torch.channels_last
            self.model = self.model.to(memory_format=self.format)
        self.mixed = (
            (lambda: torch.autocast(DEVICE.split(":")[0], torch.bfloat16))
            if "bf16" in parts
            else contextlib.nullcontext
        )
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9)
        self.call = self.model
        if "compiled" in parts:
            torch._dynamo.reset()  # after so many models it would compile no more
            if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":
                from torch._inductor import config as inductor

                inductor.cpp.simdlen = 256
            self.call = torch.compile(self.model)
        self.run(2)

    def run(self, steps):
        start = time.perf_counter()
        order = torch.randperm(len(self.labels))
        for step in range(steps):
            at = step * self.batch % len(self.labels)
            batch = order[at : at + self.batch]
            # On a GPU, batches are gathered here and sent there, as ours are.
            images = self.images[batch].to(DEVICE, memory_format=self.format)
            labels = self.labels[batch].to(DEVICE)
            with self.mixed():
                value = loss(self.call(images), labels)
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
    built = trainer = None
    where = "" if DEVICE == "cpu" else f" on {torch.cuda.get_device_name(DEVICE)}"
    print(f"PyTorch {torch.__version__}{where}, {torch.get_num_threads()} threads", flush=True)
    print(*variants(), flush=True)
    for line in sys.stdin:
        name, variant, steps = line.split()
        try:
            if (name, variant) != built:
                built = trainer = None  # the last model's memory first
                forget_peak()
                trainer = Trainer(name, variant)
                built = name, variant
            print(trainer.run(int(steps)), peak(), flush=True)
        except Exception as error:
            print("failed", " ".join(str(error).split())[:300], flush=True)


main()
