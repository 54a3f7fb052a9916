#include "gzip.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <stdexcept>

#include <zlib.h>

namespace
{
    /// A compressor that is kept by its thread: making one takes longer than a small answer does.
    class Deflate
    {
    public:
        Deflate()
        {
            constexpr int level = 6, window = 15, with_gzip_header = 16, memory = 8;
            if (deflateInit2(&stream_, level, Z_DEFLATED, window + with_gzip_header, memory, Z_DEFAULT_STRATEGY) != Z_OK)
                throw std::runtime_error("zlib: out of memory");
        }
        ~Deflate() { deflateEnd(&stream_); }
        Deflate(const Deflate&)            = delete;
        Deflate& operator=(const Deflate&) = delete;

        std::string operator()(const std::string& text)
        {
            deflateReset(&stream_);
            std::string packed(deflateBound(&stream_, text.size()), '\0');
            stream_.next_in   = reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); // it is only read
            stream_.avail_in  = static_cast<uInt>(text.size());
            stream_.next_out  = reinterpret_cast<Bytef*>(packed.data());
            stream_.avail_out = static_cast<uInt>(packed.size());
            if (deflate(&stream_, Z_FINISH) != Z_STREAM_END)
                throw std::runtime_error("zlib: what it needs is more than it said");
            packed.resize(stream_.total_out);
            return packed;
        }

    private:
        z_stream stream_ {};
    };

    std::string_view trimmed(std::string_view text)
    {
        while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
            text.remove_prefix(1);
        while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
            text.remove_suffix(1);
        return text;
    }

    bool is_gzip(std::string_view coding)
    {
        static constexpr std::string_view gzip = "gzip";
        return std::equal(coding.begin(), coding.end(), gzip.begin(), gzip.end(),
                          [](unsigned char one, unsigned char other) { return std::tolower(one) == other; });
    }
} // namespace

bool takes_gzip(std::string_view accept_encoding)
{
    for (std::size_t start = 0; start <= accept_encoding.size();)
    {
        const auto end         = std::min(accept_encoding.find(',', start), accept_encoding.size());
        const auto item        = accept_encoding.substr(start, end - start);
        const auto semicolon   = std::min(item.find(';'), item.size());
        const auto parameter   = trimmed(item.substr(std::min(semicolon + 1, item.size())));
        const bool is_refused  = parameter.substr(0, 2) == "q=" && std::strtod(std::string(parameter.substr(2)).c_str(), nullptr) <= 0;
        if (is_gzip(trimmed(item.substr(0, semicolon))))
            return !is_refused;
        start = end + 1;
    }
    return false;
}

std::string gzipped(const std::string& text)
{
    thread_local Deflate deflate;
    return deflate(text);
}
