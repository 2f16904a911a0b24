"""line.py -- trains the line of ../build from Python. After `modelc ../build/line.mdl -o line.so`:  python3 line.py"""
import mdl
import numpy as np

line = mdl.Model("line.so")
print(line)
s = line.session(seed=1)
x = np.array([[-1], [0], [1], [2]], np.float32)
for _ in range(500):
    loss = s.step(x=x, y=2 * x + 1)["loss"]
print(f"loss {loss:.4f}, y(10) = {s.predict(x=np.float32([[10]]))['y'][0, 0]:.2f}")
print(f"y = {s['net.weight'][0, 0]:.2f} x + {s['net.bias'][0]:.2f}")
