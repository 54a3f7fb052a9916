-- Of the domain that the how-to pages build; compiled and run by `tests/how_to`.
create table books (
    id id primary key,
    owner_id id not null,
    title text not null,
    pages int,
    lent_until time,
    created_at time not null,
    updated_at time not null
);

create index books_owner_id on books (owner_id, id desc);
create index books_title on books (title, id);
