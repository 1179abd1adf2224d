"""The peer of `rethink bench`: the same models, batches and updates in PyTorch, eager, float32.

Reads lines "MODEL STEPS" from standard input and answers each with the seconds that STEPS training
steps took. Every model is built once, at its first line; two steps of each are not counted.
"""
import sys
import time

import torch
from torch import nn

BATCH, IMAGES = 128, 4096


def mlp(*hidden):
    layers, width = [nn.Flatten()], 3 * 28 * 28
    for units in hidden:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, 10))


MODELS = {
    "mlp1x512": lambda: mlp(512),
    "mlp3x512": lambda: mlp(512, 512, 512),
}


class Trainer:
    def __init__(self, name):
        self.images = torch.randn(IMAGES, 3, 28, 28)
        self.labels = torch.randint(10, (IMAGES,))
        self.model = MODELS[name]()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.loss = nn.CrossEntropyLoss()
        self.run(2)

    def run(self, steps):
        start = time.perf_counter()
        order = torch.randperm(IMAGES)
        for step in range(steps):
            at = step * BATCH % IMAGES
            batch = order[at : at + BATCH]
            loss = self.loss(self.model(self.images[batch]), self.labels[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss.item()  # our trainer, too, reads the loss of every step
        return time.perf_counter() - start


def main():
    torch.set_num_threads(int(sys.argv[1]))
    trainers = {}
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for line in sys.stdin:
        name, steps = line.split()
        if name not in trainers:
            trainers[name] = Trainer(name)
        print(trainers[name].run(int(steps)), flush=True)


main()
