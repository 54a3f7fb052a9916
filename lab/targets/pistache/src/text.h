#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// The whole text as a number, or nothing.
std::optional<std::int64_t> whole_number(std::string_view text);

/// How many characters a text has; nothing if it is not UTF-8 or has a NUL, which no database takes as text.
std::optional<std::size_t> characters(std::string_view text);

/// Now, in UTC, as RFC 3339 with six digits of a second: text that sorts as time does.
std::string now_text();

/// A random UUID (version 4).
std::string new_id();
