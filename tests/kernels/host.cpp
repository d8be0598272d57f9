// All kernels, and some that do what kernels must not.
#include "../../crates/strefer-nn/kernels/host/run.cpp"

#include "faults.cu"
