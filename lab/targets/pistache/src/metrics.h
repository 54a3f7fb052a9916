#pragma once

#include <string>

/// What Prometheus asks of every process, in its text format.
std::string metrics_text();
