"""make.py -- what a workload's contestants share, made once by PyTorch in a process of its own: weights, inputs, the ONNX file, and
how many operations the arithmetic takes.

    python tests/bench/make.py NUMBER       a row of WORKLOADS; writes build/bench/NAME.{safetensors,npz,onnx,json}"""
import json
import os
import sys
import warnings

import models
import numpy as np
import torch
from common import OUT, inputs_of
from safetensors.numpy import save_file
from workloads import OPENVINO, ORT, WORKLOADS


def export(net, inputs, path):
    net.exporting = True
    names = [f'in{i}' for i in range(len(inputs))]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(net.eval(), inputs, path, input_names=names, dynamo=False, opset_version=18, do_constant_folding=True)
    net.exporting = False


def main():
    w = WORKLOADS[int(sys.argv[1])]
    path = os.path.join(OUT, w.file)
    inputs = w.inputs(np.random.default_rng(1))
    net = models.Net(w.model(models))
    if w.derived:
        with torch.no_grad():
            inputs |= {k: v.numpy() for k, v in w.derived(models)(net, {k: torch.tensor(v) for k, v in inputs.items()}).items()}
        net.macs = net.step_macs = 0
    arguments = tuple(torch.tensor(v) for v in inputs_of(w, inputs, w.model_inputs))
    with torch.no_grad():
        net(*arguments)
    macs = net.macs
    if w.training:
        net.step_macs = 0
        w.training(models).loss(net, *(torch.tensor(v) for v in inputs_of(w, inputs, w.given)))
        macs = net.step_macs
    net.making = False
    np.savez(path + '.npz', **inputs)
    save_file({k: np.ascontiguousarray(v.detach().numpy()) for k, v in net.w.items()}, path + '.safetensors')
    if ORT in w.rivals or OPENVINO in w.rivals:
        export(net, arguments, path + '.onnx')
    with open(path + '.json', 'w') as f:
        json.dump({'flops': 2 * macs, 'weights': sum(v.numel() * 4 for v in net.w.values())}, f)


main()
