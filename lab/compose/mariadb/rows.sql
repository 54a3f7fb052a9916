-- The tables that targets find (lab/targets/README.md), and rows in them.
create table quotes (id int primary key, words text not null, author text not null);
create table posts (
    id varchar(64) primary key, author_id varchar(64) not null, title varchar(200) not null, body text not null,
    published boolean not null, created_at varchar(32) not null, updated_at varchar(32) not null
);
create index posts_published on posts (published, created_at desc, id desc);

insert into quotes
select seq, concat('What is said of number ', seq, ' is said but once.'), concat('Author ', seq % 97)
from seq_1_to_1000;

insert into posts
select
    concat('0198b6a0-0000-7000-8000-', lpad(seq, 12, '0')),
    '0198b6a0-0000-7000-8000-000000000001',
    concat('Post ', seq),
    left(repeat(concat('Number ', seq, '. What is written here is read again, and again. '), 4), 200),
    seq % 10 <> 0,
    date_format(timestamp '2026-11-01 00:00:00' + interval seq minute, '%Y-%m-%dT%H:%i:%s.%fZ'),
    date_format(timestamp '2026-11-01 00:00:00' + interval seq minute, '%Y-%m-%dT%H:%i:%s.%fZ')
from seq_1_to_10000;

analyze table quotes, posts;
