# stand_in.sh -- libraries that stand in for NVRTC and for NVIDIA's driver, in the working folder.   sh stand_in.sh
for name in libnvrtc.so.13 libcuda.so.1; do
    ${CC:-gcc} -w -O1 -shared -fPIC -o $name "$ROOT/tests/cuda/stand_in/${name%%.*}.c" -ldl || exit 1
done
