-- What targets without a schema of their own get, on every database. Ids and times are text as they stand in the
-- answers: that spares the target their conversion, which Mainstay pays for.
create table users (
    id varchar(64) primary key,
    display_name varchar(200) not null,
    created_at varchar(32) not null
);
create table posts (
    id varchar(64) primary key,
    author_id varchar(64) not null,
    title varchar(200) not null,
    body text not null,
    published boolean not null,
    created_at varchar(32) not null,
    updated_at varchar(32) not null
);
create index posts_published on posts (published, created_at desc, id desc);
