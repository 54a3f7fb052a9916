-- What is to be done. The owner is an account of `auth`; no foreign key crosses a domain, a reaction removes the todos.
create table todos (
    id id primary key,
    owner_id id not null,
    title text not null,
    done bool not null,
    due_at time,
    created_at time not null,
    updated_at time not null
);

-- One's own list, newest first, and by what is due next.
create index todos_owner_id on todos (owner_id, id desc);
create index todos_owner_due_at on todos (owner_id, due_at, id);
