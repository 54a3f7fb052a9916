#pragma once

#include <stdexcept>
#include <string>
#include <vector>

struct Quote
{
    int id;
    std::string words;
    std::string author;
};

struct Post
{
    std::string id;
    std::string author_id;
    std::string title;
    std::string body;
    bool published;
    std::string created_at;
    std::string updated_at;
};

/// A body that is no post; says why.
struct Invalid : std::runtime_error
{
    using std::runtime_error::runtime_error;
};

/// A new post as it is sent. Throws Invalid.
Post read_post(const std::string& json, const std::string& author_id);

std::string to_json(const Quote& quote);
std::string to_json(const Post& post);
std::string to_json(const std::vector<Post>& posts);
