"""The paper's networks in PyTorch, layer for layer as in this folder: the peer of `rethink bench`, and what
the tests' fixtures are computed with; which of them is which network, its description in this folder says. Modules are
made in the order in which rethink numbers its parameters."""
import torch
from torch import nn
from torch.nn import functional as F


def same(x, kernel, stride):
    """TensorFlow's SAME padding: of an odd number of zeros, one more below and to the right."""
    pads = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1]):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return pads


class Conv(nn.Module):
    """Convolution, batch norm with a shift only (epsilon 1e-3) or a bias, ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding="same", normalised=True):
        super().__init__()
        self.kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        self.stride, self.same = (stride, stride), padding == "same"
        # Symmetric padding is the convolution's own: no copy of the input.
        self.own = self.same and stride == 1
        self.conv = nn.Conv2d(inputs, outputs, self.kernel, stride, bias=not normalised,
                              padding=tuple(k // 2 for k in self.kernel) if self.own else 0)
        self.norm = None
        if normalised:
            self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
            self.norm.weight.requires_grad = False

    def forward(self, x):
        if self.same and not self.own:
            x = F.pad(x, same(x, self.kernel, self.stride))
        x = self.conv(x)
        return F.relu(x if self.norm is None else self.norm(x), inplace=True)


class MaxPool(nn.Module):
    def __init__(self, padding="same"):
        super().__init__()
        self.same = padding == "same"

    def forward(self, x):
        if self.same:
            # What lies beyond the edge does not count.
            x = F.pad(x, same(x, (3, 3), (2, 2)), value=float("-inf"))
        return F.max_pool2d(x, 3, 2)


def mean_pool():
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


class Branches(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(b if isinstance(b, nn.Module) else nn.Sequential(*b) for b in branches)

    def forward(self, x):
        return torch.cat([b(x) for b in self.branches], 1)


class LRN(nn.Module):
    """Window of 9, alpha 0.001/9 (PyTorch divides by the window once more), beta 0.75, k 1."""

    def forward(self, x):
        return F.local_response_norm(x, 9, alpha=0.001, beta=0.75, k=1.0)


class ByPixel(nn.Module):
    """Flattens pixel by pixel, as TensorFlow does."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class GlobalMean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def mlp(hidden, inputs=3 * 28 * 28, classes=10):
    layers = [nn.Flatten()]
    for units in hidden:
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


def alexnet(classes=10):
    return nn.Sequential(
        Conv(3, 64, 5, normalised=False), MaxPool(), LRN(),
        Conv(64, 64, 5, normalised=False), MaxPool(), LRN(), ByPixel(),
        nn.Linear(7 * 7 * 64, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, classes),
    )


def inception(normalised=True, classes=10):
    layers, width = [Conv(3, 96, 3, normalised=normalised)], 96
    for ones, threes in [(32, 32), (32, 48), (0, 80), (112, 48), (96, 64), (80, 80), (48, 96), (0, 96),
                         (176, 160), (176, 160)]:
        if ones:
            layers.append(Branches(Conv(width, ones, 1, normalised=normalised),
                                   Conv(width, threes, 3, normalised=normalised)))
            width = ones + threes
        else:
            layers.append(Branches(Conv(width, threes, 3, 2, normalised=normalised), MaxPool()))
            width += threes
    return nn.Sequential(*layers, GlobalMean(), nn.Linear(width, classes))


class InceptionV3(nn.Module):
    """`head`: pixels a side before the auxiliary classifier, fewer than 5 for images smaller than 299; `width`:
    factor on all channels."""

    def __init__(self, classes=1000, auxiliary=False, dropout=0.2, head=5, width=1.0, normalised=True):
        super().__init__()

        def scaled(channels):
            return channels if channels == 3 else round(channels * width)

        def conv(inputs, outputs, kernel, stride=1, padding="same"):
            return Conv(scaled(inputs), scaled(outputs), kernel, stride, padding, normalised)

        def wide(inputs, pooled):
            return Branches(
                [conv(inputs, 64, 1)],
                [conv(inputs, 48, 1), conv(48, 64, 5)],
                [conv(inputs, 64, 1), conv(64, 96, 3), conv(96, 96, 3)],
                [mean_pool(), conv(inputs, pooled, 1)],
            )

        def middle(c):
            high, low = (7, 1), (1, 7)
            return Branches(
                [conv(768, 192, 1)],
                [conv(768, c, 1), conv(c, c, low), conv(c, 192, high)],
                [conv(768, c, 1), conv(c, c, high), conv(c, c, low), conv(c, c, high), conv(c, 192, low)],
                [mean_pool(), conv(768, 192, 1)],
            )

        def narrow(inputs):
            def both(c):
                return Branches(conv(c, 384, (1, 3)), conv(c, 384, (3, 1)))
            return Branches(
                [conv(inputs, 320, 1)],
                [conv(inputs, 384, 1), both(384)],
                [conv(inputs, 448, 1), conv(448, 384, 3), both(384)],
                [mean_pool(), conv(inputs, 192, 1)],
            )

        self.stem = nn.Sequential(
            conv(3, 32, 3, 2, "valid"), conv(32, 32, 3, 1, "valid"), conv(32, 64, 3), MaxPool("valid"),
            conv(64, 80, 1), conv(80, 192, 3, 1, "valid"), MaxPool("valid"),
            wide(192, 32), wide(256, 64), wide(288, 64),
            Branches([conv(288, 384, 3, 2, "valid")],
                     [conv(288, 64, 1), conv(64, 96, 3), conv(96, 96, 3, 2, "valid")],
                     [MaxPool("valid")]),
            middle(128), middle(160), middle(160), middle(192),
        )
        self.auxiliary = nn.Sequential(
            nn.AvgPool2d(5, 3), conv(768, 128, 1), conv(128, 768, head, 1, "valid"), ByPixel(),
            nn.Linear(scaled(768), classes),
        ) if auxiliary else None
        self.end = nn.Sequential(
            Branches([conv(768, 192, 1), conv(192, 320, 3, 2, "valid")],
                     [conv(768, 192, 1), conv(192, 192, (1, 7)), conv(192, 192, (7, 1)),
                      conv(192, 192, 3, 2, "valid")],
                     [MaxPool("valid")]),
            narrow(1280), narrow(2048),
            GlobalMean(), nn.Dropout(dropout), nn.Linear(scaled(2048), classes),
        )

    def forward(self, x):
        x = self.stem(x)
        if self.training and self.auxiliary is not None:
            return self.end(x), self.auxiliary(x)
        return self.end(x)


def loss(outputs, labels):
    """Cross-entropy; the auxiliary classifier's counts 0.4 times."""
    if isinstance(outputs, tuple):
        return F.cross_entropy(outputs[0], labels) + 0.4 * F.cross_entropy(outputs[1], labels)
    return F.cross_entropy(outputs, labels)


# The paper's networks by name, for programs that read this file alone; `rethink bench` adds the list of its own networks.
MODELS = {
    "mlp1x512": lambda: mlp([512]),
    "mlp3x512": lambda: mlp([512, 512, 512]),
    "alexnet": alexnet,
    "inception": inception,
    "inception-no-bn": lambda: inception(normalised=False),
    "inception-v3": InceptionV3,
    "inception-v3-aux": lambda: InceptionV3(auxiliary=True),
}
