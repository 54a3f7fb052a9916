#pragma once

#include <string>
#include <string_view>

/// Whether an `Accept-Encoding` header takes gzip.
bool takes_gzip(std::string_view accept_encoding);

/// Compressed at level 6.
std::string gzipped(const std::string& text);
