"""Makes a Piper voice of the true shape and size of a medium one, with random weights, for measuring only.

    python make_voice.py VOICE.onnx

The graph is that of VITS as Piper exports it (opset 15): text encoder with relative attention, stochastic duration
predictor, coupling flows, HiFi-GAN decoder with resblocks of type 2. What it says is noise; how long it takes is real.
"""

import json
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HIDDEN, FILTER, LAYERS, HEADS, WINDOW, SYMBOLS = 192, 768, 6, 2, 4, 256
UPSAMPLE = [(8, 16), (8, 16), (4, 8)]
RESBLOCKS = [(3, (1, 2)), (5, (2, 6)), (7, (3, 12))]
BINS, TAIL = 10, 5.0
# Natural logarithm of the frames that a phoneme id takes: about two, the pace of speech.
LOG_FRAMES = 0.35

random = np.random.default_rng(1)


class Graph:
    """Nodes in order; every method gives the name of what it made."""

    def __init__(self):
        self.nodes, self.weights, self.count, self.scope = [], [], 0, ""

    def op(self, kind, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"{self.scope}/{kind}_{self.count}_output_{n}" for n in range(outputs)]
        node = helper.make_node(kind, list(inputs), names, f"{self.scope}/{kind}_{self.count}", **attributes)
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def constant(self, value, dtype=np.float32):
        self.count += 1
        name = f"const_{self.count}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, *shape, gain=1.0):
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(random.standard_normal(shape) * gain / np.sqrt(fan_in))

    def ints(self, *values):
        return self.constant(values, np.int64)

    def conv(self, x, inputs, outputs, kernel=1, dilation=1, groups=1, gain=1.0, bias=None):
        weight = self.weight(outputs, inputs // groups, kernel, gain=gain)
        bias = self.constant(np.zeros(outputs) if bias is None else bias)
        pad = (kernel - 1) * dilation // 2
        return self.op("Conv", x, weight, bias, dilations=[dilation], group=groups, kernel_shape=[kernel],
                       pads=[pad, pad], strides=[1])

    def norm(self, x):
        """Over channels, as opsets before 17 write it."""
        x = self.op("Transpose", x, perm=[0, 2, 1])
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        squares = self.op("ReduceMean", self.op("Pow", centred, self.constant(2.0)), axes=[-1])
        x = self.op("Div", centred, self.op("Sqrt", self.op("Add", squares, self.constant(1e-5))))
        x = self.op("Mul", x, self.constant(np.ones(HIDDEN)))
        x = self.op("Add", x, self.constant(np.zeros(HIDDEN)))
        return self.op("Transpose", x, perm=[0, 2, 1])

    def gelu(self, x):
        erf = self.op("Erf", self.op("Div", x, self.constant(np.sqrt(2.0))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, self.constant(1.0))), self.constant(0.5))

    def size(self, x, axis):
        """As a vector of one."""
        return self.op("Gather", self.op("Shape", x), self.ints(axis), axis=0)

    def mask(self, lengths, size):
        steps = self.op("Range", self.constant(0, np.int64), self.op("Squeeze", size), self.constant(1, np.int64))
        less = self.op("Less", self.op("Unsqueeze", steps, self.ints(0)), self.op("Unsqueeze", lengths, self.ints(1)))
        return self.op("Unsqueeze", self.op("Cast", less, to=TensorProto.FLOAT), self.ints(1))

    def shaped(self, x, *sizes):
        """Reshapes; sizes are numbers or names of vectors of one."""
        parts = [self.ints(size) if isinstance(size, int) else size for size in sizes]
        return self.op("Reshape", x, self.op("Concat", *parts, axis=0))

    def padded(self, x, rank, axis, before, after):
        """Pads one axis by vectors of one."""
        zeros = lambda count: [self.ints(*[0] * count)] if count else []
        pads = zeros(axis) + [before] + zeros(rank - 1) + [after] + zeros(rank - axis - 1)
        return self.op("Pad", x, self.op("Concat", *pads, axis=0), self.constant(0.0), mode="constant")

    def cut(self, x, axis, start, end):
        as_name = lambda value: self.ints(value) if isinstance(value, int) else value
        return self.op("Slice", x, as_name(start), as_name(end), self.ints(axis))


def attention(g, x, mask):
    length, width = g.size(x, 2), HIDDEN // HEADS
    heads = lambda y: g.op("Transpose", g.shaped(y, 1, HEADS, width, length), perm=[0, 1, 3, 2])
    query, key, value = (heads(g.conv(x, HIDDEN, HIDDEN)) for _ in range(3))
    query = g.op("Div", query, g.constant(np.sqrt(width)))
    scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 1, 3, 2]))
    one, twice = g.ints(1), g.op("Mul", length, g.ints(2))

    def relative():
        missing = g.op("Sub", length, g.ints(WINDOW + 1))
        pad = g.op("Max", missing, g.ints(0))
        start = g.op("Max", g.op("Neg", missing), g.ints(0))
        table = g.padded(g.weight(1, 2 * WINDOW + 1, width), 3, 1, pad, pad)
        return g.cut(table, 1, start, g.op("Sub", g.op("Add", start, twice), one))

    logits = g.op("MatMul", query, g.op("Transpose", g.op("Unsqueeze", relative(), g.ints(0)), perm=[0, 1, 3, 2]))
    # From relative positions to absolute ones.
    flat = g.shaped(g.padded(logits, 4, 3, g.ints(0), one), 1, HEADS, g.op("Mul", length, twice))
    flat = g.padded(flat, 3, 2, g.ints(0), g.op("Sub", length, one))
    square = g.shaped(flat, 1, HEADS, g.op("Add", length, one), g.op("Sub", twice, one))
    square = g.cut(g.cut(square, 2, 0, length), 3, g.op("Sub", length, one), 2**62)
    scores = g.op("Add", scores, square)
    pairs = g.op("Mul", g.op("Unsqueeze", mask, g.ints(2)), g.op("Unsqueeze", mask, g.ints(-1)))
    scores = g.op("Where", g.op("Equal", pairs, g.constant(0.0)), g.constant(-1e4), scores)
    weights = g.op("Softmax", scores, axis=3)
    mixed = g.op("MatMul", weights, value)
    # And back.
    wide = g.padded(weights, 4, 3, g.ints(0), g.op("Sub", length, one))
    extent = g.op("Add", g.op("Mul", length, length), g.op("Mul", length, g.op("Sub", length, one)))
    wide = g.padded(g.shaped(wide, 1, HEADS, extent), 3, 2, length, g.ints(0))
    wide = g.cut(g.shaped(wide, 1, HEADS, length, twice), 3, 1, 2**62)
    mixed = g.op("Add", mixed, g.op("MatMul", wide, g.op("Unsqueeze", relative(), g.ints(0))))
    mixed = g.shaped(g.op("Transpose", mixed, perm=[0, 1, 3, 2]), 1, HIDDEN, length)
    return g.conv(mixed, HIDDEN, HIDDEN)


def encoder(g, ids, mask):
    g.scope = "/enc_p"
    table = g.constant(random.standard_normal((SYMBOLS, HIDDEN)) / np.sqrt(HIDDEN))
    x = g.op("Mul", g.op("Gather", table, ids), g.constant(np.sqrt(HIDDEN)))
    x = g.op("Mul", g.op("Transpose", x, perm=[0, 2, 1]), mask)
    for _ in range(LAYERS):
        x = g.norm(g.op("Add", x, attention(g, x, mask)))
        y = g.op("Relu", g.conv(g.op("Mul", x, mask), HIDDEN, FILTER, 3))
        y = g.op("Mul", g.conv(g.op("Mul", y, mask), FILTER, HIDDEN, 3), mask)
        x = g.norm(g.op("Add", x, y))
    x = g.op("Mul", x, mask)
    means, logs = g.op("Split", g.op("Mul", g.conv(x, HIDDEN, 2 * HIDDEN), mask), outputs=2, axis=1)
    return x, means, g.op("Mul", logs, g.constant(0.1))


def separable(g, x, mask):
    for n in range(3):
        y = g.conv(g.op("Mul", x, mask), HIDDEN, HIDDEN, 3, dilation=3**n, groups=HIDDEN)
        y = g.gelu(g.norm(g.conv(g.gelu(g.norm(y)), HIDDEN, HIDDEN)))
        x = g.op("Add", x, y)
    return g.op("Mul", x, mask)


def edges(g, logits):
    """Borders of a spline's bins, and their sizes."""
    sizes = g.op("Add", g.op("Mul", g.op("Softmax", logits, axis=-1), g.constant(1 - 1e-3 * BINS)), g.constant(1e-3))
    sums = g.op("CumSum", sizes, g.constant(-1, np.int64))
    sums = g.op("Pad", sums, g.ints(0, 0, 0, 1, 0, 0, 0, 0), g.constant(0.0))
    borders = g.op("Sub", g.op("Mul", sums, g.constant(2 * TAIL)), g.constant(TAIL))
    return borders, g.op("Mul", sizes, g.constant(2 * TAIL))


def inverse_spline(g, y, parameters):
    """Rational-quadratic, inverted; identity beyond its tails."""
    widths, heights, slopes = (g.cut(parameters, 3, start, end)
                               for start, end in ((0, BINS), (BINS, 2 * BINS), (2 * BINS, 3 * BINS - 1)))
    scale = g.constant(1 / np.sqrt(HIDDEN))
    x_borders, x_sizes = edges(g, g.op("Mul", widths, scale))
    y_borders, y_sizes = edges(g, g.op("Mul", heights, scale))
    slopes = g.op("Pad", slopes, g.ints(0, 0, 0, 1, 0, 0, 0, 1), g.constant(np.log(np.exp(1 - 1e-3) - 1)))
    slopes = g.op("Add", g.op("Softplus", slopes), g.constant(1e-3))
    inside = g.op("And", g.op("GreaterOrEqual", y, g.constant(-TAIL)), g.op("LessOrEqual", y, g.constant(TAIL)))
    held = g.op("Unsqueeze", g.op("Clip", y, g.constant(-TAIL), g.constant(TAIL)), g.ints(-1))
    reached = g.op("Cast", g.op("GreaterOrEqual", held, y_borders), to=TensorProto.INT64)
    bins = g.op("Sub", g.op("ReduceSum", reached, g.ints(-1), keepdims=1), g.ints(1))
    bins = g.op("Clip", bins, g.constant(0, np.int64), g.constant(BINS - 1, np.int64))
    at = lambda table, index=bins: g.op("Squeeze", g.op("GatherElements", table, index, axis=3), g.ints(-1))
    left, width, low, height = at(x_borders), at(x_sizes), at(y_borders), at(y_sizes)
    here, there = at(slopes), at(slopes, g.op("Add", bins, g.ints(1)))
    ratio, rise = g.op("Div", height, width), g.op("Sub", g.op("Squeeze", held, g.ints(-1)), low)
    bend = g.op("Sub", g.op("Add", here, there), g.op("Mul", ratio, g.constant(2.0)))
    a = g.op("Add", g.op("Mul", rise, bend), g.op("Mul", height, g.op("Sub", ratio, here)))
    b = g.op("Sub", g.op("Mul", height, here), g.op("Mul", rise, bend))
    c = g.op("Neg", g.op("Mul", ratio, rise))
    inner = g.op("Sub", g.op("Mul", b, b), g.op("Mul", g.op("Mul", a, c), g.constant(4.0)))
    root = g.op("Div", g.op("Mul", c, g.constant(2.0)), g.op("Sub", g.op("Neg", b), g.op("Sqrt", g.op("Abs", inner))))
    return g.op("Where", inside, g.op("Add", g.op("Mul", root, width), left), y)


def durations(g, x, mask, noise_w):
    g.scope = "/dp"
    x = separable(g, g.conv(x, HIDDEN, HIDDEN), mask)
    x = g.op("Mul", g.conv(x, HIDDEN, HIDDEN), mask)
    blank = g.op("ConstantOfShape", g.op("Concat", g.ints(1), g.ints(2), g.size(x, 2), axis=0),
                 value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]))
    z = g.op("Mul", g.op("RandomNormalLike", blank), noise_w)
    # The first of the four coupling flows is of no use in this direction, and is not exported.
    for _ in range(3):
        z = g.op("Slice", z, g.ints(-1), g.ints(-(2**62)), g.ints(1), g.ints(-1))
        kept, moved = g.op("Split", z, outputs=2, axis=1)
        h = separable(g, g.op("Add", g.conv(kept, 1, HIDDEN), x), mask)
        parameters = g.op("Mul", g.conv(h, HIDDEN, 3 * BINS - 1), mask)
        parameters = g.shaped(parameters, 1, 1, 3 * BINS - 1, g.size(x, 2))
        moved = inverse_spline(g, moved, g.op("Transpose", parameters, perm=[0, 1, 3, 2]))
        z = g.op("Mul", g.op("Concat", kept, moved, axis=1), mask)
    z = g.op("Sub", z, g.constant(np.full((2, 1), -LOG_FRAMES)))
    z = g.op("Mul", g.op("Mul", z, g.constant(np.ones((2, 1)))), mask)
    # Random splines would let single phonemes sound for seconds.
    return g.op("Clip", g.cut(z, 1, 0, 1), g.constant(0.0), g.constant(0.69))


def flow(g, z, mask):
    g.scope = "/flow"
    half = HIDDEN // 2
    for _ in range(4):
        z = g.op("Slice", z, g.ints(-1), g.ints(-(2**62)), g.ints(1), g.ints(-1))
        kept, moved = g.op("Split", z, outputs=2, axis=1)
        x = g.op("Mul", g.conv(kept, half, HIDDEN), mask)
        total = None
        for layer in range(4):
            tanh, gate = g.op("Split", g.conv(x, HIDDEN, 2 * HIDDEN, 5), outputs=2, axis=1)
            acts = g.op("Mul", g.op("Tanh", tanh), g.op("Sigmoid", gate))
            last = layer == 3
            both = g.conv(acts, HIDDEN, HIDDEN if last else 2 * HIDDEN)
            if not last:
                more, both = g.op("Split", both, outputs=2, axis=1)
                x = g.op("Mul", g.op("Add", x, more), mask)
            total = both if total is None else g.op("Add", total, both)
        shift = g.op("Mul", g.conv(g.op("Mul", total, mask), HIDDEN, half, gain=0.3), mask)
        moved = g.op("Mul", g.op("Sub", moved, shift), mask)
        z = g.op("Concat", kept, moved, axis=1)
    return z


def decoder(g, x):
    g.scope = "/dec"
    channels = 256
    x = g.conv(x, HIDDEN, channels, 7)
    for stride, kernel in UPSAMPLE:
        x = g.op("LeakyRelu", x, alpha=0.1)
        weight = g.constant(random.standard_normal((channels, channels // 2, kernel)) * np.sqrt(stride / channels / kernel))
        pad = (kernel - stride) // 2
        x = g.op("ConvTranspose", x, weight, g.constant(np.zeros(channels // 2)), kernel_shape=[kernel], dilations=[1],
                 group=1, pads=[pad, pad], strides=[stride])
        channels //= 2
        total = None
        for kernel, dilations in RESBLOCKS:
            y = x
            for dilation in dilations:
                y = g.op("Add", g.conv(g.op("LeakyRelu", y, alpha=0.1), channels, channels, kernel, dilation, gain=0.5), y)
            total = y if total is None else g.op("Add", total, y)
        x = g.op("Div", total, g.constant(float(len(RESBLOCKS))))
    x = g.conv(g.op("LeakyRelu", x, alpha=0.01), channels, 1, 7, gain=0.2)
    return g.op("Tanh", x)


def build():
    g = Graph()
    noise, length, noise_w = (g.op("Gather", "scales", g.constant(n, np.int64), axis=0) for n in range(3))
    mask = g.mask("input_lengths", g.size("input", 1))
    x, means, logs = encoder(g, "input", mask)
    log_frames = durations(g, x, mask, noise_w)
    g.scope = ""
    frames = g.op("Ceil", g.op("Mul", g.op("Mul", g.op("Exp", log_frames), mask), length))
    total = g.op("Cast", g.op("Clip", g.op("ReduceSum", frames, g.ints(1, 2), keepdims=0), g.constant(1.0)), to=TensorProto.INT64)
    out_mask = g.mask(total, g.op("ReduceMax", total, keepdims=1))
    # A path of ones from phonemes to frames.
    ends = g.op("Squeeze", g.op("CumSum", frames, g.constant(2, np.int64)), g.ints(0, 1))
    steps = g.op("Range", g.constant(0, np.int64), g.op("Squeeze", total), g.constant(1, np.int64))
    steps = g.op("Unsqueeze", g.op("Cast", steps, to=TensorProto.FLOAT), g.ints(0))
    before = g.op("Cast", g.op("Less", steps, g.op("Unsqueeze", ends, g.ints(1))), to=TensorProto.FLOAT)
    earlier = g.op("Slice", g.op("Pad", before, g.ints(1, 0, 0, 0), g.constant(0.0)), g.ints(0), g.ints(-1), g.ints(0))
    path = g.op("Unsqueeze", g.op("Sub", before, earlier), g.ints(0))
    means, logs = g.op("MatMul", means, path), g.op("MatMul", logs, path)
    random_part = g.op("Mul", g.op("Mul", g.op("RandomNormalLike", means), g.op("Exp", logs)), noise)
    z = flow(g, g.op("Add", means, random_part), out_mask)
    g.scope = ""
    audio = decoder(g, g.op("Mul", z, out_mask))
    g.nodes.append(helper.make_node("Unsqueeze", [audio, g.ints(1)], ["output"], "/Unsqueeze_last"))
    value = helper.make_tensor_value_info
    inputs = [value("input", TensorProto.INT64, ["batch_size", "phonemes"]),
              value("input_lengths", TensorProto.INT64, ["batch_size"]), value("scales", TensorProto.FLOAT, [3])]
    outputs = [value("output", TensorProto.FLOAT, ["batch_size", 1, 1, "time"])]
    graph = helper.make_graph(g.nodes, "voice", inputs, outputs, g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def main():
    from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

    target = sys.argv[1]
    onnx.save(build(), target)
    about = {
        "audio": {"sample_rate": 22050, "quality": "medium"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
        "num_symbols": SYMBOLS,
        "num_speakers": 1,
        "speaker_id_map": {},
        "hop_length": 256,
        "language": {"code": "en_US"},
    }
    with open(f"{target}.json", "w", encoding="utf-8") as file:
        json.dump(about, file)


if __name__ == "__main__":
    main()
