-- Owners whose account is gone and whose things are still being removed. No row of theirs is shown any more.
CREATE TABLE owner_erasures (
    owner_id id PRIMARY KEY,
    requested_at time NOT NULL
);
