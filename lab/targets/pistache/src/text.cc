#include "text.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <stdexcept>

#include <openssl/rand.h>

std::optional<std::int64_t> whole_number(std::string_view text)
{
    std::int64_t value     = 0;
    const char* end        = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || at != end)
        return std::nullopt;
    return value;
}

std::optional<std::size_t> characters(std::string_view text)
{
    std::size_t count = 0;
    for (std::size_t at = 0; at < text.size(); ++count)
    {
        const auto lead = static_cast<unsigned char>(text[at]);
        std::size_t more;
        std::uint32_t code, least;
        if (lead < 0x80)
            more = 0, code = lead, least = 1;
        else if ((lead & 0xE0) == 0xC0)
            more = 1, code = lead & 0x1F, least = 0x80;
        else if ((lead & 0xF0) == 0xE0)
            more = 2, code = lead & 0x0F, least = 0x800;
        else if ((lead & 0xF8) == 0xF0)
            more = 3, code = lead & 0x07, least = 0x10000;
        else
            return std::nullopt;
        if (at + more >= text.size())
            return std::nullopt;
        for (std::size_t next = 1; next <= more; ++next)
        {
            const auto byte = static_cast<unsigned char>(text[at + next]);
            if ((byte & 0xC0) != 0x80)
                return std::nullopt;
            code = (code << 6) | (byte & 0x3F);
        }
        const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
        if (code < least || code > 0x10FFFF || is_surrogate)
            return std::nullopt;
        at += more + 1;
    }
    return count;
}

std::string now_text()
{
    using namespace std::chrono;
    const auto now     = system_clock::now();
    const auto seconds = time_point_cast<std::chrono::seconds>(now);
    const auto micros  = duration_cast<microseconds>(now - seconds).count();
    const std::time_t time = system_clock::to_time_t(seconds);
    std::tm utc {};
    gmtime_r(&time, &utc);
    char date[32], text[48];
    std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(text, sizeof text, "%s.%06dZ", date, static_cast<int>(micros));
    return text;
}

std::string new_id()
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        throw std::runtime_error("no random bytes are to be had");
    bytes[6] = (bytes[6] & 0x0F) | 0x40;
    bytes[8] = (bytes[8] & 0x3F) | 0x80;

    static constexpr char digits[] = "0123456789abcdef";
    std::string id;
    id.reserve(36);
    for (std::size_t at = 0; at < sizeof bytes; ++at)
    {
        if (at == 4 || at == 6 || at == 8 || at == 10)
            id.push_back('-');
        id.push_back(digits[bytes[at] >> 4]);
        id.push_back(digits[bytes[at] & 0x0F]);
    }
    return id;
}
