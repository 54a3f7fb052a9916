-- What contenders without a schema of their own get, on both databases. Ids and times are text as they stand in the
-- answers: that spares the contender their conversion, which Mainstay pays for.
create table users (
    id text primary key,
    display_name text not null,
    created_at text not null
);
create table posts (
    id text primary key,
    author_id text not null,
    title text not null,
    body text not null,
    published boolean not null,
    created_at text not null,
    updated_at text not null
);
create index posts_published on posts (published, created_at desc, id desc);
