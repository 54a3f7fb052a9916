#pragma once

#include <cstdint>

/// By the naive recursion.
std::int64_t fibonacci(int n);
