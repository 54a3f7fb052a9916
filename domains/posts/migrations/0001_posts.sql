-- What people write. The author is an account of `auth`; no foreign key crosses a domain, a reaction removes the posts.
create table posts (
    id id primary key,
    author_id id not null,
    title text not null,
    body text not null,
    published bool not null,
    created_at time not null,
    updated_at time not null
);

-- A person's own posts, newest first: the loader, and the reaction when the account goes.
create index posts_author_id on posts (author_id, id desc);

-- The public list, newest first.
create index posts_published on posts (published, id desc);

create index posts_created_at on posts (created_at, id);
create index posts_updated_at on posts (updated_at, id);
create index posts_title on posts (title, id);
