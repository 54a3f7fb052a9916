-- The tables that targets find (lab/targets/README.md), and rows in them.
create table quotes (id int primary key, words text not null, author text not null);
create table posts (
    id varchar(64) primary key, author_id varchar(64) not null, title varchar(200) not null, body text not null,
    published boolean not null, created_at varchar(32) not null, updated_at varchar(32) not null
);
create index posts_published on posts (published, created_at desc, id desc);

insert into quotes
select n, 'What is said of number ' || n || ' is said but once.', 'Author ' || n % 97
from generate_series(1, 1000) as n;

insert into posts
select
    '0198b6a0-0000-7000-8000-' || lpad(n::text, 12, '0'),
    '0198b6a0-0000-7000-8000-000000000001',
    'Post ' || n,
    left(repeat('Number ' || n || '. What is written here is read again, and again. ', 4), 200),
    n % 10 <> 0,
    t.at,
    t.at
from
    generate_series(1, 10000) as n,
    lateral (
        select to_char(timestamp '2026-11-01' + n * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
    ) as t;

analyze quotes, posts;
