#pragma once

#include <optional>
#include <string>

/// Whom an `Authorization` header is of: the `sub` of a JWT that is signed with HS256 and not over. Else nothing.
std::optional<std::string> subject_of(const std::string& authorization, const std::string& secret);
