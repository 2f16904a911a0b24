"""make_tensors.py FILE NAME:TYPE:SHAPE:VALUES... -- a .safetensors for tests; VALUES counts up from the number given (the codes of F8), SHAPE is
2x3."""
import json, struct, sys

codes = {"F32": "f", "F64": "d", "I32": "i", "I64": "q", "I8": "b", "U8": "B", "F8_E4M3": "B", "F8_E5M2": "B"}
header, data = {}, b""
for word in sys.argv[2:]:
    name, dtype, shape, first = word.split(":")
    dims = [int(d) for d in shape.split("x")] if shape else []
    count = 1
    for d in dims:
        count *= d
    if dtype == "BF16":
        part = b"".join(struct.pack("<f", float(first) + i)[2:] for i in range(count))
    else:
        part = struct.pack("<%d%s" % (count, codes[dtype]), *[type(0.0 if dtype in ("F32", "F64") else 0)(float(first) + i) for i in range(count)])
    header[name] = {"dtype": dtype, "shape": dims, "data_offsets": [len(data), len(data) + len(part)]}
    data += part
text = json.dumps(header).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
