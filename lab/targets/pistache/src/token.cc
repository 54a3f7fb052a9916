#include "token.h"

#include <cerrno>
#include <ctime>
#include <memory>

#include <jwt.h>
#include <strings.h>

#include "text.h"

std::optional<std::string> subject_of(const std::string& authorization, const std::string& secret)
{
    static const std::string scheme = "Bearer ";
    if (strncasecmp(authorization.c_str(), scheme.c_str(), scheme.size()) != 0)
        return std::nullopt;

    jwt_t* raw         = nullptr;
    const auto* key    = reinterpret_cast<const unsigned char*>(secret.data());
    const int key_size = static_cast<int>(secret.size());
    if (jwt_decode(&raw, authorization.c_str() + scheme.size(), key, key_size) != 0)
        return std::nullopt;
    const std::unique_ptr<jwt_t, decltype(&jwt_free)> token(raw, jwt_free);

    // Its header chose the algorithm by which it was verified; only this one is ours.
    if (jwt_get_alg(token.get()) != JWT_ALG_HS256)
        return std::nullopt;
    const long now = static_cast<long>(std::time(nullptr));
    errno          = 0;
    const long exp = jwt_get_grant_int(token.get(), "exp");
    if (errno != 0 || exp <= now)
        return std::nullopt;
    const char* subject = jwt_get_grant(token.get(), "sub");
    if (subject == nullptr)
        return std::nullopt;
    // As many as an author's column has room for.
    const auto length = characters(subject);
    if (!length || *length < 1 || *length > 64)
        return std::nullopt;
    return subject;
}
