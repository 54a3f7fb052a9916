#include "post.h"

#include <string_view>

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "text.h"

namespace
{
    using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

    constexpr std::size_t MaxTitle = 200;
    constexpr std::size_t MaxBody  = 10'000;

    std::string text_of(const rapidjson::Value& object, const char* name, std::size_t least, std::size_t most)
    {
        const auto member = object.FindMember(name);
        if (member == object.MemberEnd() || !member->value.IsString())
            throw Invalid(std::string(name) + " must be a text");
        const std::string_view text(member->value.GetString(), member->value.GetStringLength());
        const auto count = characters(text);
        if (!count || *count < least || *count > most)
            throw Invalid(std::string(name) + " must have " + std::to_string(least) + " to " + std::to_string(most)
                          + " characters");
        return std::string(text);
    }

    void write(Writer& writer, const char* name, const std::string& value)
    {
        writer.Key(name);
        writer.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    }

    void write(Writer& writer, const Post& post)
    {
        writer.StartObject();
        write(writer, "id", post.id);
        write(writer, "author_id", post.author_id);
        write(writer, "title", post.title);
        write(writer, "body", post.body);
        writer.Key("published");
        writer.Bool(post.published);
        write(writer, "created_at", post.created_at);
        write(writer, "updated_at", post.updated_at);
        writer.EndObject();
    }

    std::string text_of(const rapidjson::StringBuffer& buffer)
    {
        return std::string(buffer.GetString(), buffer.GetSize());
    }
} // namespace

Post read_post(const std::string& json, const std::string& author_id)
{
    // Iterative: a body of nothing but brackets must not use up the stack.
    constexpr unsigned flags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;
    rapidjson::Document document;
    document.Parse<flags>(json.data(), json.size());
    if (document.HasParseError())
        throw Invalid("the body is not JSON");
    if (!document.IsObject())
        throw Invalid("the body must be an object");

    Post post;
    post.title           = text_of(document, "title", 1, MaxTitle);
    post.body            = text_of(document, "body", 0, MaxBody);
    const auto published = document.FindMember("published");
    if (published != document.MemberEnd() && !published->value.IsBool())
        throw Invalid("published must be true or false");
    post.published  = published != document.MemberEnd() && published->value.GetBool();
    post.id         = new_id();
    post.author_id  = author_id;
    post.created_at = now_text();
    post.updated_at = post.created_at;
    return post;
}

std::string to_json(const Quote& quote)
{
    rapidjson::StringBuffer buffer;
    Writer writer(buffer);
    writer.StartObject();
    writer.Key("id");
    writer.Int(quote.id);
    write(writer, "words", quote.words);
    write(writer, "author", quote.author);
    writer.EndObject();
    return text_of(buffer);
}

std::string to_json(const Post& post)
{
    rapidjson::StringBuffer buffer;
    Writer writer(buffer);
    write(writer, post);
    return text_of(buffer);
}

std::string to_json(const std::vector<Post>& posts)
{
    rapidjson::StringBuffer buffer;
    Writer writer(buffer);
    writer.StartObject();
    writer.Key("items");
    writer.StartArray();
    for (const auto& post : posts)
        write(writer, post);
    writer.EndArray();
    writer.EndObject();
    return text_of(buffer);
}
