-- What people write down. The author is an account of `auth`; no foreign key crosses a domain, a reaction removes the notes.
create table notes (
    id id primary key,
    author_id id not null,
    title text not null,
    body text not null,
    published bool not null,
    created_at time not null,
    updated_at time not null
);

-- Lists by time and by title, and what goes with an account.
create index notes_author_id on notes (author_id, id desc);
create index notes_created_at on notes (created_at, id);
create index notes_title on notes (title, id);
