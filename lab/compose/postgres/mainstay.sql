-- Mainstay makes its own tables, in a database of their own.
create database mainstay;
