-- Administrators, newest first, among very many who are none.
CREATE INDEX CONCURRENTLY accounts_role ON accounts (role, id DESC);
