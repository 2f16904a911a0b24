"""litert.py -- some models once more, as LiteRT (TensorFlow Lite) files, written with the schema that comes with its interpreter: pictures
with their channels last, statistics folded into the convolutions before them."""
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as S

TYPES = {'float32': S.TensorType.FLOAT32, 'int32': S.TensorType.INT32, 'uint8': S.TensorType.UINT8}


class Graph:
    """Operations in order; a tensor is its number."""

    def __init__(self, weights):
        self.w = weights
        self.tensors, self.operators, self.codes, self.buffers, self.shapes = [], [], [], [S.BufferT()], []

    def tensor(self, shape, dtype='float32', data=None):
        t = S.TensorT()
        t.shape, t.type, t.buffer, t.name = list(shape), TYPES[dtype], 0, f't{len(self.tensors)}'.encode()
        if data is not None:
            b = S.BufferT()
            b.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            t.buffer = len(self.buffers)
            self.buffers.append(b)
        self.tensors.append(t)
        self.shapes.append(tuple(shape))
        return len(self.tensors) - 1

    def constant(self, a):
        return self.tensor(a.shape, str(a.dtype), a)

    def op(self, name, inputs, shape, options=None, kind=None):
        code = getattr(S.BuiltinOperator, name)
        if code not in self.codes:
            self.codes.append(code)
        o = S.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = self.codes.index(code), list(inputs), [self.tensor(shape)]
        if options is not None:
            o.builtinOptions, o.builtinOptionsType = options, getattr(S.BuiltinOptions, kind)
        self.operators.append(o)
        return o.outputs[0]

    def content(self, inputs, outputs):
        g, m = S.SubGraphT(), S.ModelT()
        g.tensors, g.operators, g.inputs, g.outputs = self.tensors, self.operators, inputs, outputs
        m.version, m.subgraphs, m.buffers, m.operatorCodes = 3, [g], self.buffers, []
        for code in self.codes:
            c = S.OperatorCodeT()
            c.builtinCode, c.deprecatedBuiltinCode, c.version = code, min(code, 127), 1
            m.operatorCodes.append(c)
        b = flatbuffers.Builder(1 << 20)
        b.Finish(m.Pack(b), b'TFL3')
        return bytes(b.Output())

    # ---- layers

    def linear(self, x, name, relu=False, weight=None):
        w, o = self.w[name + '.weight'] if weight is None else weight, S.FullyConnectedOptionsT()
        o.fusedActivationFunction = S.ActivationFunctionType.RELU if relu else S.ActivationFunctionType.NONE
        return self.op('FULLY_CONNECTED', [x, self.constant(w), self.constant(self.w[name + '.bias'])], (self.shapes[x][0], len(w)), o,
                       'FullyConnectedOptions')

    def softmax(self, x):
        o = S.SoftmaxOptionsT()
        o.beta = 1.0
        return self.op('SOFTMAX', [x], self.shapes[x], o, 'SoftmaxOptions')

    def conv(self, x, name, norm, activation, stride=1):
        """With the norm behind it. Where it strides the border is padded first: 'same' would pad one side only."""
        w, n = self.w[name + '.weight'], {k: self.w[f'{norm}.{k}'] for k in ('weight', 'bias', 'running_mean', 'running_var')}
        scale = n['weight'] / np.sqrt(n['running_var'] + 1e-5)
        w, bias = (w * scale[:, None, None, None]).transpose(0, 2, 3, 1), n['bias'] - n['running_mean'] * scale
        depthwise, (b, h, wide, _) = w.shape[3] == 1 and len(w) > 1 and self.shapes[x][3] == len(w), self.shapes[x]
        if stride > 1:
            p = w.shape[1] // 2
            pads = self.constant(np.array([[0, 0], [p, p], [p, p], [0, 0]], np.int32))
            x = self.op('PAD', [x, pads], (b, h + 2 * p, wide + 2 * p, self.shapes[x][3]))
        o = S.DepthwiseConv2DOptionsT() if depthwise else S.Conv2DOptionsT()
        o.padding, o.strideW, o.strideH = S.Padding.VALID if stride > 1 else S.Padding.SAME, stride, stride
        o.dilationWFactor = o.dilationHFactor = 1
        o.fusedActivationFunction = getattr(S.ActivationFunctionType, activation)
        shape = (b, (h - 1) // stride + 1, (wide - 1) // stride + 1, len(w))
        if depthwise:
            o.depthMultiplier = 1
            return self.op('DEPTHWISE_CONV_2D', [x, self.constant(w.transpose(3, 1, 2, 0)), self.constant(bias)], shape, o, 'DepthwiseConv2DOptions')
        return self.op('CONV_2D', [x, self.constant(w), self.constant(bias)], shape, o, 'Conv2DOptions')

    def halved(self, x):
        o, (b, h, w, c) = S.Pool2DOptionsT(), self.shapes[x]
        o.padding, o.strideW, o.strideH, o.filterWidth, o.filterHeight = S.Padding.VALID, 2, 2, 2, 2
        return self.op('MAX_POOL_2D', [x], (b, h // 2, w // 2, c), o, 'Pool2DOptions')

    def average(self, x):
        o, (b, _, _, c) = S.ReducerOptionsT(), self.shapes[x]
        return self.op('MEAN', [x, self.constant(np.array([1, 2], np.int32))], (b, c), o, 'ReducerOptions')

    def reshape(self, x, shape):
        o = S.ReshapeOptionsT()
        o.newShape = list(shape)
        return self.op('RESHAPE', [x, self.constant(np.array(shape, np.int32))], shape, o, 'ReshapeOptions')


def mlp(g, x):
    return g.softmax(g.linear(g.linear(x, 'net.0', True), 'net.3'))


def fashion(g, x):
    o = S.CastOptionsT()
    o.inDataType, o.outDataType = S.TensorType.UINT8, S.TensorType.FLOAT32
    y = g.op('CAST', [x], g.shapes[x], o, 'CastOptions')
    for name, value, kind in (('MUL', 1 / 255 / 0.3530, S.MulOptionsT), ('ADD', -0.2860 / 0.3530, S.AddOptionsT)):
        y = g.op(name, [y, g.constant(np.array(value, np.float32))], g.shapes[y], kind(), name.capitalize() + 'Options')
    for i in '01':
        for k in '12':
            y = g.conv(y, f'net.{i}.conv{k}', f'net.{i}.bn{k}', 'RELU')
        y = g.halved(y)
    w = g.w['net.4.weight'].reshape(10, 64, 7, 7).transpose(0, 2, 3, 1).reshape(10, 3136)
    return g.softmax(g.linear(g.reshape(y, (g.shapes[y][0], 3136)), 'net.4', weight=w))


def mobilenet(g, x):
    y, r = g.conv(x, 'net.stem.conv', 'net.stem.bn', 'RELU6', 2), 0
    for expand, repeats, stride in ((1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1)):
        for i in range(repeats):
            p = f'net.body.{r}.{i}.'
            z = g.conv(y, p + 'up.0.conv', p + 'up.0.bn', 'RELU6') if expand > 1 else y
            z = g.conv(g.conv(z, p + 'depth', p + 'bn1', 'RELU6', 1 if i else stride), p + 'down', p + 'bn2', 'NONE')
            y = g.op('ADD', [y, z], g.shapes[z], S.AddOptionsT(), 'AddOptions') if i else z
        r += 1
    return g.softmax(g.linear(g.average(g.conv(y, 'net.head.conv', 'net.head.bn', 'RELU6')), 'net.fc'))


MODELS = {'mlp.mdl': mlp, 'fashion_cnn.mdl': fashion, 'mobilenet.mdl': mobilenet}


def build(program, x, weights):
    """The file's bytes, for an input like x."""
    g = Graph(weights)
    given = g.tensor(x.shape, str(x.dtype))
    return g.content([given], [MODELS[program](g, given)])
